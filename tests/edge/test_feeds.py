"""Sources go onto the log: everything, in order, in the rhythm of event time."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec
import numpy as np
import pytest

from dhpe.columns import CLOCK, QUOTE, REFERENCE, Batch, Contract, Reject, empty_events
from dhpe.edge.decode import content_type_of, decode
from dhpe.edge.feeds import Fed, FeedRules, Pace, closing_clock, feed_batches, latest_event_ns
from dhpe.edge.log import LogUnavailable, OutRecord
from dhpe.simulate import SimulationSettings, simulate

START_NS = 1_786_459_800 * 1_000_000_000
SECOND_NS = 1_000_000_000
AS_FAST_AS_IT_GOES = FeedRules(speed=None)


class Wall:
    """A wall clock that moves only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pace = Pace(now_s=lambda: self.now, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        assert seconds > 0
        self.now += seconds


class MemoryLog:
    """The one part of the log that a feed uses; it notes the wall time of each append."""

    def __init__(self, wall: Wall | None = None, partitions: int = 3) -> None:
        self.records: list[OutRecord] = []
        self.appends: list[tuple[float, list[OutRecord]]] = []
        self._wall = wall or Wall()
        self._partitions = partitions

    async def partitions(self, topic: str) -> int:
        """As many for every topic."""
        assert topic
        return self._partitions

    async def append(self, records: Sequence[OutRecord]) -> None:
        """Keep them."""
        self.appends.append((self._wall.now, list(records)))
        self.records += records


def quotes(times_s: Sequence[float], reference_s: Sequence[float] = ()) -> Batch:
    """Quotes of one underlying at these seconds, after reference records at others."""
    events = empty_events(len(reference_s) + len(times_s))
    events["ts_event_ns"] = [START_NS + round(second * SECOND_NS) for second in (*reference_s, *times_s)]
    events["kind"] = [REFERENCE] * len(reference_s) + [QUOTE] * len(times_s)
    events["underlying"] = 0
    events["reference"][: len(reference_s)] = range(len(reference_s))
    hot = events["kind"] == QUOTE
    events["bid"][hot], events["ask"][hot], events["bid_size"][hot], events["ask_size"][hot] = 99.0, 101.0, 1.0, 2.0
    contract = Contract("X", 1, 100.0, 100.0, american=False, settles_ns=START_NS + 86_400 * SECOND_NS)
    return Batch(events, ["SIM"], [contract] * len(reference_s), np.zeros((0, 2)))


def decoded(records: Sequence[OutRecord]) -> list[dict]:
    """The records of the messages."""
    return [msgspec.json.decode(record.value) for record in records]


async def test_every_record_of_the_simulated_market_arrives_in_its_order():
    """What the log holds decodes to what the simulator made, reference data on its own topic first."""
    batches = list(islice(simulate(SimulationSettings(seed=1), START_NS), 10))
    log = MemoryLog()
    fed = await feed_batches(batches, log, AS_FAST_AS_IT_GOES)
    count = sum(len(batch.events) for batch in batches)
    assert fed == Fed(count, count, 0, max(latest_event_ns(batch, -1) for batch in batches))
    by_topic = {topic: [r for r in log.records if r.topic == topic] for topic in ("chain", "ticks")}
    assert len(by_topic["chain"]) == len(batches[0].reference)
    assert log.records[: len(by_topic["chain"])] == by_topic["chain"]
    assert {record.key for record in log.records} == {b"SIM"}
    messages = [(i, r.key, r.value, None, None) for i, r in enumerate(by_topic["ticks"])]
    batch, rejects = decode(messages, "ticks")
    made = np.concatenate([b.events[b.events["kind"] != REFERENCE] for b in batches])
    assert rejects == []
    for field in ("ts_event_ns", "kind", "bid", "ask", "price", "size"):
        np.testing.assert_array_equal(batch.events[field], made[field])


async def test_records_may_share_messages():
    """One message carries up to so many records of one underlying."""
    log = MemoryLog()
    fed = await feed_batches([quotes(range(25))], log, FeedRules(speed=None, records_per_message=10))
    assert (fed.records, fed.messages) == (25, 3)
    assert [len(msgspec.json.decode(record.value)) for record in log.records] == [10, 10, 5]


async def test_ticks_may_be_packed_and_reference_records_stay_json():
    """The headers reach the log; what is read there is what was fed."""
    log = MemoryLog()
    rules = FeedRules(speed=None, records_per_message=10, packed=True)
    fed = await feed_batches([quotes(range(25), reference_s=[0])], log, rules)
    assert (fed.records, fed.messages) == (26, 4)
    chain, *ticks = log.records
    assert (chain.topic, chain.headers, decoded([chain])[0]["kind"]) == ("chain", (), "contract")
    batch, rejects = decode([(0, r.key, r.value, content_type_of(r.headers), None) for r in ticks], "ticks")
    assert rejects == []
    assert batch.events["index"].tolist() == [*range(10), *range(10), *range(5)]
    assert batch.events["ts_event_ns"].tolist() == [START_NS + second * SECOND_NS for second in range(25)]


async def test_topics_carry_the_operators_prefix():
    """The wire knows bare names only."""
    log = MemoryLog()
    await feed_batches([quotes([0], reference_s=[0])], log, FeedRules(speed=None, topic_prefix="test."))
    assert [record.topic for record in log.records] == ["test.chain", "test.ticks"]


@pytest.mark.parametrize("speed", [0.5, 1.0, 60.0])
async def test_no_record_is_sent_before_its_event_time(speed: float):
    """Event time over wall time is the speed, and the wait is for the record, not for the batch."""
    wall = Wall()
    log = MemoryLog(wall)
    times_s = [0.0, 0.01, 30.0, 30.5, 90.0]
    await feed_batches([quotes(times_s)], log, FeedRules(speed=speed), pace=wall.pace)
    for appended_s, records in log.appends:
        latest = max(record["ts_event_ns"] for record in decoded(records))
        first_s = 0.01 if speed > 0.02 else 0.0  # the first piece sets the clock by its last record
        assert appended_s - 1000.0 >= ((latest - START_NS) / SECOND_NS - first_s) / speed - 1e-6
    assert wall.now - 1000.0 == pytest.approx(90.0 / speed, abs=0.1)
    assert len(log.records) == 5


async def test_a_source_that_has_fallen_behind_does_not_wait():
    """A slow log is caught up with, not waited for twice."""
    wall = Wall()

    class SlowLog(MemoryLog):
        async def append(self, records: Sequence[OutRecord]) -> None:
            wall.now += 50.0
            await super().append(records)

    await feed_batches([quotes([0, 10, 20, 30])], SlowLog(wall), FeedRules(speed=1.0), pace=wall.pace)
    assert wall.now == 1000.0 + 4 * 50.0


@pytest.mark.parametrize(("closing_ms", "late_s"), [(None, 0.0), (100, 3.0)])
async def test_what_a_live_source_needs_to_begin_does_not_make_its_records_late(closing_ms: int | None, late_s: float):
    """Its time begins when it is asked, so that they are sent at their own time; that of a file when it is read."""
    wall = Wall()
    log = MemoryLog(wall)

    def slow_to_begin() -> Iterator[Batch]:
        wall.now += 3.0
        yield quotes([0.0, 5.0, 10.0])

    await feed_batches(slow_to_begin(), log, FeedRules(speed=1.0, closing_ms=closing_ms), pace=wall.pace)
    sent_s = [at - 1000.0 for at, _ in log.appends]
    assert sent_s[1:3] == pytest.approx([5.0 + late_s, 10.0 + late_s])


async def test_reference_data_sets_no_clock():
    """Contracts defined years ago do not make the first quote wait for years."""
    wall = Wall()
    await feed_batches(
        [quotes([100.0, 101.0], reference_s=[-1e7])], MemoryLog(wall), FeedRules(speed=1.0), pace=wall.pace
    )
    assert wall.now == pytest.approx(1001.0)


async def test_speed_zero_means_as_fast_as_it_goes():
    """Nobody sleeps."""
    wall = Wall()
    await feed_batches([quotes([0, 1e6])], MemoryLog(wall), FeedRules(speed=0.0), pace=wall.pace)
    assert wall.now == 1000.0


async def test_files_end_with_a_clock_for_everybody_on_every_partition():
    """One pressure interval after the last record, so that the last state is published."""
    log = MemoryLog(partitions=4)
    fed = await feed_batches([quotes([0, 3]), quotes([2])], log, FeedRules(speed=None, closing_ms=100))
    clocks = log.records[-4:]
    assert [record.partition for record in clocks] == [0, 1, 2, 3]
    assert {record.topic for record in clocks} == {"ticks"}
    for clock in decoded(clocks):
        assert (clock["kind"], clock["underlying"]) == ("clock", "*")
        assert clock["ts_event_ns"] == START_NS + 3 * SECOND_NS + 100_000_000
    assert fed.records == 4
    assert fed.last_event_ns == START_NS + 3 * SECOND_NS + 100_000_000


async def test_a_source_without_hot_records_ends_without_a_clock():
    """Reference data alone moves no event time."""
    log = MemoryLog()
    await feed_batches([quotes([], reference_s=[0, 1])], log, FeedRules(speed=None, closing_ms=100))
    assert [record.topic for record in log.records] == ["chain", "chain"]


async def test_rejects_of_a_file_are_told_and_the_rest_goes_on():
    """A bad line costs itself only."""
    reject = Reject("", 0, 7, "bad.jsonl", "undecodable", "line 7 is not JSON")
    told: list[Reject] = []
    log = MemoryLog()
    fed = await feed_batches([quotes([0]), reject, quotes([1])], log, AS_FAST_AS_IT_GOES, on_reject=told.append)
    assert told == [reject]
    assert (fed.records, fed.rejected, len(log.records)) == (2, 1, 2)


async def test_appends_and_progress_are_bounded_steps():
    """A large batch goes in pieces, so neither the loop nor the log is held for long."""
    log = MemoryLog()
    seen: list[Fed] = []
    await feed_batches([quotes(range(5000))], log, AS_FAST_AS_IT_GOES, on_progress=seen.append)
    assert max(len(records) for _, records in log.appends) <= 1000
    assert [fed.records for fed in seen] == [2000, 4000, 5000]
    assert [record["ts_event_ns"] for record in decoded(log.records)] == quotes(range(5000)).events[
        "ts_event_ns"
    ].tolist()


async def test_an_endless_source_stops_when_the_task_is_cancelled():
    """The demo feeds until it is told to end."""
    enough = asyncio.Event()
    log = MemoryLog()
    task = asyncio.create_task(
        feed_batches(
            simulate(SimulationSettings(), START_NS),
            log,
            AS_FAST_AS_IT_GOES,
            on_progress=lambda fed: enough.set() if fed.records > 2000 else None,
        )
    )
    await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert {record["kind"] for record in decoded(log.records)} >= {"contract", "option_quote", "quote"}


async def test_the_fault_of_a_source_and_of_the_log_reach_the_caller():
    """Neither a broken file nor a log that is gone passes in silence."""

    def broken() -> Iterator[Batch]:
        yield quotes([0])
        raise OSError("the file is gone")

    class NoLog(MemoryLog):
        async def append(self, records: Sequence[OutRecord]) -> None:
            raise LogUnavailable(f"cannot write {len(records)} records")

    with pytest.raises(OSError, match="the file is gone"):
        await feed_batches(broken(), MemoryLog(), AS_FAST_AS_IT_GOES)
    with pytest.raises(LogUnavailable, match="cannot write 1 records"):
        await feed_batches([quotes([0])], NoLog(), AS_FAST_AS_IT_GOES)


def test_the_closing_clock_is_one_record_of_all_underlyings():
    """It names everybody and stands after the last record."""
    batch = closing_clock(START_NS, 250)
    assert batch.names[batch.events["underlying"][0]] == "*"
    assert batch.events["kind"].tolist() == [CLOCK]
    assert batch.events["ts_event_ns"].tolist() == [START_NS + 250_000_000]


def test_the_latest_event_time_is_that_of_hot_records():
    """Reference data never moves it."""
    assert latest_event_ns(quotes([1.0, 5.0, 2.0], reference_s=[9.0]), -1) == START_NS + 5 * SECOND_NS
    assert latest_event_ns(quotes([], reference_s=[9.0]), 42) == 42
    assert latest_event_ns(quotes([1.0]), START_NS + 9 * SECOND_NS) == START_NS + 9 * SECOND_NS
