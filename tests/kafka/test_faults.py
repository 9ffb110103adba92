"""Faults on a real Kafka: what a reader of committed records is given is what an undisturbed engine says.

The faults are data (``faults/rounds.py``), their runner ``faults/runner.py``; `make chaos` runs all of them.
"""

from collections import defaultdict
from pathlib import Path

import pytest

from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from faults.cluster import Cluster
from faults.feeder import Load, market
from faults.reader import Seen
from faults.rounds import CHAOS, FAST
from faults.runner import PARTITIONS, run_round
from faults.soak import GROWTH_MAX, Sample, figure, growth
from faults.table import Round
from faults.verdict import Outputs, compare

RECORDS = 60_000
INJECTED_MIN = 100

NAMES = TopicNames.of(Settings())


@pytest.fixture(scope="module")
def load() -> Load:
    """A market of three underlyings, one on each partition."""
    return market(RECORDS, PARTITIONS)


@pytest.mark.kafka
@pytest.mark.timeout(900)
@pytest.mark.parametrize("one", [one for one in FAST if one.nodes == 1], ids=lambda one: one.name)
async def test_a_reader_sees_what_an_undisturbed_engine_says(
    one: Round, load: Load, bootstrap_servers: str, tmp_path: Path
) -> None:
    """Nothing lost, nothing twice, nothing different, no open transaction, no offset that went back."""
    judged = await run_round(one, load, tmp_path, bootstrap_servers)
    assert judged.clean, judged
    assert judged.verdict.outputs > 0
    assert len(judged.injected) == len(one.schedule())


@pytest.mark.kafka
@pytest.mark.timeout(900)
@pytest.mark.parametrize("one", [one for one in FAST if one.nodes > 1], ids=lambda one: one.name)
async def test_a_reader_sees_the_same_while_brokers_come_and_go(one: Round, load: Load, tmp_path: Path) -> None:
    """On three brokers, each ended and killed in turn, then all of them at once."""
    cluster = Cluster(tmp_path, one.nodes)
    try:
        await cluster.open()
        judged = await run_round(one, load, tmp_path / one.name, cluster.address, cluster)
    finally:
        cluster.close()
    assert judged.clean, judged
    assert judged.verdict.outputs > 0


def outputs(*values: bytes) -> Outputs:
    """One underlying's alerts."""
    return defaultdict(list, {(NAMES.alerts, b"SIM"): [Seen(b"SIM", value, ()) for value in values]})


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        ((b"a", b"b", b"c"), (0, 0, 0)),
        ((b"a", b"c"), (1, 0, 0)),
        ((b"a", b"b", b"b", b"c"), (0, 1, 0)),
        ((b"a", b"x", b"c"), (0, 0, 1)),
        ((b"a", b"c", b"b"), (0, 0, 2)),
        ((b"a", b"x", b"x"), (0, 0, 2)),
        ((b"a", b"b", b"c", b"d"), (0, 0, 1)),
        ((), (3, 0, 0)),
    ],
)
def test_the_verdict_sees_every_planted_fault(given: tuple[bytes, ...], counts: tuple[int, int, int]) -> None:
    """Lost, doubled and different lines are counted as such: a comparison that cannot fail proves nothing."""
    found = compare(NAMES, outputs(b"a", b"b", b"c"), outputs(*given))
    assert (found.lost, found.doubled, found.different) == counts
    assert found.clean == (given == (b"a", b"b", b"c"))


def test_the_long_run_is_as_long_as_promised() -> None:
    """`make chaos` injects at least a hundred faults, each instant within its round and after the one before."""
    schedules = [one.schedule() for one in CHAOS]
    assert sum(map(len, schedules)) >= INJECTED_MIN
    for schedule in schedules:
        instants = [at for at, _ in schedule]
        assert instants == sorted(set(instants))
        assert 0.0 < instants[0] <= instants[-1] < 1.0


def test_the_soak_sees_memory_that_grows_after_the_warm_part() -> None:
    """What is taken at the beginning is not counted, what goes on is; and both make a figure."""
    flat = [Sample(5.0 * n, 300.0 if n > 50 else 200.0 + 2.0 * n, 50, 8.0, 20.0) for n in range(720)]
    leaking = [one._replace(memory_mb=one.memory_mb + 0.02 * n) for n, one in enumerate(flat)]
    assert growth(flat) == 0.0
    assert growth(leaking) > GROWTH_MAX
    assert figure(leaking).count("<polyline") == 3
