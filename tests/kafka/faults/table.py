"""The faults as data: what is done to whom, at which share of the records. Rounds put them together."""

from typing import Any, Final, NamedTuple


class Fault(NamedTuple):
    """One fault. It is injected once ``at`` of the round's records is committed, then again every ``every``.

    ``target`` is a worker (w0…), a broker's number, a point of ``dying`` or a name of the action's own; ``seconds``
    is how long a disturbance lasts, ``count`` how many.
    """

    name: str
    action: str
    target: str = ""
    at: float = 0.2
    seconds: float = 0.0
    count: int = 0
    repeat: int = 1
    every: float = 0.05


class Round(NamedTuple):
    """Faults on one fresh set of topics. ``given`` are settings; ``nodes`` is the size of the cluster."""

    name: str
    faults: tuple[Fault, ...]
    nodes: int = 1
    workers: int = 1
    records_per_s: float = 30_000.0
    static: bool = True
    mortal: bool = False
    given: dict[str, Any] = {}  # noqa: RUF012 - never written

    def schedule(self) -> list[tuple[float, Fault]]:
        """Every injection with its instant."""
        return sorted(
            (round(fault.at + n * fault.every, 6), fault) for fault in self.faults for n in range(fault.repeat)
        )


POINTS_OF_A_STEP: Final = ("send", "offsets", "before_commit", "commit", "ack", "chunks", "manifest")
POINTS_OF_A_START: Final = ("fence", "restore", "replay")
"""Where a mortal worker can kill itself: see ``dying``."""
