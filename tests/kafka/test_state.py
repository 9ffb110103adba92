"""States on a real broker: written, found again, and enough where the inputs before them are gone."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from dhpe.edge.kafka import KafkaLog
from dhpe.edge.log import OutRecord
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings
from state_room import a_planned_stop_leaves_nothing_to_replay, kept, what_a_burst_left_is_kept_once
from worker_room import drained, expected, market, messages, put, working, written

pytestmark = pytest.mark.kafka

MakeSettings = Callable[..., Settings]
# Small chunks, so that a state is more than one.
GIVEN = {"step_records_max": 300, "drain_timeout_s": 30.0, "topic_partitions": 1, "message_bytes_max": 20_000}


@pytest.fixture
async def open_log(make_settings: MakeSettings) -> AsyncIterator[Callable[[], Awaitable[KafkaLog]]]:
    """Connections to the same fresh topics, as if from several processes."""
    await create_topics(make_settings(**GIVEN))
    opened: list[KafkaLog] = []

    async def new() -> KafkaLog:
        log = KafkaLog(make_settings(**GIVEN))
        await log.start()
        opened.append(log)
        return log

    yield new
    for log in opened:
        await log.stop()


async def delete_before(settings: Settings, positions: dict[str, int]) -> None:
    """What retention does: the records of partition 0 before these offsets go."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(o) for topic, o in positions.items()})
    await admin.close()


async def test_a_state_is_found_and_is_enough_without_the_inputs_before_it(
    make_settings: MakeSettings, open_log: Callable[[], Awaitable[KafkaLog]]
) -> None:
    """Three starts: each takes the newest good state, the last one with nothing but a state behind it."""
    settings = make_settings(**GIVEN)
    names = TopicNames.of(settings)
    batches = market(40)
    wire = messages(batches)
    third = len(wire) // 3
    restores = []
    for number, part in enumerate((wire[:third], wire[third : 2 * third], wire[2 * third :])):
        log = await open_log()
        await put(log, part, names)
        with structlog.testing.capture_logs() as lines:
            async with working(log, settings) as workers:
                await drained(workers, log, names)
        restores += [line["source"] for line in lines if line["event"] == "restored"]
        newest = (await kept(log, settings))[0]
        assert len(newest.chunks) > 1
        assert newest.ticks == (await log.span((names.ticks, 0))).end
        await log.append([OutRecord(names.manifest, None, b"{", (), 0)])
        if number == 1:
            await delete_before(settings, {names.chain: newest.chain, names.ticks: newest.ticks})
        await log.stop()
    assert restores == ["the log alone", "a kept state", "a kept state"]
    assert await written(await open_log(), names) == expected(batches, settings)


async def test_what_a_burst_left_is_kept_though_nothing_follows(
    make_settings: MakeSettings, open_log: Callable[[], Awaitable[KafkaLog]]
) -> None:
    """Once, when its time has come."""
    await what_a_burst_left_is_kept_once(await open_log(), make_settings(**GIVEN))


async def test_a_planned_stop_in_the_middle_leaves_nothing_to_replay(
    make_settings: MakeSettings, open_log: Callable[[], Awaitable[KafkaLog]]
) -> None:
    """The step under way is committed, its state kept, and the next start begins there."""
    await a_planned_stop_leaves_nothing_to_replay(await open_log(), make_settings(**GIVEN))
