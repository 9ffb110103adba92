"""Two transactional producers that take turns on one partition, so that a step need not wait for the broker.

After a commit the broker is still writing the transaction's markers, and the same producer's next transaction would
wait for them (26 of 31 ms measured). A second producer hides that wait. What keeps it exactly once, each part of
which is needed: a new owner initialises ``.0``, then ``.1``, always in that order, and only then reads the committed
offsets; its first transaction goes through ``.0``; each begins only after the other's commit has returned; any error
on either throws both away, and starts again from ``.0`` after checking that the partition is still ours.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, InvalidProducerEpoch, KafkaError, ProducerFenced
from aiokafka.producer.transaction_manager import TransactionState

from dhpe.edge.kafka_clients import STOP_TIMEOUT_S, stop_client
from dhpe.edge.kafka_refusals import FORBIDDEN
from dhpe.edge.log import CommitFailed, Fenced, LogError, LogUnavailable, OutRecord


class TakingTurns:
    """The two producers of one partition number.

    ``make`` builds a producer from a transactional id and does not start it; ``name`` is `{app}.{group}.{partition}`.
    """

    def __init__(
        self, make: Callable[[str], AIOKafkaProducer], name: str, group: str, partition: int, timeout_s: float
    ) -> None:
        self._make = make
        self._name = name
        self._group = group
        self._partition = partition
        self._timeout_s = timeout_s
        self._producers: list[AIOKafkaProducer] = []
        self._turn = 0

    async def start(self) -> None:
        """Throw away what there is and initialise ``.0``, then ``.1``: every earlier owner is fenced.

        Raises:
            LogUnavailable: the broker did not give a producer id in time.
            LogError: its rules do not allow us one.
        """
        await self.stop()
        try:
            for index in (0, 1):
                producer = self._make(f"{self._name}.{index}")
                self._producers.append(producer)
                async with asyncio.timeout(self._timeout_s):
                    await producer.start()
        except (KafkaError, TimeoutError) as error:
            await self.stop()
            fault = LogError if isinstance(error, FORBIDDEN) else LogUnavailable
            raise fault(f"no transactional producer for partition {self._partition}: {error or 'no answer'}") from error
        except BaseException:
            await self.stop()
            raise

    async def commit(self, outputs: Sequence[OutRecord], offsets: Mapping[str, int]) -> None:
        """One transaction through the producer whose turn it is; after any error both are gone.

        Raises:
            Fenced: a newer owner has initialised one of our ids.
            CommitFailed: anything else; whether the commit holds is unknown.
        """
        if not self._producers:
            raise CommitFailed(f"partition {self._partition}: no producer stands; fence first")
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._attempt(self._producers[self._turn], outputs, offsets)
        except (ProducerFenced, InvalidProducerEpoch) as error:
            await self.stop()
            raise Fenced(f"partition {self._partition}: a newer owner works on it") from error
        except (KafkaError, TimeoutError) as error:
            await self.stop()
            raise CommitFailed(
                f"partition {self._partition}: the transaction failed: {error!r}"
                if str(error)
                else f"partition {self._partition}: the transaction took longer than {self._timeout_s:g} s"
            ) from error
        except BaseException:
            await self.stop()
            raise
        self._turn ^= 1

    async def stop(self) -> None:
        """Close both; an open transaction is aborted first, or readers would stall until its timeout."""
        producers, self._producers = self._producers, []
        self._turn = 0
        for producer in producers:
            await _discard(producer)

    async def _attempt(
        self, producer: AIOKafkaProducer, outputs: Sequence[OutRecord], offsets: Mapping[str, int]
    ) -> None:
        try:
            await self._transact(producer, outputs, offsets)
        except (IllegalOperation, AssertionError) as error:
            # a call on a transaction that has failed in the library's background: what failed it counts, not the call
            raise _failure(producer) or KafkaError(str(error)) from error

    async def _transact(
        self, producer: AIOKafkaProducer, outputs: Sequence[OutRecord], offsets: Mapping[str, int]
    ) -> None:
        await producer.begin_transaction()
        futures = []
        for record in outputs:
            future = await producer.send(
                record.topic,
                value=record.value,
                key=record.key,
                partition=self._partition,
                headers=list(record.headers),
            )
            future.add_done_callback(_read)
            futures.append(future)
        _read_drains(producer)
        # without this a refused produce would not stop the commit, and the offsets would move over it
        await asyncio.gather(*futures)
        await producer.send_offsets_to_transaction(
            {TopicPartition(topic, self._partition): offset for topic, offset in offsets.items()}, self._group
        )
        await producer.commit_transaction()


def _read(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()  # that of another record may have ended the step already; unread, asyncio reports it


def _read_drains(producer: AIOKafkaProducer) -> None:
    """Each batch keeps its fault in a second future, which nobody but a full buffer waits for."""
    batches: Any = producer._message_accumulator._batches  # noqa: SLF001 - there is no public way to it
    for waiting in batches.values():
        for batch in waiting:
            batch._drain_waiter.add_done_callback(_read)  # noqa: SLF001


def _failure(producer: AIOKafkaProducer) -> BaseException | None:
    ended: asyncio.Future[Any] | None = producer._txn_manager.wait_for_transaction_end()  # noqa: SLF001 - as below
    return ended.exception() if ended is not None and ended.done() and not ended.cancelled() else None


async def _discard(producer: AIOKafkaProducer) -> None:
    manager: Any = producer._txn_manager  # noqa: SLF001 - there is no public way to ask for an open transaction
    ended = manager.wait_for_transaction_end()
    if ended is not None:
        ended.add_done_callback(_read)  # the commit has raised it already
    with suppress(KafkaError, TimeoutError, AssertionError):
        if manager.state in (TransactionState.IN_TRANSACTION, TransactionState.ABORTABLE_ERROR):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await producer.abort_transaction()
    await stop_client(producer)
    ended = manager.wait_for_transaction_end()
    if ended is not None:
        ended.add_done_callback(_read)  # that of the abort
