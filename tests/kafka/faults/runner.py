"""One runner for all rounds: feed, disturb, wait until the work goes on, and judge what a reader was given."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from dhpe.edge.kafka import KafkaLog
from dhpe.edge.log import Place
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import create_topics
from dhpe.settings import Settings
from faults import verdict
from faults.actions import ACTIONS, POISON_HEADER, Room
from faults.cluster import Cluster
from faults.crew import Crew, Exit
from faults.feeder import Feeder, Load
from faults.reader import CommittedReader, ends
from faults.table import Fault, Round

PARTITIONS: Final = 3
RECOVERY_TIMEOUT_S: Final = 240.0


class Injected(NamedTuple):
    """A fault that was injected.

    ``recovery_s`` is from the end of the disturbance until every partition went on, ``standstill_s`` the longest time
    that a partition with waiting records did not.
    """

    fault: Fault
    share: float
    recovery_s: float
    standstill_s: float


class Judged(NamedTuple):
    """A round's end. ``hanging`` counts open transactions; ``missing`` what was fed and is not in the log."""

    round: Round
    records: int
    seconds: float
    injected: list[Injected]
    exits: list[Exit]
    verdict: verdict.Verdict
    hanging: int
    missing: int
    backward: list[tuple[Place, int, int]]
    poisoned: int
    touched_neighbours: int

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        # ``backward`` is no broken promise: a coordinator that has just come up may answer an observer from a while
        # ago. What a worker makes of such an answer is in the outputs.
        broken = (self.hanging, self.missing, self.touched_neighbours)
        return self.verdict.clean and not any(broken) and self.verdict.dead_letters == self.poisoned


def settings_of(one: Round, address: str) -> Settings:
    """Topics, group and transactional ids of this round alone; the times are short so that faults are."""
    name = f"{one.name}{uuid.uuid4().hex[:6]}"
    chosen = {
        "kafka_bootstrap_servers": address,
        "topic_prefix": f"{name}.",
        "kafka_group": name,
        "topic_partitions": PARTITIONS,
        "topic_replication_factor": one.nodes,
        "kafka_heartbeat_interval_s": 0.5,
        "kafka_session_timeout_s": 6.0,
        "kafka_request_timeout_s": 10.0,
        "kafka_transaction_timeout_s": 10.0,
        "progress_timeout_s": 20.0,
        "step_records_max": 10,  # many transactions, so that a point between two instructions is reached often
        "snapshot_interval_s": 1.0,
        "log_level": "info",
    }
    return Settings(**(chosen | one.given))  # type: ignore[arg-type]


async def run_round(one: Round, load: Load, folder: Path, address: str, cluster: Cluster | None = None) -> Judged:
    """Run a round on a cluster that is ready."""
    started_s = time.monotonic()
    settings = settings_of(one, address)
    names = TopicNames.of(settings)
    await create_topics(settings)
    feeder = Feeder(settings, load, one.records_per_s)
    outputs = (names.pressure, names.alerts, names.journal, names.chain_dead, names.ticks_dead)
    reader = CommittedReader(address, outputs, PARTITIONS)
    async with AsyncExitStack() as stack:
        crew = await stack.enter_async_context(Crew(settings, folder, static=one.static, mortal=one.mortal))
        room = Room(settings, cluster, crew, feeder)
        feeding, *others = (asyncio.create_task(part.run()) for part in (feeder, reader, room.monitor))
        stack.push_async_callback(_cancelled, [feeding, *others])
        for number in range(one.workers):
            crew.hire(f"w{number}")
        injected = await _inject(room, one, feeding)
        assert not any(task.done() for task in others), others
        await room.until(feeding.done, RECOVERY_TIMEOUT_S, "all is fed")
        feeding.result()
        await _until(room.monitor.drained)
        for name in crew.names:
            await crew.dismiss(name)
        places = [(topic, n) for topic in outputs for n in range(PARTITIONS)]
        written = await ends(address, places, committed=False)
        stable = await ends(address, places, committed=True)
        hanging = sum(written[place] != stable[place] for place in places)
        await room.until(
            lambda: all(reader.position(place) >= stable[place] for place in places), RECOVERY_TIMEOUT_S, "all is read"
        )
    judged, missing, touched = await _judge(settings, load, reader)
    return Judged(
        one,
        load.records + room.poisoned,
        time.monotonic() - started_s,
        injected,
        crew.exits,
        judged,
        hanging,
        missing,
        reader.backward + room.monitor.backward,
        room.poisoned,
        touched,
    )


async def _inject(room: Room, one: Round, feeding: "asyncio.Task[None]") -> list[Injected]:
    injected = []
    schedule = one.schedule()
    following = [at for at, _ in schedule[1:]] + [1.0]
    for (at, fault), limit in zip(schedule, following, strict=True):
        # records come while the fault is injected, and others after it
        room.feeder.limit, room.next_limit = (at + limit) / 2.0, limit
        what = f"{fault.name} at {at:.0%}"
        await room.until(lambda at=at: room.monitor.share() >= at or feeding.done(), RECOVERY_TIMEOUT_S, what)
        await room.until(room.crew.joined, RECOVERY_TIMEOUT_S, f"all work before {what}")
        if one.nodes > 1:
            await _until(room.cluster.whole)
        mark = room.monitor.mark()
        await ACTIONS[fault.action](room, fault)
        over_s = time.monotonic()
        room.release()
        await room.until(lambda mark=mark: room.monitor.went_on(mark), RECOVERY_TIMEOUT_S, f"after {what}")
        injected.append(Injected(fault, at, time.monotonic() - over_s, room.monitor.longest_s))
    room.feeder.limit = 2.0
    return injected


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(RECOVERY_TIMEOUT_S):
        while not await condition():  # noqa: ASYNC110 - asked of the log or the brokers
            await asyncio.sleep(0.5)


async def _judge(settings: Settings, load: Load, reader: CommittedReader) -> tuple[verdict.Verdict, int, int]:
    names = TopicNames.of(settings)
    log = KafkaLog(settings)
    await log.start()
    parts: list[verdict.Verdict] = []
    missing = touched = 0
    outputs = (names.pressure, names.alerts, names.chain_dead, names.ticks_dead)
    try:
        for partition in range(PARTITIONS):
            inputs = await verdict.read_inputs(log, names, partition)
            for topic, records in (("chain", inputs.chain), ("ticks", inputs.ticks)):
                fed = [one.value for one in load.messages if (one.topic, one.partition) == (topic, partition)]
                missing += verdict.missing_from_log(fed, records)
            given = verdict.by_key(reader.seen, outputs, partition)
            wanted = await asyncio.to_thread(verdict.expected, settings, partition, inputs)
            parts.append(verdict.compare(names, wanted, given))
            clean = inputs._replace(ticks=[r for r in inputs.ticks if all(h[0] != POISON_HEADER for h in r.headers)])
            if len(clean.ticks) < len(inputs.ticks):
                alone = await asyncio.to_thread(verdict.expected, settings, partition, clean)
                touched += verdict.apart_from_positions(names, alone, given)
    finally:
        await log.stop()
    return verdict.Verdict(*map(sum, zip(*parts, strict=True))), missing, touched


async def _cancelled(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
