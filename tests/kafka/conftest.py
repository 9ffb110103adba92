"""A real Kafka broker for the tests of this folder: the one of deploy/broker, or one that the environment names."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from dhpe.settings import Settings

ADDRESS_VARIABLE = "DHPE_TEST_BOOTSTRAP_SERVERS"
START_TIMEOUT_S = 120.0


@pytest.fixture(scope="session")
def bootstrap_servers(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a broker that has committed a transaction. Without Java and without an address: a failure."""
    given = os.environ.get(ADDRESS_VARIABLE)
    if given:
        asyncio.run(ready(given, None))
        yield given
        return
    if shutil.which("java") is None:
        pytest.fail(f"no Java and no broker: install Java 17 or newer, or set {ADDRESS_VARIABLE} to host:port")
    folder = tmp_path_factory.mktemp("broker")
    ports = free_ports(2)
    address = f"127.0.0.1:{ports[0]}"
    environment = os.environ | {"DHPE_BROKER_CONTROLLER_PORT": str(ports[1]), "DHPE_BROKER_HEAP": "512m"}
    with (folder / "broker.log").open("wb") as output:
        broker = subprocess.Popen(
            [project / "deploy" / "broker" / "broker.sh", str(ports[0]), folder / "data"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            try:
                asyncio.run(ready(address, broker))
            except TimeoutError:
                pytest.fail(f"the broker did not start: {(folder / 'broker.log').read_text()[-2000:]}")
            yield address
        finally:
            if broker.poll() is None:
                os.killpg(broker.pid, signal.SIGKILL)
            broker.wait()


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


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


async def ready(address: str, broker: "subprocess.Popen[bytes] | None") -> None:
    """Wait until the cluster is described, a topic made and a transaction committed: an open port proves nothing."""
    topic = f"readiness-{uuid.uuid4().hex[:8]}"
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            if broker is not None and broker.poll() is not None:
                raise TimeoutError
            try:
                await prove(address, topic)
            except (KafkaError, OSError):
                await asyncio.sleep(0.25)
            else:
                return


async def prove(address: str, topic: str) -> None:
    """Describe the cluster, make ``topic``, commit a transaction to it, remove it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    try:
        await admin.start()
        assert (await admin.describe_cluster())["brokers"]
        await admin.create_topics([NewTopic(topic, 1, 1)])
        producer = AIOKafkaProducer(bootstrap_servers=address, transactional_id=topic)
        try:
            await producer.start()
            async with producer.transaction():
                await producer.send_and_wait(topic, b"ready")
        finally:
            await producer.stop()
        await admin.delete_topics([topic])
    finally:
        await admin.close()
