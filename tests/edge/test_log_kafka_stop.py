"""A client of Kafka is stopped in bounded time, and its own troubles are not ours."""

import asyncio
from typing import Any

import pytest

from dhpe.edge import kafka_clients
from dhpe.edge.kafka_clients import stop_client


class Connections:
    """The sockets of a client."""

    def __init__(self) -> None:
        self.closed = False

    async def close(self) -> None:
        """Close them."""
        self.closed = True


class Troubled:
    """A consumer whose stop does what ``trouble`` does."""

    def __init__(self, trouble: Any) -> None:
        self._trouble = trouble
        self._client = Connections()

    async def stop(self) -> None:
        """Fail, or hang."""
        await self._trouble()


async def cancelled() -> None:
    """What aiokafka's fetcher does with a request that waits to be tried again: it cancels it, then awaits it."""
    waiting = asyncio.create_task(asyncio.sleep(60.0))
    waiting.cancel()
    await waiting


async def failing() -> None:
    """The broker is gone."""
    raise ConnectionError


async def endless() -> None:
    """No answer comes."""
    await asyncio.Event().wait()


@pytest.mark.parametrize("trouble", [cancelled, failing, endless])
async def test_a_client_that_cannot_stop_is_left_and_its_sockets_are_closed(
    trouble: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its exception nor its cancellation is ours, and it cannot hold the process."""
    monkeypatch.setattr(kafka_clients, "STOP_TIMEOUT_S", 0.05)
    client = Troubled(trouble)
    async with asyncio.timeout(5):
        await stop_client(client)
    assert client._client.closed
