"""Kafka as the log, through aiokafka; what is true of it and must be done stands in the comments.

One group consumer gives membership and the input records, a plain consumer each reader; every owned partition has
its two transactional producers (``transactions.py``). Keys and values are taken as bytes: a deserializer that raises
would block the partition for ever. Nothing is committed by the consumer, and nothing is reset to ``latest``.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from dhpe.edge.kafka_clients import (
    APPLICATION,
    DEAD_LETTER_ROOM,
    connect,
    connection,
    make_producer,
    milliseconds,
    require_compiled_records,
    stop_client,
    unavailable,
)
from dhpe.edge.log import (
    Fenced,
    LogError,
    LogRecord,
    LogUnavailable,
    OnPartitions,
    OutRecord,
    Place,
    RecordsLost,
    Span,
    partition_of,
)
from dhpe.edge.transactions import TakingTurns
from dhpe.settings import Settings

STEP_FETCH_WAIT_MS: Final = 20
"""A longer poll would hold back the other input, which was still full when it began."""
READER_FETCH_WAIT_MS: Final = 200
MARK_PAUSE_S: Final = 0.05


class KafkaLog:
    """``Log`` on a Kafka cluster."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._making_producer = asyncio.Lock()
        self._listener: _Listener | None = None
        self._counts: dict[str, int] = {}

    async def start(self) -> None:
        """Connect the group consumer, which joins nothing yet."""
        require_compiled_records()
        settings = self.settings
        consumer = AIOKafkaConsumer(
            **connection(settings),
            **_reading(settings, STEP_FETCH_WAIT_MS),
            group_id=settings.kafka_group,
            group_instance_id=settings.kafka_group_instance_id,
            partition_assignment_strategy=(RangePartitionAssignor,),  # else chain and ticks of one number part
            session_timeout_ms=milliseconds(settings.kafka_session_timeout_s),
            heartbeat_interval_ms=milliseconds(settings.kafka_heartbeat_interval_s),
            max_poll_interval_ms=milliseconds(settings.kafka_poll_interval_max_s),
            rebalance_timeout_ms=milliseconds(settings.kafka_session_timeout_s),
        )
        await connect(consumer, settings, partial(stop_client, consumer))
        self._consumer = consumer

    async def stop(self) -> None:
        """Leave the group and close all."""
        consumer, self._consumer = self._consumer, None
        producer, self._producer = self._producer, None
        if self._listener is not None:
            await self._listener.leave()
        for client in (producer, consumer):
            if client is not None:
                await stop_client(client)

    async def partitions(self, topic: str) -> int:
        """The number of partitions of ``topic``; it is fixed, so it is asked once."""
        if topic not in self._counts:
            try:
                async with asyncio.timeout(self.settings.kafka_request_timeout_s):
                    metadata = await self.group_consumer()._client.fetch_all_metadata()  # noqa: SLF001 - no public way
            except (KafkaError, TimeoutError) as error:
                raise unavailable(self.settings, error) from error
            numbers = metadata.partitions_for_topic(topic)
            if not numbers:
                raise LogError(f"topic {topic!r} does not exist on the cluster: make the topics with `dhpe topics`")
            self._counts[topic] = len(numbers)
        return self._counts[topic]

    async def span(self, place: Place) -> Span:
        """The place's begin and its last stable offset."""
        where = TopicPartition(*place)
        client = self.group_consumer()._client  # noqa: SLF001 - no public way
        try:
            async with asyncio.timeout(self.settings.kafka_request_timeout_s):
                if not client.cluster.partitions_for_topic(place[0]):
                    await client.add_topic(place[0])  # every rebalance forgets it, and asking blindly costs 100 ms
                begins = await self.group_consumer().beginning_offsets([where])
                ends = await self.group_consumer().end_offsets([where])
        except (KafkaError, TimeoutError) as error:
            raise unavailable(self.settings, error) from error
        return Span(begins[where], ends[where])

    async def append(self, records: Sequence[OutRecord]) -> list[int]:
        """Write ``records`` with an idempotent producer, in batches made here (four times as fast as one by one)."""
        placed: dict[TopicPartition, list[int]] = {}
        for index, record in enumerate(records):
            number = record.partition
            if number is None:
                number = partition_of(record.key or b"", await self.partitions(record.topic))
            placed.setdefault(TopicPartition(record.topic, number), []).append(index)
        producer = await self._appending()
        offsets = [-1] * len(records)
        try:
            sent = [
                batch
                for where, indices in placed.items()
                for batch in await _send(producer, where, [(index, records[index]) for index in indices])
            ]
            for batch, metadata in zip(sent, await asyncio.gather(*(batch.written for batch in sent)), strict=True):
                if metadata.offset >= 0:
                    for place, index in enumerate(batch.indices):
                        offsets[index] = metadata.offset + place
        except KafkaError as error:
            self._producer = None  # an idempotent producer that has lost its place does not find it again
            await stop_client(producer)
            raise unavailable(self.settings, error) from error
        return offsets

    async def _appending(self) -> AIOKafkaProducer:
        async with self._making_producer:
            if self._producer is None:
                producer = make_producer(self.settings)
                await connect(producer, self.settings, partial(stop_client, producer))
                self._producer = producer
            return self._producer

    async def reader(self, positions: Mapping[Place, int]) -> "KafkaReader":
        """Read from these positions on with a consumer that belongs to no group."""
        consumer = AIOKafkaConsumer(**connection(self.settings), **_reading(self.settings, READER_FETCH_WAIT_MS))
        await connect(consumer, self.settings, partial(stop_client, consumer))
        consumer.assign([TopicPartition(*place) for place in positions])
        for place, offset in positions.items():
            consumer.seek(TopicPartition(*place), offset)
        await asyncio.sleep(0)  # a background task of the library that is stopped before it began cancels us instead
        return KafkaReader(consumer, positions, self.settings)

    async def join(self, topics: Sequence[str], assigned: OnPartitions, revoked: OnPartitions) -> None:
        """Subscribe to ``topics``; the callbacks follow in the background."""
        counts = {topic: await self.partitions(topic) for topic in topics}
        if len(set(counts.values())) > 1:
            raise LogError(
                f"the input topics have different partition counts, {counts}: remake them with `dhpe topics`"
            )
        self._listener = _Listener(topics[0], assigned, revoked)
        self.group_consumer().subscribe(list(topics), listener=self._listener)

    def membership_fault(self) -> str | None:
        """What a callback raised: aiokafka itself only logs it."""
        return self._listener.fault if self._listener is not None else None

    def own(self, partition: int) -> "KafkaPartition":
        """The owner's side of ``partition``."""
        return KafkaPartition(self, partition)

    def group_consumer(self) -> AIOKafkaConsumer:
        """The consumer that holds our membership."""
        if self._consumer is None:
            raise LogUnavailable("the connection to Kafka is closed")
        return self._consumer


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Passes rebalances on as partition numbers. Exceptions are swallowed by the caller, so they are kept here."""

    def __init__(self, topic: str, assigned: OnPartitions, revoked: OnPartitions) -> None:
        self._topic = topic
        self._assigned = assigned
        self._revoked = revoked
        self._ours: frozenset[int] = frozenset()
        self.fault: str | None = None

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        del revoked  # a rebalance takes everything back
        await self.leave()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._ours = frozenset(place.partition for place in assigned if place.topic == self._topic)
        await self._tell(self._assigned, self._ours)

    async def leave(self) -> None:
        """Nothing is ours any more; closing the consumer does not tell this."""
        numbers, self._ours = self._ours, frozenset()
        if numbers:
            await self._tell(self._revoked, numbers)

    async def _tell(self, callback: OnPartitions, numbers: frozenset[int]) -> None:
        try:
            await callback(numbers)
        except Exception as error:  # the worker reads the fault and ends the process
            self.fault = f"a change of the assigned partitions failed: {error!r}"
            raise


class KafkaReader:
    """``Reader`` on a consumer of its own."""

    def __init__(self, consumer: AIOKafkaConsumer, positions: Mapping[Place, int], settings: Settings) -> None:
        self._consumer = consumer
        self._positions = dict(positions)
        self._settings = settings

    async def fetch(self, records_max: int, wait_s: float) -> list[LogRecord]:
        """Wait up to ``wait_s`` for records."""
        records = await _getmany(self._consumer, (), records_max, wait_s, self._settings)
        for place in self._positions:
            self._positions[place] = await self._consumer.position(TopicPartition(*place))
        return records

    def position(self, place: Place) -> int:
        """The offset that ``place`` is read from next."""
        return self._positions[place]

    async def close(self) -> None:
        """Close the consumer."""
        await stop_client(self._consumer)


class KafkaPartition:
    """``PartitionLog`` on the group consumer and two producers."""

    def __init__(self, log: KafkaLog, partition: int) -> None:
        self._log = log
        self._number = partition
        settings = log.settings
        self._producers = TakingTurns(
            lambda name: make_producer(settings, name),
            f"{APPLICATION}.{settings.topic_prefix}{settings.kafka_group}.{partition}",
            settings.kafka_group,
            partition,
            settings.kafka_request_timeout_s,
        )
        self._inputs = (f"{settings.topic_prefix}chain", f"{settings.topic_prefix}ticks")
        self._journal = f"{settings.topic_prefix}journal"
        self._positions: dict[str, int] = {}

    @property
    def partition(self) -> int:
        """The number."""
        return self._number

    async def fence(self) -> dict[str, int]:
        """Initialise both producers, leave a mark among the group's offsets, and read these when the mark is seen.

        A coordinator that has just come up answers from what its replicas have confirmed to it so far, which can lie
        seconds back (seen after kill -9 of all brokers). Nothing of this group was committed later than the mark, so
        a coordinator that knows it knows all.
        """
        await self._producers.start()
        mark = time.time_ns()
        await self._producers.commit((), {self._journal: mark})
        consumer = self._log.group_consumer()
        committed = {}
        try:
            async with asyncio.timeout(self._log.settings.kafka_request_timeout_s):
                while (seen := await consumer.committed(self._place(self._journal))) != mark:
                    if seen is not None and seen > mark:
                        raise Fenced(f"partition {self._number}: a newer owner has left its mark")
                    await asyncio.sleep(MARK_PAUSE_S)
                for topic in self._inputs:
                    committed[topic] = await consumer.committed(self._place(topic))
        except (KafkaError, TimeoutError) as error:
            raise unavailable(self._log.settings, error) from error
        return {topic: offset for topic, offset in committed.items() if offset is not None}

    async def assigned(self) -> bool:
        """Whether the group still gives us the partition, asked after one heartbeat: a zombie learns it there."""
        await asyncio.sleep(self._log.settings.kafka_heartbeat_interval_s)
        return set(self._log.group_consumer().assignment()) >= {self._place(topic) for topic in self._inputs}

    async def seek(self, positions: Mapping[str, int]) -> None:
        """Move the group consumer."""
        self._positions = dict(positions)
        try:
            for topic, offset in positions.items():
                self._log.group_consumer().seek(self._place(topic), offset)
        except IllegalStateError as error:
            raise LogUnavailable(f"partition {self._number} is being reassigned") from error

    async def fetch(self, topics: Sequence[str], records_max: int, wait_s: float) -> list[LogRecord]:
        """Wait up to ``wait_s`` for input records of ``topics``."""
        consumer = self._log.group_consumer()
        places = tuple(self._place(topic) for topic in topics)
        records = await _getmany(consumer, places, records_max, wait_s, self._log.settings)
        for place in places:
            if place in consumer.assignment():
                self._positions[place.topic] = await consumer.position(place)
        return records

    def position(self, topic: str) -> int:
        """The offset that ``topic`` is fetched from next."""
        return self._positions[topic]

    def lag(self, topic: str) -> int:
        """Offsets between the position and the last stable offset that a fetch told of."""
        place = self._place(topic)
        if place not in self._log.group_consumer().assignment():
            return 0
        end = self._log.group_consumer().last_stable_offset(place)
        return max(0, end - self._positions[topic]) if end is not None else 0

    async def commit(self, outputs: Sequence[OutRecord], offsets: Mapping[str, int]) -> None:
        """One transaction of outputs and offsets."""
        await self._producers.commit(outputs, offsets)

    def release(self, offsets: Mapping[str, int]) -> None:
        """The brokers delete by age and do not ask."""

    async def close(self) -> None:
        """Close both producers."""
        await self._producers.stop()

    def _place(self, topic: str) -> TopicPartition:
        return TopicPartition(topic, self._number)


def _reading(settings: Settings, wait_ms: int) -> dict[str, Any]:
    return {
        "isolation_level": "read_committed",
        "auto_offset_reset": "none",
        "enable_auto_commit": False,
        "fetch_max_wait_ms": wait_ms,
        "max_partition_fetch_bytes": max(settings.kafka_fetch_bytes_max, settings.message_bytes_max + DEAD_LETTER_ROOM),
    }


async def _getmany(
    consumer: AIOKafkaConsumer, places: tuple[TopicPartition, ...], records_max: int, wait_s: float, settings: Settings
) -> list[LogRecord]:
    try:
        found = await consumer.getmany(*places, timeout_ms=milliseconds(wait_s), max_records=records_max)
    except NoOffsetForPartitionError:
        return []  # left over from before our seek, which has decided
    except OffsetOutOfRangeError as error:
        raise RecordsLost(f"records were deleted before they were read: {error}") from error
    except ConsumerStoppedError as error:
        raise LogUnavailable("the connection to Kafka is closed") from error
    except KafkaError as error:
        raise unavailable(settings, error) from error
    return [
        LogRecord(place.topic, place.partition, r.offset, r.key, r.value, tuple(r.headers), r.timestamp)
        for place, records in found.items()
        for r in records
    ]


class _SentBatch(NamedTuple):
    """Consecutive records of one place on their way; ``written`` gives the offset of the first of them."""

    indices: list[int]
    written: "asyncio.Future[Any]"


async def _send(
    producer: AIOKafkaProducer, where: TopicPartition, records: Iterable[tuple[int, OutRecord]]
) -> list[_SentBatch]:
    sent = []
    indices: list[int] = []
    batch = producer.create_batch()
    for index, record in records:
        arguments = {"key": record.key, "value": record.value, "timestamp": None, "headers": list(record.headers)}
        if batch.append(**arguments) is None:
            sent.append(_SentBatch(indices, await producer.send_batch(batch, where.topic, partition=where.partition)))
            batch, indices = producer.create_batch(), []
            batch.append(**arguments)
        indices.append(index)
    if indices:
        sent.append(_SentBatch(indices, await producer.send_batch(batch, where.topic, partition=where.partition)))
    return sent
