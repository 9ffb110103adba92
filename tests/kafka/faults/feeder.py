"""A seeded market on the input topics, at a pace, no further than it is allowed to; its totals are known."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from dhpe.columns import Batch
from dhpe.edge.encode import encode_batch
from dhpe.edge.kafka import KafkaLog
from dhpe.edge.log import LogUnavailable, OutRecord, Place, partition_of
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from dhpe.simulate import CYCLE, SimulationSettings, simulate

START_NS: Final = 1_750_000_000_000_000_000
SEED: Final = 20_240_805
UNDERLYINGS: Final = ("SIM", "SIMA", "SIMC")  # on different ones of three partitions
RATES_EVERY: Final = 20
"""Batches of 100 ms between two changes of the interest rate: chain records that come between the ticks."""
PAUSE_S: Final = 0.05
RETRY_S: Final = 0.5


class Load(NamedTuple):
    """Input messages in their order, by bare topic name, and how many records each holds."""

    messages: Sequence[OutRecord]
    sizes: Sequence[int]

    @property
    def records(self) -> int:
        """All of them."""
        return sum(self.sizes)


def market(
    records: int,
    partitions: int,
    *,
    underlyings: tuple[str, ...] = UNDERLYINGS,
    records_per_message: int = 50,
    **given: Any,
) -> Load:
    """About ``records`` records: a crash every 90 s of event time, and interest rates that change."""
    calm = CYCLE[0]._replace(duration_s=22.0)
    settings = SimulationSettings(seed=SEED, underlyings=underlyings, phases=(calm, *CYCLE[1:]), **given)
    messages: list[OutRecord] = []
    sizes: list[int] = []
    done = 0
    for number, batch in enumerate(simulate(settings, START_NS)):
        for message in encode_batch(batch, records_per_message=records_per_message):
            place = partition_of(message.key, partitions)
            messages.append(OutRecord(message.topic, message.key, message.value, message.headers, place))
            sizes.append(message.value.count(b'"kind":'))
        done += len(batch.events)
        if done >= records:
            return Load(messages, sizes)
        if number % RATES_EVERY == RATES_EVERY - 1:
            for message in _rates(batch, number, partitions, underlyings):
                messages.append(message)
                sizes.append(1)
    raise AssertionError


def _rates(batch: Batch, number: int, partitions: int, underlyings: Iterable[str]) -> Iterable[OutRecord]:
    ts_event_ns = int(batch.events["ts_event_ns"].max())
    for name in underlyings:
        record: dict[str, Any] = {"kind": "rates", "underlying": name, "ts_event_ns": ts_event_ns}
        value = json.dumps(record | {"rate": 0.04 + 1e-5 * (number % 97), "dividend_yield": 0.013}).encode()
        yield OutRecord("chain", name.encode(), value, (), partition_of(name.encode(), partitions))


class Feeder:
    """Feeds a load. ``limit`` is the share of it that may be in the log by now."""

    def __init__(self, settings: Settings, load: Load, records_per_s: float) -> None:
        self._settings = settings
        self._names = TopicNames.of(settings)
        self._load = load
        self._records_per_s = records_per_s
        self._log: KafkaLog | None = None
        self.limit = 0.0
        self.fed = 0
        """Messages of the load."""
        self.ends: Counter[Place] = Counter()
        """Messages that the log has taken, by place."""
        self.retries = 0

    @property
    def share(self) -> float:
        """How much of the load is in the log."""
        return self.fed / len(self._load.messages)

    async def run(self) -> None:
        """Feed until all is in the log; a bundle that failed is sent again, so it can be there twice."""
        records = iter(zip(self._load.messages, self._load.sizes, strict=True))
        try:
            for topic in (self._names.chain, self._names.ticks):
                self.ends.update({(topic, number): 0 for number in range(self._settings.topic_partitions)})
            while self.share < 1.0:
                started_s = time.monotonic()
                while self.share >= self.limit:  # noqa: ASYNC110 - the limit is set by a fault that has been injected
                    await asyncio.sleep(PAUSE_S)
                bundle = self._bundle(records)
                await self.append([message for message, _ in bundle])
                self.fed += len(bundle)
                await asyncio.sleep(max(0.0, PAUSE_S - (time.monotonic() - started_s)))
        finally:
            await self.close()

    async def append(self, messages: Sequence[OutRecord]) -> None:
        """Put ``messages`` of bare topic names into the log, trying until it takes them."""
        named = [message._replace(topic=getattr(self._names, message.topic)) for message in messages]
        while True:
            try:
                if self._log is None:
                    self._log = KafkaLog(self._settings)
                    await self._log.start()
                await self._log.append(named)
            except LogUnavailable:
                self.retries += 1
                await self.close()
                await asyncio.sleep(RETRY_S)
            else:
                break
        for message in named:
            assert message.partition is not None
            self.ends[message.topic, message.partition] += 1

    async def close(self) -> None:
        """Give the connection back."""
        log, self._log = self._log, None
        if log is not None:
            await log.stop()

    def _bundle(self, records: Any) -> list[tuple[OutRecord, int]]:
        count = max(1, round(self._records_per_s * PAUSE_S))
        bundle: list[tuple[OutRecord, int]] = []
        while count > 0 and (some := list(islice(records, 1))):
            bundle += some
            count -= some[0][1]
        return bundle
