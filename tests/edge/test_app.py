"""The composed service: over a real socket, in its own process, from the first byte to SIGTERM."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from dhpe.app import Service, build_log
from dhpe.edge.log import LogUnavailable
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from dhpe.warm import warm
from worker_room import market, messages, put, until

NAMES = TopicNames.of(Settings())


def settings_in(folder: Path, **given: object) -> Settings:
    """The embedded log in ``folder``, a free port."""
    return Settings(embedded_log_path=folder / "log.sqlite", http_port=0, **given)  # type: ignore[arg-type]


@asynccontextmanager
async def serving(settings: Settings, *, works: bool) -> AsyncIterator[Service]:
    """A service that is ready; stopped at the end, and its failure raised."""
    stop = asyncio.Event()
    service = Service(settings, build_log(settings), works=works)
    task = asyncio.create_task(service.run(stop))
    try:
        await until(lambda: task.done() or service.ready()[0])
        yield service
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


@contextmanager
def command(folder: Path, *arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """`dhpe` in a process of its own; still alive at the end, it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dhpe", *arguments],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if not key.startswith("DHPE_")} | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    # the processes below then find the kernels compiled
    warm(Settings().parameters())


async def test_records_on_the_log_become_answers(tmp_path: Path) -> None:
    """What a feed appends is worked on, committed, tailed and answered; an API-only replica answers the same."""
    settings = settings_in(tmp_path)
    async with serving(settings, works=True) as worker, serving(settings, works=False) as replica:
        await put(worker.log, messages(market(10, ("SIMA",))), NAMES)
        bodies = []
        for service in (worker, replica):
            await until(lambda service=service: service.view.latest("SIMA") is not None)  # type: ignore[misc]
            async with httpx.AsyncClient(base_url=service.address) as client:
                assert (await client.get("/readyz")).status_code == 200
                assert (await client.get("/healthz")).status_code == 200
                listed = (await client.get("/v1/underlyings")).json()
                assert [one["underlying"] for one in listed["underlyings"]] == ["SIMA"]
                await until(lambda: service.view.latest("SIMA").pressure.ts_event_ns >= 1_750_000_000_800_000_000)  # type: ignore[union-attr] # noqa: B023
                bodies.append((await client.get("/v1/SIMA/status")).json())
        assert bodies[0]["spot"] == bodies[1]["spot"] > 0
        async with httpx.AsyncClient(base_url=worker.address) as client:
            assert 'dhpe_records_total{topic="ticks"}' in (await client.get("/metrics")).text


async def test_a_restarted_service_knows_the_past(tmp_path: Path) -> None:
    """The view is filled from the output topics before the service is ready."""
    settings = settings_in(tmp_path)
    async with serving(settings, works=True) as service:
        await put(service.log, messages(market(5, ("SIMA",))), NAMES)
        await until(lambda: service.view.latest("SIMA") is not None)
    async with serving(settings, works=False) as service:
        assert service.view.underlyings() == ["SIMA"]


async def test_an_address_in_use_is_told_with_its_setting(tmp_path: Path) -> None:
    """One line, before anything is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        settings = Settings(http_port=other.getsockname()[1], embedded_log_path=tmp_path / "log.sqlite")
        service = Service(settings, build_log(settings), works=False)
        with pytest.raises(LogUnavailable, match="DHPE_HTTP_PORT"):
            service.listen()


def test_the_demo_shows_an_amplification_and_ends_by_itself(tmp_path: Path) -> None:
    """`dhpe demo --duration` prints the address, says that the market is simulated, and exits with 0 and a summary."""
    with command(tmp_path, "demo", "--duration", "12", "--http-port", "0") as process:
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "simulated. Open http://127.0.0.1:" in output
    assert "first amplification of SIM:" in output
    assert "records in" in output.splitlines()[-1]
    assert errors == ""
    assert list(tmp_path.iterdir()) == []


def test_sigterm_ends_a_service_with_an_open_stream(tmp_path: Path) -> None:
    """It drains and exits with 0 within seconds, although a client listens."""
    environment = {"DHPE_EMBEDDED_LOG_PATH": str(tmp_path / "log.sqlite"), "DHPE_HTTP_PORT": "0"}
    with command(tmp_path, "run", **environment) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        with httpx.Client(base_url=address, timeout=60) as client, client.stream("GET", "/v1/stream") as stream:
            assert stream.status_code == 200
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "told"),
    [
        (["nonsense"], {}, 2, "nonsense"),
        (["replay"], {}, 2, "INPUT"),
        (["feed", "simulate", "a.jsonl"], {}, 2, "alone"),
        (["feed", "missing.jsonl"], {}, 2, "missing.jsonl"),
        (["run"], {"DHPE_HTTP_PORT": "many"}, 2, "DHPE_HTTP_PORT"),
        (["run"], {"DHPE_HTP_PORT": "1"}, 2, "DHPE_HTP_PORT"),
        (["run", "--config", "missing.toml"], {}, 2, "missing.toml"),
        (["run"], {"DHPE_EMBEDDED_LOG_PATH": "no/such/folder/log"}, 1, "DHPE_EMBEDDED_LOG_PATH"),
        (
            ["run"],
            {"DHPE_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "DHPE_KAFKA_CONNECT_TIMEOUT_S": "0.5"},
            1,
            "127.0.0.1:9",
        ),
        (["topics"], {}, 1, "DHPE_KAFKA_BOOTSTRAP_SERVERS"),
    ],
)
def test_a_failure_is_one_line_and_an_exit_code(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], code: int, told: str
) -> None:
    """2 for a wrong call, 1 for a failure; what and where on standard error, no traceback."""
    with command(tmp_path, *arguments, **({"DHPE_HTTP_PORT": "0"} | environment)) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert told in errors
    assert "Traceback" not in errors
