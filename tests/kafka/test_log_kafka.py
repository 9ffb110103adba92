"""Kafka keeps the promises of the seam, and the rule of the two producers that take turns."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidProducerEpoch, ProducerFenced
from aiokafka.record import default_records

from dhpe.edge import transactions
from dhpe.edge.kafka import KafkaLog
from dhpe.edge.kafka_clients import make_producer
from dhpe.edge.log import CommitFailed, Fenced, LogError, LogUnavailable, OutRecord, RecordsLost
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import check_topics, create_topics
from dhpe.settings import Settings
from log_contract import LogContract, LogRoom, read_all, read_count, values

pytestmark = pytest.mark.kafka

MakeSettings = Callable[..., Settings]


@pytest.fixture
async def room(make_settings: MakeSettings) -> AsyncIterator[LogRoom]:
    """Fresh topics; every log opened on them is stopped at the end."""
    settings = make_settings()
    names = TopicNames.of(settings)
    await create_topics(settings)
    opened: list[KafkaLog] = []

    async def open_log() -> KafkaLog:
        log = KafkaLog(settings)
        await log.start()
        opened.append(log)
        return log

    yield LogRoom(open_log, names.chain, names.ticks, names.pressure)
    for log in opened:
        await log.stop()


class TestKafkaLog(LogContract):
    """All promises of the seam."""


async def test_an_owner_who_only_reached_its_first_producer_is_fenced_with_it(room: LogRoom) -> None:
    """Two owners whose initialisations cross: the one who finishes last owns, the other one's commit fails."""
    first, second = (await room.open_log()).own(0), (await room.open_log()).own(0)
    await asyncio.gather(first.fence(), second.fence(), return_exceptions=True)
    outcomes = []
    for owned, value in ((first, b"first"), (second, b"second")):
        try:
            await owned.commit([OutRecord(room.pressure, b"k", value)], {room.ticks: 1})
            outcomes.append(value)
        except (Fenced, CommitFailed):
            await owned.close()
    log = await room.open_log()
    found = values(await read_all(log, room.pressure, 0))
    assert found == outcomes
    assert len(found) <= 1
    await first.close()
    await second.close()


async def test_a_foreign_initialisation_of_either_id_throws_both_producers_away(
    room: LogRoom, make_settings: MakeSettings
) -> None:
    """Whoever takes one of our two ids stops us at its next turn; after fencing again we go on, without a gap."""
    settings = make_settings()
    owned = (await room.open_log()).own(0)
    for index in (0, 1):
        await owned.fence()
        foreign = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            transactional_id=f"dhpe.{settings.topic_prefix}{settings.kafka_group}.0.{index}",
        )
        await foreign.start()
        await foreign.stop()
        with pytest.raises(Fenced):  # noqa: PT012 - at the turn of the id that was taken
            for turn in range(2):
                await owned.commit([OutRecord(room.pressure, b"k", b"%d.%d" % (index, turn))], {room.ticks: turn})
        with pytest.raises(CommitFailed, match="fence first"):
            await owned.commit([], {room.ticks: 99})
    await owned.fence()
    await owned.commit([OutRecord(room.pressure, b"k", b"back")], {room.ticks: 5})
    assert values(await read_all(await room.open_log(), room.pressure, 0)) == [b"0.0", b"back"]
    await owned.close()


