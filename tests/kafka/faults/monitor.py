"""The group's committed offsets, sampled all the time: how far the work is, and how long it stood still."""

import asyncio
import time
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from dhpe.edge.log import Place
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from faults.feeder import Feeder
from faults.reader import ends

SAMPLE_S: Final = 0.05
ANSWER_TIMEOUT_S: Final = 5.0


class Monitor:
    """Samples the offsets of ``settings.kafka_group`` against what ``feeder`` has put into the log."""

    def __init__(self, settings: Settings, feeder: Feeder) -> None:
        names = TopicNames.of(settings)
        self._settings = settings
        self._feeder = feeder
        self._inputs = [(topic, n) for topic in (names.chain, names.ticks) for n in range(settings.topic_partitions)]
        self._idle_since_s: dict[Place, float] = {}
        self.committed: dict[Place, int] = dict.fromkeys(self._inputs, 0)
        self.backward: list[tuple[Place, int, int]] = []
        """Answers of the coordinator that were older than one before."""
        self.longest_s = 0.0
        """The longest time that a place with waiting messages stood still since ``mark``."""

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            admin = AIOKafkaAdminClient(
                bootstrap_servers=self._settings.kafka_bootstrap_servers, request_timeout_ms=5_000
            )
            try:
                await admin.start()
                while True:
                    async with asyncio.timeout(ANSWER_TIMEOUT_S):
                        found = await admin.list_consumer_group_offsets(self._settings.kafka_group)
                    for where, committed in found.items():
                        self._note((where.topic, where.partition), committed.offset)
                    await asyncio.sleep(SAMPLE_S)
            except (KafkaError, OSError, TimeoutError, AttributeError):  # the library's own on a broken connection
                await asyncio.sleep(SAMPLE_S)
            finally:
                await admin.close()

    def share(self) -> float:
        """How much of the whole load is committed."""
        in_log = self._feeder.ends.total()
        applied = sum(min(offset, self._feeder.ends[place]) for place, offset in self.committed.items())
        return self._feeder.share * applied / max(1, in_log)

    def mark(self) -> dict[Place, int]:
        """Where the work stands now; the longest standstill is counted from here."""
        self.longest_s = 0.0
        self._idle_since_s = dict.fromkeys(self._idle_since_s, time.monotonic())
        return dict(self.committed)

    def went_on(self, mark: dict[Place, int]) -> bool:
        """Whether every place has got past ``mark``, or has nothing to do."""
        return all(
            self.committed[place] > mark[place] or self.committed[place] >= self._feeder.ends[place]
            for place in self._inputs
        )

    async def drained(self) -> bool:
        """Whether everything in the log is committed, asked of the log itself."""
        assert self._settings.kafka_bootstrap_servers is not None
        found = await ends(self._settings.kafka_bootstrap_servers, self._inputs, committed=True)
        return all(self.committed[place] >= end for place, end in found.items())

    def _note(self, place: Place, offset: int) -> None:
        if place not in self.committed:
            return
        before, now_s = self.committed[place], time.monotonic()
        if offset < before:
            self.backward.append((place, before, offset))
        moved = offset != before
        waits = offset < self._feeder.ends[place]
        since_s = self._idle_since_s.get(place)
        if since_s is not None:
            self.longest_s = max(self.longest_s, now_s - since_s)
        if moved or not waits or since_s is None:
            # standing still counts from the moment that something waits
            self._idle_since_s[place] = now_s
        self.committed[place] = offset
