"""A real Kafka broker for the tests of this folder: the one of deploy/broker, or one that the environment names."""

import asyncio
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from dhpe.settings import Settings
from faults.cluster import Cluster, ready

ADDRESS_VARIABLE = "DHPE_TEST_BOOTSTRAP_SERVERS"


@pytest.fixture(scope="session")
def bootstrap_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that has committed a transaction. Without Java and without an address: a failure."""
    given = os.environ.get(ADDRESS_VARIABLE)
    if given:
        asyncio.run(ready(given, 1))
        yield given
        return
    if shutil.which("java") is None:
        pytest.fail(f"no Java and no broker: install Java 17 or newer, or set {ADDRESS_VARIABLE} to host:port")
    cluster = Cluster(tmp_path_factory.mktemp("broker"))
    try:
        asyncio.run(cluster.open())
        yield cluster.address
    finally:
        cluster.close()


@pytest.fixture
async def make_settings(bootstrap_servers: str) -> AsyncIterator[Callable[..., Settings]]:
    """Settings on topics, a group and transactional ids of this test alone."""
    name = f"t{uuid.uuid4().hex[:8]}"

    def make(**given: object) -> Settings:
        defaults: dict[str, object] = {
            "kafka_bootstrap_servers": bootstrap_servers,
            "topic_prefix": f"{name}.",
            "kafka_group": name,
            "topic_partitions": 2,
            "kafka_heartbeat_interval_s": 0.5,
            "kafka_session_timeout_s": 10.0,
        }
        return Settings(**(defaults | given))  # type: ignore[arg-type]

    yield make
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await admin.delete_topics([topic for topic in await admin.list_topics() if topic.startswith(f"{name}.")])
    await admin.close()
