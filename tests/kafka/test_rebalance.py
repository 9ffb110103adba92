"""Two workers of one group: partitions come and go, and every record is applied once."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from dhpe.edge.kafka import KafkaLog
from dhpe.edge.log import LogError
from dhpe.edge.metrics import Metrics
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.edge.workers import Workers
from dhpe.settings import Settings
from worker_room import drained, expected, market, messages, put, until, working, written

pytestmark = pytest.mark.kafka

MakeSettings = Callable[..., Settings]


@pytest.fixture
async def open_log(make_settings: MakeSettings) -> AsyncIterator[Callable[..., KafkaLog]]:
    """Connections to the same fresh topics, as if from several processes."""
    await create_topics(make_settings())
    opened: list[KafkaLog] = []

    async def new(**given: object) -> KafkaLog:
        log = KafkaLog(make_settings(**given))
        await log.start()
        opened.append(log)
        return log

    yield new  # type: ignore[misc]
    for log in opened:
        await log.stop()


def numbers(workers: Workers) -> set[int]:
    """The partitions that are live in this process."""
    return {n for n in (0, 1) if (worker := workers.worker(n)) is not None and worker.phase == "live"}


async def test_partitions_move_between_two_workers_without_loss_or_repetition(
    make_settings: MakeSettings, open_log: Callable[..., KafkaLog]
) -> None:
    """One worker, two, one again, records coming all the while: the outputs are those of the engine alone."""
    settings = make_settings(step_records_max=200, drain_timeout_s=30.0)
    names = TopicNames.of(settings)
    batches = market(24)
    wire = messages(batches)
    quarter = len(wire) // 4
    first_log = await open_log(step_records_max=200)  # type: ignore[misc]
    second_log = await open_log(step_records_max=200)  # type: ignore[misc]
    metrics = Metrics()
    await put(first_log, wire[:quarter], names)  # before anybody works: contracts are then applied before the ticks
    async with working(first_log, settings, metrics) as first:
        await until(lambda: numbers(first) == {0, 1})
        async with working(second_log, settings) as second:
            await put(first_log, wire[quarter : 2 * quarter], names)
            await until(lambda: numbers(first) | numbers(second) == {0, 1} and len(numbers(second)) == 1)
            await put(first_log, wire[2 * quarter : 3 * quarter], names)
        await second_log.stop()
        await until(lambda: numbers(first) == {0, 1})
        await put(first_log, wire[3 * quarter :], names)
        await drained(first, first_log, names)
    assert await written(first_log, names) == expected(batches, settings)
    assert b"dhpe_rebalances_total 3.0" in metrics.render()


async def test_a_zombie_that_comes_back_writes_nothing_that_is_read(
    make_settings: MakeSettings, open_log: Callable[..., KafkaLog]
) -> None:
    """A worker is overtaken without knowing; at its next commit it is fenced, and together both say it once."""
    settings = make_settings(step_records_max=200, drain_timeout_s=30.0, kafka_heartbeat_interval_s=0.3)
    names = TopicNames.of(settings)
    batches = market(16)
    wire = messages(batches)
    log = await open_log(step_records_max=200)  # type: ignore[misc]
    metrics = Metrics()
    await put(log, wire[: len(wire) // 2], names)
    async with working(log, settings, metrics) as workers:
        await drained(workers, log, names)
        for number in (0, 1):
            # a stranger takes over and leaves again, as a new owner would that dies at once
            stranger = (await open_log()).own(number)  # type: ignore[misc]
            assert (await stranger.fence())[names.ticks] > 0
            await stranger.close()
        await put(log, wire[len(wire) // 2 :], names)
        await drained(workers, log, names)
    assert await written(log, names) == expected(batches, settings)
    assert b"dhpe_fenced_total 2.0" in metrics.render()


async def test_missing_topics_are_told_with_the_remedy(make_settings: MakeSettings) -> None:
    """A worker does not make topics by itself: one line names the topic and the command."""
    log = KafkaLog(make_settings())
    await log.start()
    with pytest.raises(LogError, match=r"chain' does not exist on the cluster: make the topics with `dhpe topics`"):
        async with asyncio.timeout(20):
            await Workers(log, make_settings(), Metrics()).run()
    await log.stop()
