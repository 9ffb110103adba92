"""The worker on the embedded log: every record once, whatever happens between two commits."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from dhpe.edge.log import CommitFailed, Fenced, LogError, OutRecord, PartitionLog
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from log_contract import read_all
from worker_room import (
    by_underlying,
    dead,
    drained,
    expected,
    forget_states,
    market,
    messages,
    put,
    sqlite_log,
    until,
    working,
    written,
)

SETTINGS = Settings(step_records_max=700, drain_timeout_s=30.0)
NAMES = TopicNames.of(SETTINGS)
CHUNKS = 25


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    """An empty embedded log."""
    log = sqlite_log(tmp_path, SETTINGS)
    await log.start()
    yield log
    await log.stop()


class UnluckyPartition:
    """A partition whose commits fail as told: before they hold ("before"), after ("after"), or by a fence."""

    def __init__(self, real: PartitionLog, misfortunes: list[str]) -> None:
        self._real = real
        self._misfortunes = misfortunes

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    async def commit(self, outputs: Sequence[OutRecord], offsets: Mapping[str, int]) -> None:
        """Commit, or not, and say so, or not."""
        fate = self._misfortunes.pop(0) if self._misfortunes else ""
        if fate == "before":
            raise CommitFailed("nothing was written")
        if fate == "fenced":
            raise Fenced("somebody initialised our ids")
        await self._real.commit(outputs, offsets)
        if fate == "after":
            raise CommitFailed("the answer was lost")


class UnluckyLog(SqliteLog):
    """The embedded log with such partitions."""

    misfortunes: list[str]

    def own(self, partition: int) -> PartitionLog:  # type: ignore[override]
        """The real partition behind its misfortunes."""
        return UnluckyPartition(super().own(partition), self.misfortunes)  # type: ignore[return-value]


async def test_the_outputs_are_those_of_the_engine_alone(log: SqliteLog) -> None:
    """What the worker commits equals, per underlying and in order, what the engine says of the same records."""
    batches = market(CHUNKS)
    await put(log, messages(batches), NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
    outputs = await written(log, NAMES)
    assert outputs == expected(batches, SETTINGS)
    assert len(outputs["pressure", b"SIMA"]) > CHUNKS // 2
    assert await dead(log, NAMES.ticks_dead) == []


async def test_array_messages_say_the_same_as_single_ones(log: SqliteLog) -> None:
    """Many records in a message: the same outputs, since a message is applied whole and in order."""
    batches = market(CHUNKS)
    await put(log, messages(batches, 50), NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
    assert await written(log, NAMES) == expected(batches, SETTINGS)


async def test_a_restart_rebuilds_the_state_and_repeats_nothing(log: SqliteLog) -> None:
    """Three workers one after the other on growing input say what one would have said."""
    batches = market(CHUNKS)
    wire = messages(batches)
    third = len(wire) // 3
    for part in (wire[:third], wire[third : 2 * third], wire[2 * third :]):
        await put(log, part, NAMES)
        async with working(log, SETTINGS) as workers:
            await drained(workers, log, NAMES)
        await forget_states(log)
    assert await written(log, NAMES) == expected(batches, SETTINGS)


@pytest.mark.parametrize("newer_than", [-1, 0, 1])
async def test_a_restart_follows_the_journal_where_the_order_of_the_topics_matters(
    log: SqliteLog, newer_than: int
) -> None:
    """Dealer positions that arrived between ticks are applied between the same ticks again, with a state or without."""
    settings = SETTINGS.model_copy(update={"snapshot_records_max": 1_000})
    wire = messages(market(CHUNKS, ("SIMA",)))
    chain = [message for message in wire if message.topic == "chain"]
    ticks = [message for message in wire if message.topic == "ticks"]
    symbol = next(b["symbol"] for m in chain if (b := msgspec.json.decode(m.value))["kind"] == "contract")
    async with working(log, settings) as workers:
        await put(log, chain, NAMES)
        for number, start in enumerate(range(0, len(ticks), 400)):
            position = {"kind": "dealer_position", "underlying": "SIMA", "ts_event_ns": 1_750_000_000_000_000_000}
            position |= {"symbol": symbol, "position": -1e6 * (-1) ** number}
            await put(log, [chain[0]._replace(value=msgspec.json.encode(position))], NAMES)
            await drained(workers, log, NAMES)
            await put(log, ticks[start : start + 400], NAMES)
            await drained(workers, log, NAMES)
        worker = workers.worker(0)
        assert worker is not None
        assert worker._stepper is not None
        before = repr(worker._stepper._engine.underlyings["SIMA"].book.state.contracts.tolist())
    assert len(await read_all(log, NAMES.journal, 0)) > 4
    outputs = await written(log, NAMES)
    assert len(await read_all(log, NAMES.manifest, 0)) > newer_than + 1
    await forget_states(log, newer_than=newer_than)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
        worker = workers.worker(0)
        assert worker is not None
        assert worker._stepper is not None
        assert repr(worker._stepper._engine.underlyings["SIMA"].book.state.contracts.tolist()) == before
    assert await written(log, NAMES) == outputs


@pytest.mark.parametrize("fate", ["before", "after", "fenced"])
async def test_a_commit_without_an_answer_neither_loses_nor_repeats(tmp_path: Path, fate: str) -> None:
    """Whether or not the failed commit holds, the outputs are there exactly once."""
    log = UnluckyLog(tmp_path / "log.sqlite", dict.fromkeys(NAMES, 1))
    log.misfortunes = ["", fate, "", fate, fate]
    await log.start()
    batches = market(CHUNKS)
    await put(log, messages(batches), NAMES)
    metrics = Metrics()
    async with working(log, SETTINGS, metrics) as workers:
        await drained(workers, log, NAMES)
    assert await written(log, NAMES) == expected(batches, SETTINGS)
    assert log.misfortunes == []
    counter = b"dhpe_fenced_total 3.0" if fate == "fenced" else b"dhpe_transaction_aborts_total 3.0"
    assert counter in metrics.render()
    await log.stop()


async def test_the_chain_is_read_to_its_end_before_the_first_tick(log: SqliteLog) -> None:
    """Ticks that were appended before the contracts still find them."""
    wire = messages(market(5, ("SIMA",)))
    await put(log, [message for message in wire if message.topic == "ticks"], NAMES)
    await put(log, [message for message in wire if message.topic == "chain"], NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
    assert await dead(log, NAMES.ticks_dead) == []
    assert ("pressure", b"SIMA") in await written(log, NAMES)


async def test_bad_messages_are_put_aside_and_their_neighbours_do_not_notice(log: SqliteLog) -> None:
    """Each bad message gives one dead letter with its bytes, place and reason; the good outputs are unchanged."""
    batches = market(10, ("SIMA",))
    wire = messages(batches)
    bad = [
        b"\xff\xfe",
        b"{",
        b"[]",
        b"",
        b'{"kind":"quote"}',
        b'{"kind":"nonsense","underlying":"SIMA","ts_event_ns":1}',
    ]
    for number, value in enumerate(bad):
        wire.insert(1_900 + 10 * number, wire[-1]._replace(topic="ticks", key=b"SIMA", value=value))
    await put(log, wire, NAMES)
    await log.append([OutRecord(NAMES.ticks, b"SIMA", None, (("mine", b"kept"),))])
    metrics = Metrics()
    async with working(log, SETTINGS, metrics) as workers:
        await drained(workers, log, NAMES)
    assert await written(log, NAMES) == expected(batches, SETTINGS)
    letters = await dead(log, NAMES.ticks_dead)
    assert [letter.value for letter in letters] == [*bad, None]
    inputs = {record.offset: record for record in await read_all(log, NAMES.ticks, 0)}
    for letter in letters:
        headers = dict(letter.headers)
        source = inputs[int(headers["offset"])]
        assert (source.key, source.value) == (letter.key, letter.value)
        assert headers["topic"] == b"ticks"
        assert headers["partition"] == b"0"
        assert int(headers["timestamp"]) == source.append_time_ms
        assert headers["reason"]
    assert dict(letters[-1].headers)["mine"] == b"kept"
    assert b'dhpe_rejected_total{reason="undecodable"} 2.0' in metrics.render()


async def test_a_bad_record_in_an_array_leaves_the_others_applied(log: SqliteLog) -> None:
    """One dead letter for the whole message, naming the bad indices; the good records take effect."""
    wire = messages(market(3, ("SIMA",)))
    await put(log, wire, NAMES)
    time_ns = 1_750_000_000_400_000_000
    quote = {"kind": "quote", "underlying": "SIMA", "ts_event_ns": time_ns, "bid_size": 1, "ask_size": 1}
    good = quote | {"bid": 4321.0, "ask": 4322.0}
    clock = {"kind": "clock", "underlying": "SIMA", "ts_event_ns": time_ns + 200_000_000}
    unknown = {"kind": "option_quote", "symbol": "nobody", "bid": 1, "ask": 2} | {
        name: quote[name] for name in ("underlying", "ts_event_ns", "bid_size", "ask_size")
    }
    value = msgspec.json.encode([quote | {"bid": -1.0, "ask": 2.0}, good, unknown, clock])
    await put(log, [wire[-1]._replace(topic="ticks", key=b"SIMA", value=value)], NAMES)
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
    (letter,) = await dead(log, NAMES.ticks_dead)
    headers = dict(letter.headers)
    assert letter.value == value
    assert headers["indices"] == b"0,2"
    assert headers["reason"] == b"bad_price,unknown_contract"
    latest = (await written(log, NAMES))["pressure", b"SIMA"][-1][2]
    assert latest["spot"] == pytest.approx(4321.5)


async def test_a_repeated_sequence_is_counted_and_not_put_aside(log: SqliteLog) -> None:
    """Duplicates are dropped by (source, sequence): no dead letter, one count."""
    quote = {"kind": "quote", "underlying": "SIMA", "ts_event_ns": 1_750_000_000_000_000_000, "bid": 1, "ask": 2}
    quote |= {"bid_size": 1, "ask_size": 1, "source": "feed", "sequence": 7}
    wire = messages(market(1, ("SIMA",)))[-1]._replace(topic="ticks", key=b"SIMA", value=msgspec.json.encode(quote))
    await put(log, [wire, wire], NAMES)
    metrics = Metrics()
    async with working(log, SETTINGS, metrics) as workers:
        await drained(workers, log, NAMES)
    assert await dead(log, NAMES.ticks_dead) == []
    assert b'dhpe_rejected_total{reason="duplicate"} 1.0' in metrics.render()


async def test_a_record_on_the_wrong_partition_is_put_aside(tmp_path: Path) -> None:
    """The underlying decides the partition; elsewhere it would make a second half of a state."""
    log = sqlite_log(tmp_path, SETTINGS, partitions=2)
    await log.start()
    batches = market(5, ("SIMA",))
    await put(log, messages(batches), NAMES)
    right = (await read_all(log, NAMES.ticks, 0)) or (await read_all(log, NAMES.ticks, 1))
    wrong = 1 - right[0].partition
    await log.append([OutRecord(NAMES.ticks, b"SIMA", right[0].value, (), wrong)])
    async with working(log, SETTINGS) as workers:
        await drained(workers, log, NAMES)
    (letter,) = await dead(log, NAMES.ticks_dead)
    assert letter.partition == wrong
    assert dict(letter.headers)["reason"] == b"wrong_partition"
    assert await written(log, NAMES) == by_underlying(
        one for some in expected(batches, SETTINGS).values() for one in some
    )
    await log.stop()


async def test_a_second_process_on_the_same_file_ends_the_first(log: SqliteLog, tmp_path: Path) -> None:
    """The first one is fenced at its next commit, writes nothing more, and says who took over."""
    wire = messages(market(6, ("SIMA",)))
    second = sqlite_log(tmp_path, SETTINGS)
    await second.start()
    with pytest.raises(LogError, match="another dhpe has taken over"):  # noqa: PT012 - raised when the work ends
        async with working(log, SETTINGS) as workers:
            await put(log, wire[:2_000], NAMES)
            await drained(workers, log, NAMES)
            await second.own(0).fence()
            before = await written(log, NAMES)
            await put(log, wire[2_000:], NAMES)
            await until(lambda: workers._fault is not None)
    assert await written(second, NAMES) == before
    await second.stop()
