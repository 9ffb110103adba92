"""The bad input that only Kafka has: tombstones and keys, compressed bombs, times, retention, a topic made anew."""

import json
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete

from bad_input_cases import DEEP
from dhpe.edge.kafka import KafkaLog
from dhpe.edge.log import RecordsLost, partition_of
from dhpe.edge.metrics import Metrics
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics, topics_for
from dhpe.settings import Settings
from worker_room import START_NS, dead, drained, expected, market, messages, put, until, working, written

pytestmark = pytest.mark.kafka

MakeSettings = Callable[..., Settings]
NAME = "SIMA"
YEARS_AGO_MS = 1_000_000_000_000
FAR_AHEAD_MS = 4_000_000_000_000
MIB = 1 << 20


@pytest.fixture
async def kafka(make_settings: MakeSettings) -> AsyncIterator[tuple[Settings, KafkaLog]]:
    """Fresh topics, and a log on them."""
    # one partition: a worker that ends leaves no other one behind in the middle of its beginning
    settings = make_settings(drain_timeout_s=30.0, topic_partitions=1)
    await create_topics(settings)
    log = KafkaLog(settings)
    await log.start()
    yield settings, log
    await log.stop()


async def produce(
    settings: Settings, compression: str, *values: tuple[bytes | None, bytes | None], timestamp_ms: int | None = None
) -> None:
    """What a foreign producer with its own ideas of size, compression and time sends to ``ticks``."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap_servers, compression_type=compression, max_request_size=200 * MIB
    )
    await producer.start()
    place = partition_of(NAME.encode(), settings.topic_partitions)
    for key, value in values:
        await producer.send_and_wait(
            TopicNames.of(settings).ticks, value, key=key, partition=place, timestamp_ms=timestamp_ms
        )
    await producer.stop()


def clock() -> bytes:
    """A record that changes nothing: event time has long come so far."""
    return json.dumps({"kind": "clock", "underlying": NAME, "ts_event_ns": START_NS}).encode()


async def test_what_only_kafka_can_hold_is_put_aside_and_the_neighbours_do_not_notice(
    kafka: tuple[Settings, KafkaLog],
) -> None:
    """One dead letter each with its reason; what is legal is applied; the outputs are those of the records alone."""
    settings, log = kafka
    names, key = TopicNames.of(settings), NAME.encode()
    batches = market(8)
    wire = messages(batches)
    middle = len(wire) - sum(message.topic == "ticks" for message in wire) // 2
    metrics = Metrics()
    await put(log, wire[:middle], names)
    blanks = clock()[:-1] + b" " * (60 * MIB) + b"}"
    await produce(settings, "zstd", (key, None), (key, b""), (b"\xff", clock()), (key, blanks))
    await produce(settings, "lz4", (key, b"[" + b"1," * 1_000_000 + b"1]"), (key, DEEP), (key, b" " * 10 * MIB))
    await produce(settings, "gzip", (key, clock()), (None, clock()), timestamp_ms=YEARS_AGO_MS)
    await produce(settings, "snappy", (key, clock()), timestamp_ms=FAR_AHEAD_MS)
    await put(log, wire[middle:], names)
    async with working(log, settings, metrics) as workers:
        await drained(workers, log, names)
    assert await written(log, names) == expected(batches, settings)
    letters = await dead(log, names.ticks_dead)
    assert [dict(letter.headers)["reason"].decode() for letter in letters] == [
        *("tombstone", "empty", "key_mismatch", "too_large"),
        *("too_large", "too_deep", "too_large"),
    ]
    assert dict(letters[3].headers)["size"] == str(len(blanks)).encode()
    assert b'dhpe_rejected_total{reason="too_large"} 3.0' in metrics.render()
    assert b'dhpe_flagged_total{flag="time_backwards"} 3.0' in metrics.render()


async def test_retention_past_the_committed_offset_stops_the_work_or_degrades_it(
    kafka: tuple[Settings, KafkaLog],
) -> None:
    """The missing range is told; with the operator's word the work goes on, and every output says what happened."""
    settings, log = kafka
    names = TopicNames.of(settings)
    batches = market(6, (NAME,))
    await put(log, messages(batches[:3]), names)
    async with working(log, settings) as workers:
        await drained(workers, log, names)
    before = len((await written(log, names))["pressure", NAME.encode()])
    place = partition_of(NAME.encode(), settings.topic_partitions)
    end = (await log.span((names.ticks, place))).end
    await put(log, messages(batches[3:]), names)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(names.ticks, place): RecordsToDelete(end + 5)})
    await admin.close()
    with pytest.raises(RecordsLost, match=rf"ticks, partition {place}: offsets {end} to {end + 4} were deleted"):
        async with working(log, settings) as workers:
            await until(lambda: workers._fault is not None)
    accepting = settings.model_copy(update={"on_data_loss": "earliest"})
    async with working(log, accepting) as workers:
        await drained(workers, log, names)
    outputs = [one[2]["quality"]["reasons"] for one in (await written(log, names))["pressure", NAME.encode()]]
    assert len(outputs) > before
    assert ["data_loss" in reasons for reasons in outputs] == [False] * before + [True] * (len(outputs) - before)


async def test_a_topic_that_was_made_anew_stops_the_work(kafka: tuple[Settings, KafkaLog]) -> None:
    """A committed offset behind the end means another topic of the same name: nothing is skipped silently."""
    settings, log = kafka
    names = TopicNames.of(settings)
    await put(log, messages(market(3, (NAME,))), names)
    async with working(log, settings) as workers:
        await drained(workers, log, names)
    await log.stop()
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    await admin.delete_topics([names.ticks])
    (topic,) = (one for one in topics_for(settings) if one.name == names.ticks)
    made = NewTopic(topic.name, topic.partitions, topic.replication_factor, topic_configs=topic.config)
    while names.ticks in await admin.list_topics():
        pass
    await admin.create_topics([made])
    await admin.close()
    again = KafkaLog(settings)
    await again.start()
    with pytest.raises(RecordsLost, match="it was made anew"):
        async with working(again, settings) as workers:
            await until(lambda: workers._fault is not None)
    await again.stop()
