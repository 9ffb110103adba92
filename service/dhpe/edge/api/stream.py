"""Server-sent events: the state of the underlyings as it changes, every alert, and that a new field is there.

A listener gets each underlying at most once per ``stream_interval_ms`` and always its newest state. The stream
ends when the listener is too slow, goes away, or the service stops.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Message, Send

from dhpe.edge.api.answers import Answers
from dhpe.edge.metrics import Metrics
from dhpe.edge.view import Subscription, Update, View
from dhpe.settings import Settings

RECONNECT_MS: Final = 1_000
HEARTBEATS_WITHOUT_READING: Final = 3
HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class EventStream(EventSourceResponse):
    """The response of ``/v1/stream``: gives its place back when it ends, and ends when nobody reads."""

    def __init__(
        self, view: View, subscription: Subscription, answers: Answers, metrics: Metrics, settings: Settings
    ) -> None:
        super().__init__(self._events(), headers=HEADERS)
        self._view = view
        self._subscription = subscription
        self._answers = answers
        self._metrics = metrics
        self._heartbeat_s = settings.stream_heartbeat_s
        self._interval_s = settings.stream_interval_ms / 1000

    async def stream_response(self, send: Send) -> None:
        """Send the events; a client that accepts nothing for three heartbeats is dropped."""

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(HEARTBEATS_WITHOUT_READING * self._heartbeat_s):
                await send(message)

        try:
            await super().stream_response(send_in_time)
        except TimeoutError:
            self._metrics.stream_dropped("slow")
        finally:
            self._view.unsubscribe(self._subscription)

    async def _events(self) -> AsyncIterator[bytes]:
        yield format_sse_event(comment="dhpe", retry=RECONNECT_MS)
        while True:
            updates = await self._subscription.take(self._heartbeat_s)
            for update in updates:
                yield self._formatted(update)
            if self._subscription.ended:
                yield format_sse_event(comment=self._subscription.ended)
                return
            if not updates:
                yield format_sse_event(comment="still here")
            elif self._interval_s:
                await self._subscription.pause(self._interval_s)

    def _formatted(self, update: Update) -> bytes:
        if update.event == "alert":
            return format_sse_event(data_str=update.raw.decode(), event="alert", id=update.id)
        told = self._state(update)
        if told is None:  # its tombstone came while it waited
            return format_sse_event(comment=f"{update.underlying} is gone")
        return format_sse_event(data_str=told.decode(), event=update.event)

    def _state(self, update: Update) -> bytes | None:
        if update.event == "field":
            kept = self._view.field(update.underlying)
            return None if kept is None else self._answers.field_head(kept)
        latest = self._view.latest(update.underlying)
        return None if latest is None else self._answers.status(latest)