@pytest.mark.parametrize("call", ["send", "send_offsets_to_transaction", "commit_transaction"])
async def test_a_fence_that_comes_between_two_calls_of_a_transaction_is_told_as_one(
    room: LogRoom, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The client notices in its background, and at the next call speaks of the wrong state, not of the reason."""
    settings = make_settings()
    owned = (await room.open_log()).own(0)
    await owned.fence()
    producer = owned._producers._producers[owned._producers._turn]
    true = getattr(producer, call)

    async def after_a_fence(*given: object, **named: object) -> object:
        monkeypatch.undo()
        name = f"dhpe.{settings.topic_prefix}{settings.kafka_group}.0.{owned._producers._turn}"
        foreign = make_producer(settings, name)
        await foreign.start()
        await foreign.stop()
        fenced = await producer.send(room.pressure, b"fenced", partition=0)
        transactions._read_drains(producer)
        await asyncio.wait([fenced])
        assert isinstance(fenced.exception(), (ProducerFenced, InvalidProducerEpoch))
        return await true(*given, **named)

    monkeypatch.setattr(producer, call, after_a_fence)
    with pytest.raises(Fenced):
        await owned.commit([OutRecord(room.pressure, b"k", b"never")], {room.ticks: 1})
    assert await owned.fence() == {}
    await owned.close()


async def test_offsets_are_believed_only_when_our_mark_is_among_them(
    room: LogRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that has just come up may answer from seconds ago, or not at all."""
    log = await room.open_log()
    owned = log.own(0)
    await owned.fence()
    await owned.commit([], {room.ticks: 7})
    consumer = log.group_consumer()
    true, asked = consumer.committed, []

    async def old(place: object) -> int | None:
        asked.append(place)
        return None if len(asked) <= 3 else await true(place)

    monkeypatch.setattr(consumer, "committed", old)
    assert (await owned.fence())[room.ticks] == 7
    assert len(asked) > 5
    await owned.close()


async def test_a_newer_owner_that_comes_while_we_wait_for_our_mark_is_seen_at_once(
    room: LogRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """His mark stands where ours was: we would wait for ours until the request's time is over."""
    log = await room.open_log()
    first, second = log.own(0), (await room.open_log()).own(0)
    true = log.group_consumer().committed

    async def overtaken(place: object) -> int | None:
        monkeypatch.undo()
        await second.fence()
        return await true(place)

    monkeypatch.setattr(log.group_consumer(), "committed", overtaken)
    with pytest.raises(Fenced, match="newer owner"):
        await first.fence()
    await first.close()
    await second.commit([], {room.ticks: 1})
    await second.close()


async def test_a_refused_output_moves_no_offset(room: LogRoom) -> None:
    """A produce that the broker or the client refuses ends the transaction, and with it the offsets."""
    owned = (await room.open_log()).own(0)
    await owned.fence()
    too_large = b"x" * 8_000_000
    with pytest.raises(CommitFailed):
        await owned.commit(
            [OutRecord(room.pressure, b"k", b"small"), OutRecord(room.pressure, b"k", too_large)], {room.ticks: 1}
        )
    assert await owned.fence() == {}
    assert await read_all(await room.open_log(), room.pressure, 0) == []
    await owned.close()


async def test_a_position_that_the_log_never_had_is_told(room: LogRoom) -> None:
    """Reading beyond the end means that the topic was made anew: never a silent jump."""
    log = await room.open_log()
    await log.append([OutRecord(room.ticks, b"k", b"v", (), 0)])
    reader = await log.reader({(room.ticks, 0): 50})
    with pytest.raises(RecordsLost):
        await read_count(reader, 1)
    await reader.close()


async def test_topics_are_made_once_with_their_settings(make_settings: MakeSettings) -> None:
    """The first call makes all nine, the second none; the check finds nothing; another partition count is told."""
    settings = make_settings()
    missing = await check_topics(settings)
    assert len(missing) == len(TopicNames._fields)
    assert all("`dhpe topics`" in fault for fault in missing)
    assert sorted(await create_topics(settings)) == sorted(TopicNames.of(settings))
    assert await create_topics(settings) == []
    assert await check_topics(settings) == []
    faults = await check_topics(make_settings(topic_partitions=3))
    assert len(faults) == len(TopicNames._fields)
    assert "has 2 partitions, DHPE_TOPIC_PARTITIONS is 3" in faults[0]
    assert any("retention.ms" in fault for fault in await check_topics(make_settings(alerts_retention_s=5.0)))


async def test_an_unreachable_broker_is_named_with_its_setting() -> None:
    """One line: the address, the time waited, the variable."""
    log = KafkaLog(Settings(kafka_bootstrap_servers="127.0.0.1:9", kafka_connect_timeout_s=1.0))
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:9 within 1 s.*DHPE_KAFKA_BOOTSTRAP_SERVERS") as failure:
        await log.start()
    assert "\n" not in str(failure.value)


async def test_the_slow_fallback_of_the_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its compiled extension the client is 14 to 66 times slower: told at the start, before connecting."""
    monkeypatch.setattr(default_records, "DefaultRecordBatch", default_records._DefaultRecordBatchPy)
    with pytest.raises(LogError, match="without its compiled extension"):
        await KafkaLog(Settings(kafka_bootstrap_servers="127.0.0.1:9")).start()


async def test_a_topic_that_a_rebalance_made_the_client_forget_is_asked_about_at_once(room: LogRoom) -> None:
    """The library would ask blindly, fail and pause: 100 ms of a restart for each of `state`, `manifest`, `journal`."""
    log = await room.open_log()
    assert isinstance(log, KafkaLog)
    consumer = log.group_consumer()
    assert await log.span((room.pressure, 0)) == (0, 0)  # a new topic may have no leader yet
    await consumer._client.set_topics([room.chain])
    consumer._fetcher._retry_backoff = 3600.0
    async with asyncio.timeout(20):
        assert await log.span((room.pressure, 0)) == (0, 0)
