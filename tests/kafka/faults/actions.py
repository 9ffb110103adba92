"""What each action of the table does to a room. An action returns when its disturbance is over."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from dhpe.edge.kafka import KafkaLog
from dhpe.edge.kafka_clients import APPLICATION
from dhpe.edge.log import OutRecord, partition_of
from dhpe.edge.topic_names import TopicNames
from dhpe.edge.topics import topics_for
from dhpe.settings import Settings
from faults.cluster import Cluster
from faults.crew import Crew
from faults.feeder import START_NS, UNDERLYINGS, Feeder
from faults.monitor import Monitor
from faults.table import POINTS_OF_A_START, Fault
from log_contract import read_all

POISON_HEADER: Final = "poison"
PASSED_OVER: Final = "a kept state is passed over"
FENCED: Final = "a newer owner works on it"
SETTLE_S: Final = 3.0
TAKEOVER_TIMEOUT_S: Final = 120.0


class Room:
    """A round under way."""

    def __init__(self, settings: Settings, cluster: Cluster | None, crew: Crew, feeder: Feeder) -> None:
        self.settings = settings
        self.crew = crew
        self.feeder = feeder
        self.monitor = Monitor(settings, feeder)
        self.poisoned = 0
        self.next_limit = 0.0
        self.random = random.Random(4711)
        self._cluster = cluster

    @property
    def cluster(self) -> Cluster:
        """The brokers, where they are ours to disturb."""
        assert self._cluster is not None, "this fault needs brokers of its own"
        return self._cluster

    @property
    def address(self) -> str:
        """The brokers."""
        assert self.settings.kafka_bootstrap_servers is not None
        return self.settings.kafka_bootstrap_servers

    def release(self) -> None:
        """Let the feeder go on to the next fault: what comes now meets whatever the disturbance has left."""
        self.feeder.limit = self.next_limit

    def told(self, words: str) -> int:
        """How often the workers have said so."""
        return sum(self.crew.said(name).count(words) for name in self.crew.names)

    async def until(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until ``condition`` holds."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():  # noqa: ASYNC110 - what it asks has no event of its own
                    await asyncio.sleep(0.02)
        except TimeoutError:
            said = "\n".join(f"--- {name}\n{self.crew.said(name)[-1500:]}" for name in self.crew.names)
            committed = {place: offset for place, offset in self.monitor.committed.items() if offset}
            raise AssertionError(f"{what}: not within {timeout_s:g} s; committed {committed}\n{said}") from None


async def kill(room: Room, fault: Fault) -> None:
    """Kill -9 of a worker."""
    await room.crew.kill(fault.target)


async def restart(room: Room, fault: Fault) -> None:
    """SIGTERM to a worker and a new one: what a rolling update does."""
    await room.crew.terminate(fault.target)


async def die(room: Room, fault: Fault) -> None:
    """A worker kills itself between two instructions, the first to the ``count``-th time that it comes there."""
    creeping = asyncio.create_task(_creep(room))
    try:
        for times in (room.random.randint(1, fault.count), 1, 1):
            at_start = fault.target in POINTS_OF_A_START
            if await room.crew.die("w0", f"{fault.target}:{times}", at_start=at_start):
                return
    finally:
        creeping.cancel()
    raise AssertionError(f"no worker came to {fault.target}: {room.crew.said('w0')[-3000:]}")


async def _creep(room: Room) -> None:
    """Feed a little all the time, so that the worker has what to do."""
    while True:
        room.feeder.limit += 0.002
        await asyncio.sleep(0.5)


async def pause(room: Room, fault: Fault) -> None:
    """A worker stands still past its session; the others take over; it comes back and knows nothing of it."""
    mark = room.monitor.mark()
    room.crew.pause(fault.target)
    await asyncio.sleep(fault.seconds)
    if len(room.crew.names) > 1:
        await room.until(lambda: room.monitor.went_on(mark), TAKEOVER_TIMEOUT_S, "takeover from a stopped worker")
    room.crew.resume(fault.target)


async def twin(room: Room, fault: Fault) -> None:
    """A worker that stands still is replaced under its own name, then wakes: two with one identity."""
    room.crew.pause(fault.target)
    other = room.crew.double(fault.target)
    await asyncio.sleep(fault.seconds)
    room.crew.resume(fault.target)
    await asyncio.sleep(fault.seconds)
    await room.crew.fire(other)


async def scale(room: Room, fault: Fault) -> None:
    """More workers, or fewer, until there are ``count``."""
    while len(room.crew.names) < fault.count:
        room.crew.hire(f"w{len(room.crew.names)}")
    await room.until(room.crew.joined, TAKEOVER_TIMEOUT_S, "the new workers have joined")
    for name in room.crew.names[fault.count :]:
        await room.crew.dismiss(name)


async def broker_terminate(room: Room, fault: Fault) -> None:
    """SIGTERM to a broker; it comes back."""
    await asyncio.to_thread(room.cluster.terminate, int(fault.target))
    await asyncio.sleep(fault.seconds)
    room.cluster.start(int(fault.target))


async def broker_kill(room: Room, fault: Fault) -> None:
    """SIGKILL to a broker; it comes back."""
    await asyncio.to_thread(room.cluster.kill, int(fault.target))
    await asyncio.sleep(fault.seconds)
    room.cluster.start(int(fault.target))


async def broker_pause(room: Room, fault: Fault) -> None:
    """A broker that holds its connections open and does not answer."""
    room.cluster.pause(int(fault.target))
    await asyncio.sleep(fault.seconds)
    room.cluster.resume(int(fault.target))


async def cluster_down(room: Room, fault: Fault) -> None:
    """Every broker at once, for a while."""
    nodes = range(1, room.cluster.nodes + 1)
    for node in nodes:
        await asyncio.to_thread(room.cluster.kill, node)
    await asyncio.sleep(fault.seconds)
    for node in nodes:
        room.cluster.start(node)


async def foreign_init(room: Room, fault: Fault) -> None:
    """Somebody initialises our transactional ids: one of them alone, or two owners whose initialisations cross."""
    before = room.told(FENCED)
    orders = {"0": "0", "1": "1", "crossed": "0011", "retried": "01010"}
    for partition in range(room.settings.topic_partitions):
        for index in orders[fault.target]:
            settings = room.settings
            foreign = AIOKafkaProducer(
                bootstrap_servers=room.address,
                transactional_id=f"{APPLICATION}.{settings.topic_prefix}{settings.kafka_group}.{partition}.{index}",
            )
            await foreign.start()
            await foreign.stop()
    room.release()
    wanted = before + room.settings.topic_partitions
    await room.until(lambda: room.told(FENCED) >= wanted, TAKEOVER_TIMEOUT_S, "the worker sees that it was fenced")


async def refuse(room: Room, fault: Fault) -> None:
    """The broker refuses our outputs inside the transactions: no offset may move over them."""
    topic = TopicNames.of(room.settings).pressure
    right = next(one.config for one in topics_for(room.settings) if one.name == topic)
    await _configure(room, topic, {**right, "max.message.bytes": "100"})
    await asyncio.sleep(SETTLE_S)
    before = dict(room.monitor.committed)
    room.release()  # what is fed from now on has to wait
    await asyncio.sleep(fault.seconds)
    after = dict(room.monitor.committed)
    await _configure(room, topic, dict(right))
    assert after == before, "offsets moved over outputs that were refused"
    assert any(after[place] < room.feeder.ends[place] for place in after), "nothing waited: the fault tested nothing"


async def poison(room: Room, fault: Fault) -> None:
    """A flood of messages that cannot be applied, between the good ones of every partition."""
    flood = []
    for _ in range(fault.count):
        name = room.random.choice(UNDERLYINGS).encode()
        value = _bad(room.random, name.decode())
        place = partition_of(name, room.settings.topic_partitions)
        flood.append(OutRecord("ticks", name, value, ((POISON_HEADER, b"1"),), place))
    for start in range(0, len(flood), 500):
        await room.feeder.append(flood[start : start + 500])
    room.poisoned += len(flood)


async def corrupt(room: Room, fault: Fault) -> None:
    """The newest states cannot be used: their manifests name a wrong sum, or are no manifests."""
    names = TopicNames.of(room.settings)
    before = room.told(PASSED_OVER)
    partitions = range(room.settings.topic_partitions)
    log = KafkaLog(room.settings)
    await log.start()
    try:
        async with asyncio.timeout(TAKEOVER_TIMEOUT_S):  # who was killed all the time has not kept one yet
            while not all([(await log.span((names.manifest, number))).end for number in partitions]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await room.crew.fire(fault.target)  # before: alive, it would write a better one behind ours
        for partition in partitions:
            manifests = await read_all(log, names.manifest, partition)
            wrong = msgspec.json.decode(manifests[-1].value or b"")
            wrong["crc32"] ^= 1
            values = (msgspec.json.encode(wrong), b'{"chain":')
            await log.append([OutRecord(names.manifest, None, value, (), partition) for value in values])
    finally:
        await log.stop()
    room.crew.hire(fault.target)
    room.release()
    wanted = before + 2 * room.settings.topic_partitions
    await room.until(lambda: room.told(PASSED_OVER) >= wanted, TAKEOVER_TIMEOUT_S, "corrupt states are passed over")


def _bad(chance: random.Random, name: str) -> bytes:
    def trade(underlying: str, ts_event_ns: int, price: str) -> bytes:
        head = f'"kind":"trade","underlying":"{underlying}","ts_event_ns":{ts_event_ns}'
        return f'{{{head},"price":{price},"size":1}}'.encode()

    return chance.choice(
        (
            chance.randbytes(chance.randrange(1, 400)),
            b"",
            b"[" * 10_000,
            b"\xef\xbb\xbf{}",
            b'{"kind":"weather","underlying":"SIM","ts_event_ns":1}',
            trade(name, START_NS, "NaN"),
            trade(name, START_NS, "-5"),
            trade(name, START_NS, '"5000"'),
            trade(name, -1, "5000"),
            trade(name, START_NS, "5000")[:-20],
            trade("NOBODY", START_NS, "5000"),
        )
    )


async def _configure(room: Room, topic: str, config: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=room.address)
    await admin.start()
    try:
        config = {"message.timestamp.type": "LogAppendTime"} | config
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])
    finally:
        await admin.close()


ACTIONS: Final[dict[str, Callable[[Room, Fault], Awaitable[None]]]] = {
    action.__name__: action
    for action in (
        kill, restart, die, pause, twin, scale, broker_terminate, broker_kill, broker_pause, cluster_down,
        foreign_init, refuse, poison, corrupt,
    )
}  # fmt: skip
