"""A reader of committed records that reads the outputs while the faults happen, as a user's own consumer would."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from dhpe.edge.kafka_clients import stop_client
from dhpe.edge.log import Place

WAIT_MS: Final = 200
STUCK_S: Final = 15.0
"""A consumer that gets nothing for so long is replaced, at its position."""


class Seen(NamedTuple):
    """An output as it stands in the log, for comparison."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class CommittedReader:
    """Collects what a read_committed consumer is given, in its order, from the beginning of ``topics``."""

    def __init__(self, address: str, topics: Iterable[str], partitions: int) -> None:
        self._address = address
        self._positions: dict[Place, int] = {(topic, n): 0 for topic in topics for n in range(partitions)}
        self.seen: defaultdict[Place, list[Seen]] = defaultdict(list)
        self.backward: list[tuple[Place, int, int]] = []
        """Offsets that were given after a higher one: must stay empty."""

    async def run(self) -> None:
        """Read until cancelled; broken connections are made anew."""
        while True:
            try:
                await self._read()
            except (KafkaError, OSError, TimeoutError):
                await asyncio.sleep(0.5)

    def position(self, place: Place) -> int:
        """The next offset."""
        return self._positions[place]

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._address,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
            request_timeout_ms=10_000,
        )
        try:
            await consumer.start()
            consumer.assign([TopicPartition(*place) for place in self._positions])
            for place, offset in self._positions.items():
                consumer.seek(TopicPartition(*place), offset)
            loop = asyncio.get_running_loop()
            heard_s = loop.time()
            while loop.time() - heard_s < STUCK_S:
                found = await consumer.getmany(timeout_ms=WAIT_MS)
                if found:
                    heard_s = loop.time()
                for where, records in found.items():
                    place = (where.topic, where.partition)
                    for record in records:
                        if record.offset < self._positions[place]:
                            self.backward.append((place, self._positions[place], record.offset))
                        self.seen[place].append(Seen(record.key, record.value, tuple(record.headers)))
                        self._positions[place] = record.offset + 1
                for place in self._positions:
                    # past the markers of the transactions too
                    position = await consumer.position(TopicPartition(*place))
                    self._positions[place] = max(self._positions[place], position)
        finally:
            await stop_client(consumer)


async def ends(address: str, places: Iterable[Place], *, committed: bool) -> dict[Place, int]:
    """The end of each place: of what is committed, or of all that is written."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address,
        isolation_level="read_committed" if committed else "read_uncommitted",
        request_timeout_ms=10_000,
    )
    try:
        await consumer.start()
        found = await consumer.end_offsets([TopicPartition(*place) for place in places])
    finally:
        await stop_client(consumer)
    return {(where.topic, where.partition): offset for where, offset in found.items()}
