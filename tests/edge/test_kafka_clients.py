"""How the clients of Kafka are set: each of these values has cost somebody records (docs/guarantees.md)."""

from typing import Any

import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from dhpe.edge import kafka, kafka_clients
from dhpe.edge.kafka import KafkaLog
from dhpe.edge.kafka_clients import make_producer
from dhpe.settings import Settings

SETTINGS = Settings(kafka_bootstrap_servers="nowhere:9092")


class Recorded:
    """A client that only remembers what it was made with."""

    made: list[dict[str, Any]]

    def __init__(self, **arguments: object) -> None:
        self.made.append(arguments)

    async def start(self) -> None:
        """Nothing to connect to."""

    stop = start

    def assign(self, places: object) -> None:
        """Read nothing."""


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of every client, in the order in which they were made."""
    monkeypatch.setattr(Recorded, "made", [], raising=False)
    monkeypatch.setattr(kafka, "AIOKafkaConsumer", Recorded)
    monkeypatch.setattr(kafka_clients, "AIOKafkaProducer", Recorded)
    return Recorded.made


async def test_the_clients_are_set_as_they_must_be(made: list[dict[str, Any]]) -> None:
    """Committed records only, nothing reset or committed behind our back, every write idempotent and acknowledged."""
    log = KafkaLog(SETTINGS)
    await log.start()
    await log.reader({})
    make_producer(SETTINGS)
    make_producer(SETTINGS, "dhpe.group.0.0")
    group, reader, plain, transactional = made
    for consumer in (group, reader):
        assert consumer["isolation_level"] == "read_committed"
        assert consumer["auto_offset_reset"] == "none"
        assert consumer["enable_auto_commit"] is False
        assert "value_deserializer" not in consumer
    assert "group_id" not in reader
    assert group["partition_assignment_strategy"] == (RangePartitionAssignor,)
    assert 30_000 <= group["session_timeout_ms"] <= 45_000
    assert group["heartbeat_interval_ms"] <= group["session_timeout_ms"] // 3
    for producer in (plain, transactional):
        assert (producer["acks"], producer["enable_idempotence"]) == ("all", True)
        assert 128 << 10 <= producer["max_batch_size"] <= 512 << 10
    assert 2 <= plain["linger_ms"] <= 5
    assert 10_000 <= transactional["transaction_timeout_ms"] <= 15_000
