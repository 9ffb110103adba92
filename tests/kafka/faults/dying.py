"""`dhpe` in a process that kills itself with SIGKILL at a named point, the n-th time that it comes there.

The file that DHPE_TEST_DIES_AT names says `point:n`. It is read once at the start, if it is there, and at SIGUSR1. The
service knows nothing of it: the points are set around the Kafka client and the log from outside.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.transaction import EndTxnRequest

from dhpe.__main__ import main
from dhpe.edge import kafka_clients
from dhpe.edge.kafka import KafkaLog, KafkaReader


class Death:
    """Counts how often its point is reached, once ``file`` names one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._point = ""
        self._left = 0

    def read(self) -> None:
        """Learn the point."""
        if self._file.exists():
            self._point, _, times = self._file.read_text().partition(":")
            self._left = int(times)
            self._file.unlink()

    def at(self, point: str) -> None:
        """The process ends here if it is the point, and its time has come."""
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalProducer(AIOKafkaProducer):  # type: ignore[misc]
    """The points of a transaction."""

    death: Death

    async def start(self) -> None:
        """Between the initialisations of the two ids, or after both."""
        await super().start()
        if self._txn_manager is not None:
            self.death.at("fence")

    async def send(self, *arguments: Any, **named: Any) -> Any:
        """After a record was handed over."""
        sent = await super().send(*arguments, **named)
        if self._txn_manager is not None:
            self.death.at("send")
        return sent

    async def send_offsets_to_transaction(self, *arguments: Any) -> None:
        """Before the offsets, all outputs being written; and after them."""
        self.death.at("offsets")
        await super().send_offsets_to_transaction(*arguments)
        self.death.at("before_commit")

    async def commit_transaction(self) -> None:
        """After the broker's answer, before the worker knows of it."""
        await super().commit_transaction()
        self.death.at("ack")


def arm(death: Death) -> None:
    """Set the points."""
    MortalProducer.death = death
    kafka_clients.AIOKafkaProducer = MortalProducer
    _after(AIOKafkaConnection, "send", lambda _, request, **__: _ended(death, request))
    fetch, append = KafkaReader.fetch, KafkaLog.append

    async def fetch_and_die(reader: KafkaReader, records_max: int, wait_s: float) -> Any:
        records = await fetch(reader, records_max, wait_s)
        # only a restore reads these through a reader
        if any(record.topic.endswith("state") for record in records):
            death.at("restore")
        if any(record.topic.endswith(("chain", "ticks")) for record in records):
            death.at("replay")
        return records

    async def append_and_die(log: KafkaLog, records: Any) -> Any:
        if records[0].topic.endswith("manifest"):
            death.at("chunks")
        offsets = await append(log, records)
        if records[0].topic.endswith("manifest"):
            death.at("manifest")
        return offsets

    KafkaReader.fetch = fetch_and_die  # type: ignore[method-assign]
    KafkaLog.append = append_and_die  # type: ignore[method-assign]


def _after(owner: Any, name: str, then: Callable[..., None]) -> None:
    original = getattr(owner, name)

    def both(*arguments: Any, **named: Any) -> Any:
        answer = original(*arguments, **named)
        then(*arguments, **named)
        return answer

    setattr(owner, name, both)


def _ended(death: Death, request: Any) -> None:
    """The commit is on its way to the broker and its answer will reach nobody."""
    if isinstance(request, EndTxnRequest):
        death.at("commit")


if __name__ == "__main__":
    death = Death(Path(os.environ["DHPE_TEST_DIES_AT"]))
    death.read()
    arm(death)
    signal.signal(signal.SIGUSR1, lambda *_: death.read())
    sys.argv[0] = "dhpe"
    main()
