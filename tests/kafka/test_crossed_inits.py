"""Two owners of one partition whose initialisations cross, in every order, with one of them retried alone.

Whatever the order, at most one of them goes on, and what stands in the log is what the committed offset says: each
record once. That needs every part of the rule in ``transactions.py``.
"""

import asyncio
from collections.abc import Callable
from itertools import combinations

import pytest

from dhpe.edge.kafka import KafkaLog, KafkaPartition
from dhpe.edge.kafka_clients import make_producer
from dhpe.edge.log import CommitFailed, Fenced, OutRecord
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings
from log_contract import read_all, values

pytestmark = pytest.mark.kafka

MakeSettings = Callable[..., Settings]
TURNS = "ABAB"
"""Who tries to commit, after both believe that they own the partition."""


def orders() -> list[list[str]]:
    """All ways in which A0 A1 and B0 B1 can be mixed, then those with one id initialised once more at the end."""
    mixed = []
    for places in combinations(range(4), 2):
        ours, theirs = iter(("A0", "A1")), iter(("B0", "B1"))
        mixed.append([next(ours) if place in places else next(theirs) for place in range(4)])
    return mixed + [[*order, again] for order, again in zip(mixed, ("x1", "x0") * 3, strict=True)]


class Schedule:
    """Lets the initialisations happen one after the other, in a given order."""

    def __init__(self, order: list[str]) -> None:
        self._order = order
        self._place = 0
        self._moved = asyncio.Condition()

    async def take(self, step: str, action: Callable[[], object]) -> None:
        """Wait until it is the turn of ``step``, then act; what is not in the order may happen at once."""
        async with self._moved:
            if step in self._order[self._place :]:
                await self._moved.wait_for(lambda: self._order[self._place] == step)
            await action()  # type: ignore[misc]
            self._place += step in self._order[self._place : self._place + 1]
            self._moved.notify_all()


def slowed(owned: KafkaPartition, owner: str, schedule: Schedule, settings: Settings) -> KafkaPartition:
    """The same owner, with its initialisations on a schedule."""

    def make(name: str) -> object:
        producer = make_producer(settings, name)
        start = producer.start

        async def when_due() -> None:
            await schedule.take(owner + name[-1], start)

        producer.start = when_due
        return producer

    owned._producers._make = make  # type: ignore[assignment]
    return owned


async def again(settings: Settings, partition: int, index: str) -> None:
    """An initialisation of one id alone, as a request that was sent twice."""
    name = f"dhpe.{settings.topic_prefix}{settings.kafka_group}.{partition}.{index}"
    producer = make_producer(settings, name)
    await producer.start()
    await producer.stop()


async def test_crossed_initialisations_never_say_anything_twice(make_settings: MakeSettings) -> None:
    """Each order on a partition of its own; a third owner then finds the offset that the outputs stand for."""
    settings = make_settings(topic_partitions=len(orders()), kafka_request_timeout_s=10.0)
    names = TopicNames.of(settings)
    await create_topics(settings)
    log = KafkaLog(settings)
    await log.start()
    survivors = set()
    for partition, order in enumerate(orders()):
        schedule = Schedule(order)
        owners = {name: slowed(log.own(partition), name, schedule, settings) for name in "AB"}
        answers = await asyncio.gather(*(one.fence() for one in owners.values()), return_exceptions=True)
        found = {name: answer for name, answer in zip(owners, answers, strict=True) if isinstance(answer, dict)}
        assert all(isinstance(answer, (dict, Fenced, CommitFailed)) for answer in answers), answers
        for step in order[4:]:
            await again(settings, partition, step[-1])
        offsets = {name: committed.get(names.ticks, 0) for name, committed in found.items()}
        for name in (turn for turn in TURNS if turn in found):  # who was fenced while he fenced begins anew
            output = OutRecord(names.alerts, b"k", b"%d" % offsets[name])
            try:
                await owners[name].commit([output], {names.ticks: offsets[name] + 1})
            except (Fenced, CommitFailed):
                continue
            offsets[name] += 1
            survivors.add(name)
        third = log.own(partition)
        committed = (await third.fence()).get(names.ticks, 0)
        await third.commit([OutRecord(names.alerts, b"k", b"%d" % committed)], {names.ticks: committed + 1})
        async with asyncio.timeout(30.0):  # readers see a commit when its markers are written
            while len(told := values(await read_all(log, names.alerts, partition))) <= committed:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert told == [b"%d" % number for number in range(committed + 1)], order
        for one in (*owners.values(), third):
            await one.close()
    assert survivors == {"A", "B"}
    await log.stop()
