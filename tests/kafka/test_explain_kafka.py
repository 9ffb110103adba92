"""Alerts of a worker that was killed three times and then lost a partition, explained by one that never said them."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import msgspec
import pytest

from dhpe.edge.kafka import KafkaLog
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.outputs import Alert
from dhpe.settings import Settings
from faults.actions import Room
from faults.crew import Crew
from faults.feeder import Feeder, market
from log_contract import read_all

pytestmark = pytest.mark.kafka

MakeSettings = Callable[..., Settings]
PARTITIONS: Final = 2
RECORDS: Final = 42_000
KILLED_AT: Final = (0.50, 0.66, 0.79)
"""Shares of the load, with alerts before the first, between, and after the last."""
AHEAD: Final = 0.03
"""Of the kill, so that it comes in the middle of the work."""
WAIT_S: Final = 90.0
GIVEN: Final = {
    "topic_partitions": PARTITIONS,
    "step_records_max": 10,
    "snapshot_records_max": 60,  # a state after every few steps, so that each life leaves some
    "kafka_session_timeout_s": 6.0,
    "field_interval_s": 0,
}


class Said(NamedTuple):
    """An alert of the log. ``life`` counts those of the first worker; in the last it has a second one beside it."""

    alert: Alert
    life: int


@asynccontextmanager
async def room_of_one(settings: Settings, folder: Path) -> AsyncIterator[Room]:
    """A worker named "first", and a market that is fed as far as it may."""
    async with Crew(settings, folder) as crew:
        crew.hire("first")  # it loads its kernels while the market is made
        load = await asyncio.to_thread(
            market, RECORDS, PARTITIONS, underlyings=("SIMA", "SIMC"), option_quotes_per_s=30.0
        )
        room = Room(settings, None, crew, Feeder(settings, load, records_per_s=20_000))
        tasks = [asyncio.create_task(part.run()) for part in (room.feeder, room.monitor)]
        try:
            yield room
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def committed(room: Room, share: float) -> None:
    """Wait until this share of the market is."""
    await room.until(lambda: room.monitor.share() >= share, WAIT_S, f"{share:.0%} committed")


async def ends_of_alerts(log: KafkaLog) -> list[int]:
    """What is committed by now, by partition."""
    names = TopicNames.of(log.settings)
    return [(await log.span((names.alerts, number))).end for number in range(PARTITIONS)]


async def all_said(log: KafkaLog, ends: Sequence[Sequence[int]]) -> list[Said]:
    """All alerts, each with the life that published it, as the ``ends`` of the lives tell."""
    names = TopicNames.of(log.settings)
    return [
        Said(
            msgspec.json.decode(record.value or b"", type=Alert),
            life=sum(record.offset >= end[number] for end in ends),
        )
        for number in range(PARTITIONS)
        for record in await read_all(log, names.alerts, number)
    ]


def partitions_of(room: Room, name: str) -> set[int]:
    """What the group has given to a worker last."""
    lines = [line for line in room.crew.said(name).splitlines() if '"event": "assigned"' in line]
    return set(msgspec.json.decode(lines[-1])["partitions"])


def address_of(room: Room, name: str) -> str:
    """Where a worker listens in its last life."""
    return re.findall(r"dhpe on (\S+) reads", room.crew.said(name))[-1]


async def explained(room: Room, name: str, said: Said) -> Any:
    """What this worker answers to ``GET /v1/explain/{id}``."""
    async with httpx.AsyncClient(base_url=address_of(room, name), timeout=WAIT_S) as client:
        answer = await client.get(f"/v1/explain/{said.alert.id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_alerts_are_explained_bit_equal_after_three_kills_and_a_rebalance(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    """Each alert of each life comes out of the log bit for bit, in a process that did not publish it."""
    settings = make_settings(**GIVEN)
    await create_topics(settings)
    log = KafkaLog(settings)
    await log.start()
    async with room_of_one(settings, tmp_path) as room:
        ends = []
        for share in KILLED_AT:
            room.feeder.limit = share + AHEAD
            await committed(room, share)
            await room.crew.kill("first")
            ends.append(await ends_of_alerts(log))
        await committed(room, room.feeder.limit)
        ends.append(await ends_of_alerts(log))
        room.crew.hire("second")
        await room.until(lambda: room.crew.joined() and len(partitions_of(room, "first")) == 1, WAIT_S, "both work")
        assert partitions_of(room, "first") | partitions_of(room, "second") == set(range(PARTITIONS))
        room.feeder.limit = 2.0
        await committed(room, 1.0)

        said = await all_said(log, ends)
        assert len({one.alert.id for one in said}) == len(said)
        from_a_state = 0
        for one in said:
            by_second = one.life == len(ends) and one.alert.offsets.partition in partitions_of(room, "second")
            answer = await explained(room, "first" if by_second else "second", one)
            assert answer["bit_equal"] is True, answer["reason"]
            assert answer["published"] == answer["recomputed"]
            from_a_state += answer["origin"]["kept_state"]
    await log.stop()
    lives = [sum(one.life == life for one in said) for life in range(len(ends) + 1)]
    assert lives[0] > 0, "no alert before the first kill"
    assert lives[1] > 0, "no alert between the first two"
    assert lives[2] > 0, "no alert between the last two"
    assert lives[-1] > 0, "no alert after the rebalance"
    assert from_a_state > 0
    print(f"{len(said)} alerts explained bit-equal, {from_a_state} of them from a kept state; by life {lives}")  # noqa: T201
