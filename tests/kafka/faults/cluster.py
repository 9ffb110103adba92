"""Real brokers as processes, one or three: each can be ended, killed, stopped and continued by itself."""

import asyncio
import base64
import os
import shutil
import signal
import socket
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

START_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 30.0
BROKER: Final = Path(__file__).resolve().parents[3] / "deploy" / "broker" / "broker.sh"


class Cluster:
    """Brokers 1 to ``nodes`` of deploy/broker, their data in ``folder``; with three, all topics have three replicas."""

    def __init__(self, folder: Path, nodes: int = 1) -> None:
        if shutil.which("java") is None:
            raise RuntimeError("no Java on this machine: install Java 17 or newer")
        self.nodes = nodes
        self._folder = folder
        folder.mkdir(exist_ok=True)
        ports = free_ports(2 * nodes)
        self._ports = dict(enumerate(ports[:nodes], 1))
        self._controller_ports = dict(enumerate(ports[nodes:], 1))
        self._brokers: dict[int, subprocess.Popen[bytes]] = {}
        self._name = uuid.uuid4()

    @property
    def address(self) -> str:
        """All brokers, as a client wants them."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports.values())

    def start(self, node: int) -> None:
        """Start a broker on the data that it left."""
        voters = ",".join(f"{number}@127.0.0.1:{port}" for number, port in self._controller_ports.items())
        mine = {
            "DHPE_BROKER_NODE": str(node),
            "DHPE_BROKER_CONTROLLER_PORT": str(self._controller_ports[node]),
            "DHPE_BROKER_VOTERS": voters,
            "DHPE_BROKER_CLUSTER": cluster_id(self._name),
            "DHPE_BROKER_HEAP": "512m",
        }
        with self._log_file(node).open("ab") as output:
            self._brokers[node] = subprocess.Popen(
                [BROKER, str(self._ports[node]), self._folder / f"node-{node}"],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | mine,
                start_new_session=True,
            )

    def terminate(self, node: int) -> None:
        """SIGTERM, and wait: an orderly end hands the leadership on first."""
        self._brokers[node].terminate()
        try:
            self._brokers[node].wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill(node)

    def kill(self, node: int) -> None:
        """SIGKILL."""
        broker = self._brokers[node]
        if broker.poll() is None:
            os.killpg(broker.pid, signal.SIGKILL)
        broker.wait()

    def pause(self, node: int) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        os.killpg(self._brokers[node].pid, signal.SIGSTOP)

    def resume(self, node: int) -> None:
        """SIGCONT."""
        os.killpg(self._brokers[node].pid, signal.SIGCONT)

    async def open(self) -> None:
        """Start every broker and wait until the cluster has committed a transaction."""
        await asyncio.to_thread(subprocess.run, [BROKER, "fetch"], check=True)  # not all of them at once
        for node in self._ports:
            self.start(node)
        try:
            await ready(self.address, self.nodes, self._ended)
        except TimeoutError as error:
            self.close()
            said = "\n".join(self._log_file(node).read_text()[-2000:] for node in self._ports)
            raise RuntimeError(f"the brokers did not start: {said}") from error

    async def whole(self) -> bool:
        """Whether every replica of every partition is in sync: the next broker may go."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        try:
            await admin.start()
            topics = await admin.describe_topics()
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()
        return all(len(part["isr"]) == len(part["replicas"]) for topic in topics for part in topic["partitions"])

    def close(self) -> None:
        """Kill what still stands."""
        for node in self._brokers:
            self.kill(node)

    def _ended(self) -> bool:
        return any(broker.poll() is not None for broker in self._brokers.values())

    def _log_file(self, node: int) -> Path:
        return self._folder / f"node-{node}.log"


def cluster_id(name: uuid.UUID) -> str:
    """A cluster's name as Kafka writes it: 22 characters of base64."""
    return base64.urlsafe_b64encode(name.bytes).decode().rstrip("=")


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


async def ready(address: str, nodes: int, ended: Callable[[], bool] = lambda: False) -> None:
    """Wait until the cluster is described, a topic made and a transaction committed: an open port proves nothing.

    Raises:
        TimeoutError: it did not come, or ``ended`` says that it never will.
    """
    topic = f"readiness-{uuid.uuid4().hex[:8]}"
    async with asyncio.timeout(START_TIMEOUT_S):
        while True:
            if ended():
                raise TimeoutError
            try:
                await _prove(address, topic, nodes)
            except (KafkaError, OSError, AssertionError):
                await asyncio.sleep(0.25)
            else:
                return


async def _prove(address: str, topic: str, nodes: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    try:
        await admin.start()
        assert len((await admin.describe_cluster())["brokers"]) >= nodes
        await admin.create_topics([NewTopic(topic, 1, nodes)])
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
