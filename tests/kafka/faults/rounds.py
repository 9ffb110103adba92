"""The rounds: a few short ones for every test run, and all of them for `make chaos`."""

from typing import Final

from faults.table import POINTS_OF_A_START, POINTS_OF_A_STEP, Fault, Round

_POINTS: Final = tuple(
    Fault(f"kill at {point}", "die", point, at=0.08 + 0.08 * number, count=1 + 2 * (point in POINTS_OF_A_STEP))
    for number, point in enumerate((*POINTS_OF_A_START, *POINTS_OF_A_STEP))
)
_FOREIGN: Final = (
    Fault("foreign init of .0", "foreign_init", "0", at=0.05, repeat=3, every=0.3),
    Fault("foreign init of .1", "foreign_init", "1", at=0.1, repeat=3, every=0.3),
    Fault("crossed inits of two owners", "foreign_init", "crossed", at=0.15, repeat=3, every=0.3),
    Fault("crossed inits, one id retried", "foreign_init", "retried", at=0.2, repeat=3, every=0.3),
    Fault("refused output", "refuse", at=0.25, seconds=3.0, repeat=3, every=0.3),
    Fault("poison flood", "poison", at=0.28, count=3_000, repeat=3, every=0.3),
    Fault("kill -9, and the newest states corrupt", "corrupt", "w0", at=0.32, repeat=2, every=0.3),
)
_CREW: Final = (
    *(Fault("kill -9 of each worker", "kill", f"w{n}", at=0.2 + 0.04 * n, repeat=3, every=0.12) for n in range(3)),
    Fault("SIGSTOP past the session", "pause", "w1", at=0.6, seconds=7.0, repeat=2, every=0.06),
    Fault("two with one identity", "twin", "w2", at=0.75, seconds=8.0),
    Fault("SIGTERM and a new worker", "restart", "w0", at=0.8, repeat=2, every=0.06),
)
_SCALE: Final = (
    Fault("scale 1 to 3", "scale", at=0.1, count=3, repeat=3, every=0.3),
    Fault("scale 3 to 1", "scale", at=0.25, count=1, repeat=3, every=0.3),
)
_BROKERS: Final = (
    *(Fault("SIGTERM of a broker", "broker_terminate", str(n), at=0.05 + 0.1 * n, seconds=1.0) for n in (1, 2, 3)),
    *(Fault("kill -9 of a broker", "broker_kill", str(n), at=0.1 + 0.1 * n, seconds=1.0) for n in (1, 2, 3)),
    *(Fault("kill -9 of a broker", "broker_kill", str(n), at=0.4 + 0.1 * n, seconds=5.0) for n in (1, 2, 3)),
    Fault("SIGSTOP of a broker", "broker_pause", "2", at=0.75, seconds=15.0),
)
_DOWN: Final = (*_BROKERS, Fault("whole cluster down", "cluster_down", at=0.85, seconds=60.0))

CHAOS: Final = (
    *(Round(f"strangers-{n}", _FOREIGN) for n in (1, 2, 3)),
    *(Round(f"crew-{n}", _CREW, workers=3) for n in (1, 2)),
    *(Round(f"points-{n}", _POINTS, mortal=True) for n in (1, 2)),
    Round("pods", _SCALE, records_per_s=3_000.0),
    *(Round(f"guests-{n}", _SCALE, static=False, records_per_s=3_000.0) for n in (1, 2)),
    Round("brokers", _BROKERS, nodes=3),
    Round("outage", _DOWN, nodes=3, workers=2),
)

FAST: Final = (
    Round(
        "killed",
        (
            Fault("kill -9", "kill", "w0", at=0.2, repeat=3, every=0.1),
            Fault("kill at commit", "die", "commit", at=0.5, count=3),
            Fault("kill at ack", "die", "ack", at=0.6, count=3),
            Fault("kill at chunks", "die", "chunks", at=0.7, count=1),
            Fault("crossed inits, one id retried", "foreign_init", "retried", at=0.8),
            Fault("refused output", "refuse", at=0.85, seconds=1.0),
            Fault("poison flood", "poison", at=0.9, count=3_000),
        ),
        mortal=True,
    ),
    Round(
        "group",
        (
            Fault("scale 1 to 3", "scale", at=0.2, count=3),
            Fault("SIGSTOP past the session", "pause", "w1", at=0.4, seconds=7.0),
            Fault("two with one identity", "twin", "w2", at=0.5, seconds=4.0),
            Fault("scale 3 to 1", "scale", at=0.7, count=1),
        ),
    ),
    Round(
        "brokers",
        (
            *(Fault("SIGTERM of a broker", "broker_terminate", str(n), at=0.1 * n, seconds=1.0) for n in (1, 2, 3)),
            *(Fault("kill -9 of a broker", "broker_kill", str(n), at=0.3 + 0.1 * n, seconds=1.0) for n in (1, 2, 3)),
            Fault("whole cluster down", "cluster_down", at=0.8, seconds=5.0),
        ),
        nodes=3,
    ),
)
