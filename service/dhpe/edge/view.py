"""The latest pressure of every underlying, the recent alerts, and who listens to them.

``apply`` is fed with the records of the output topics, by the worker after its commit or by a replica that tails
them; the API reads. Everything runs on the one event loop, so nothing is locked. Everything is bounded: the
alerts, the history of each underlying, the listeners, and what one listener has not taken yet.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import msgspec

from dhpe.edge.metrics import Metrics
from dhpe.field_outputs import FieldLimits
from dhpe.outputs import Alert, Offsets, Pressure, Quality
from dhpe.settings import Settings

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class ViewLimits:
    """How much the view keeps; ``history_interval_ms`` is event time."""

    underlyings: int = 10_000
    fields: int = 256
    alerts: int = 1_000
    history_points: int = 1_200
    history_interval_ms: int = 500
    stream_clients: int = 200
    stream_clients_of_address: int = 20
    stream_queue: int = 256

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The limits that the operator has set."""
        return cls(
            underlyings=settings.underlyings_max,
            fields=settings.fields_max,
            alerts=settings.recent_alerts_max,
            history_points=settings.history_points_max,
            history_interval_ms=settings.history_interval_ms,
            stream_clients=settings.stream_clients_max,
            stream_clients_of_address=settings.stream_clients_of_address_max,
            stream_queue=settings.stream_queue_max,
        )


class Latest(NamedTuple):
    """The newest pressure of an underlying, as it stands in the log, and when it was appended there."""

    pressure: Pressure
    raw: bytes
    append_time_ms: int


class KeptAlert(NamedTuple):
    """An alert, as it stands in the log, and when it was appended there."""

    alert: Alert
    raw: bytes
    append_time_ms: int


class FieldParts(msgspec.Struct, frozen=True, kw_only=True):
    """A field whose four parts stay as they stand in the log: each is answered alone, and none is looked into."""

    underlying: str
    ts_event_ns: int
    spot: float | None
    spot_source: str | None
    default_book: str
    dealer_share: float
    tau_floor_s: float
    at_spot: msgspec.Raw
    landscape: msgspec.Raw
    potential: msgspec.Raw
    surface: msgspec.Raw
    limits: FieldLimits
    quality: Quality
    offsets: Offsets
    engine_version: str


class KeptField(NamedTuple):
    """The newest field of an underlying, and when it was appended to the log."""

    parts: FieldParts
    append_time_ms: int


class HistoryPoint(NamedTuple):
    """The headline at one event time: what the page draws before its first event arrives."""

    ts_event_ns: int
    spot: float | None
    amplification: float | None
    amplification_low: float | None
    amplification_high: float | None
    feedback_gain: float | None
    gamma_usd_per_1pct: float | None
    vanna_usd_per_vol_point: float | None
    charm_usd_per_minute: float | None


class Update(NamedTuple):
    """One event for a listener; ``id`` is the alert's, empty else; of a field it only tells that it is there."""

    event: Literal["pressure", "alert", "field"]
    underlying: str
    id: str
    raw: bytes
    append_time_ms: int


def _key(update: Update) -> tuple[str, str]:
    return update.event, update.id or update.underlying


class StreamFull(Exception):  # noqa: N818 - a state of the service, not a mistake
    """As many listeners as allowed are there already; ``of_address``: from this address."""

    def __init__(self, *, of_address: bool) -> None:
        super().__init__()
        self.of_address = of_address


class Subscription:
    """What one listener has not taken yet; it begins with ``known``.

    Of each underlying only the newest pressure and the newest field wait (a listener wants the state, not its past);
    every alert waits. When more than ``alerts_max`` alerts have come since the last ``take``, the listener is too slow
    and is dropped: ``ended`` says "slow". It may come back and name the last alert that it saw.
    """

    def __init__(
        self, underlying: str | None, alerts_max: int, known: Iterable[Update] = (), address: str = ""
    ) -> None:
        self.underlying = underlying
        self.address = address
        self.ended: Literal["", "slow", "shutdown", "closed"] = ""
        self._alerts_max = alerts_max
        self._alerts = 0
        self._waiting = {_key(update): update for update in known}
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        if self._waiting:
            self._wake.set()

    def offer(self, update: Update) -> None:
        """Put ``update`` behind what waits already; end when that is too much."""
        self._waiting.pop(_key(update), None)
        self._waiting[_key(update)] = update
        self._alerts += update.event == "alert"
        if self._alerts > self._alerts_max:
            self._waiting.clear()
            self.end("slow")
        self._wake.set()

    def end(self, reason: Literal["slow", "shutdown", "closed"]) -> None:
        """Let the listener's next ``take`` return at once, and be its last."""
        self.ended = self.ended or reason
        self._wake.set()
        self._over.set()

    async def pause(self, seconds: float) -> None:
        """Let events gather for ``seconds``, or until the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def take(self, timeout_s: float) -> list[Update]:
        """Wait for events and take them all, in order of arrival; empty after ``timeout_s`` or at the end."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return []
        self._wake.clear()
        self._alerts = 0
        taken = list(self._waiting.values())
        self._waiting.clear()
        return taken


class View:
    """What the API, the page and the metrics read. See the head of this file."""

    def __init__(
        self,
        metrics: Metrics,
        limits: ViewLimits = ViewLimits(),
        pressure_topic: str = "pressure",
        alerts_topic: str = "alerts",
        field_topic: str = "field",
    ) -> None:
        self._metrics = metrics
        self._limits = limits
        self._pressure_topic = pressure_topic
        self._alerts_topic = alerts_topic
        self._field_topic = field_topic
        self._latest: dict[str, Latest] = {}
        self._fields: dict[str, KeptField] = {}
        self._history: dict[str, deque[HistoryPoint]] = {}
        self._alerts: OrderedDict[str, KeptAlert] = OrderedDict()
        self._subscriptions: set[Subscription] = set()
        self._closed = False
        self._decode_pressure = msgspec.json.Decoder(Pressure).decode
        self._decode_alert = msgspec.json.Decoder(Alert).decode
        self._decode_field = msgspec.json.Decoder(FieldParts).decode

    def apply(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, append_time_ms: int) -> None:
        """Take one record of an output topic, in the order of its partition.

        A record without value is a tombstone: the underlying is gone. A record that this version cannot read is
        counted and left out, since another version may have written it.

        Raises:
            ValueError: ``topic`` is none of the three.
        """
        del headers  # CloudEvents attributes repeat what the body says
        try:
            if topic == self._pressure_topic:
                self._apply_pressure(key, value, append_time_ms)
            elif topic == self._alerts_topic:
                self._apply_alert(value, append_time_ms)
            elif topic == self._field_topic:
                self._apply_field(key, value, append_time_ms)
            else:
                message = f"topic {topic!r} is not one that the view reads"
                raise ValueError(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._metrics.view_rejected("undecodable")

    def underlyings(self) -> list[str]:
        """The names of all underlyings, sorted."""
        return sorted(self._latest)

    def latest(self, underlying: str) -> Latest | None:
        """The newest pressure of ``underlying``, or None where it is unknown."""
        return self._latest.get(underlying)

    def field(self, underlying: str) -> KeptField | None:
        """The newest field of ``underlying``, or None where there is none."""
        return self._fields.get(underlying)

    def alerts(self, underlying: str | None, since_ns: int, limit: int) -> list[KeptAlert]:
        """Alerts of ``underlying`` (None: of all) later than ``since_ns``, newest first, at most ``limit``."""
        found: list[KeptAlert] = []
        for kept in reversed(self._alerts.values()):
            if underlying in (None, kept.alert.underlying) and kept.alert.ts_event_ns > since_ns:
                found.append(kept)
                if len(found) == limit:
                    break
        return found

    def history(self, underlying: str) -> list[HistoryPoint]:
        """The headline of the last minutes, oldest first, one point per ``history_interval_ms`` of event time."""
        return list(self._history.get(underlying, ()))

    def subscribe(self, underlying: str | None, after_alert: str | None = None, address: str = "") -> Subscription:
        """Listen to ``underlying`` (None: to all), beginning with what is known now.

        ``address`` is whose listener it is; without one, only the limit of all holds.

        With ``after_alert`` the alerts after that one come first, so that a reader who lost the connection
        misses none that is still kept.

        Raises:
            StreamFull: as many listeners as allowed are there already.
        """
        if len(self._subscriptions) >= self._limits.stream_clients:
            self._metrics.stream_dropped("full")
            raise StreamFull(of_address=False)
        of_address = sum(one.address == address for one in self._subscriptions) if address else 0
        if of_address >= self._limits.stream_clients_of_address:
            self._metrics.stream_dropped("address")
            raise StreamFull(of_address=True)
        known = self._known_now(underlying, after_alert)
        subscription = Subscription(underlying, self._limits.stream_queue, known, address)
        if self._closed:
            subscription.end("shutdown")
        self._subscriptions.add(subscription)
        self._metrics.stream_clients(len(self._subscriptions))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget ``subscription``; twice is harmless."""
        subscription.end("closed")
        self._subscriptions.discard(subscription)
        self._metrics.stream_clients(len(self._subscriptions))

    def close(self) -> None:
        """End all subscriptions, now and to come: an open stream would keep the server alive."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end("shutdown")

    def _apply_pressure(self, key: bytes | None, value: bytes | None, append_time_ms: int) -> None:
        if not value:
            underlying = (key or b"").decode()
            self._latest.pop(underlying, None)
            self._history.pop(underlying, None)
            return
        pressure = self._decode_pressure(value)
        if pressure.underlying not in self._latest and len(self._latest) >= self._limits.underlyings:
            self._metrics.view_rejected("too_many_underlyings")
            return
        self._latest[pressure.underlying] = Latest(pressure, value, append_time_ms)
        self._remember(pressure)
        self._publish(Update("pressure", pressure.underlying, "", value, append_time_ms))

    def _apply_alert(self, value: bytes | None, append_time_ms: int) -> None:
        if not value:
            return
        alert = self._decode_alert(value)
        if alert.id in self._alerts:
            return  # the id is the same for the same fact, however often it is delivered
        self._alerts[alert.id] = KeptAlert(alert, value, append_time_ms)
        if len(self._alerts) > self._limits.alerts:
            self._alerts.popitem(last=False)
        self._publish(Update("alert", alert.underlying, alert.id, value, append_time_ms))

    def _apply_field(self, key: bytes | None, value: bytes | None, append_time_ms: int) -> None:
        if not value:
            self._fields.pop((key or b"").decode(), None)
            return
        parts = self._decode_field(value)
        if parts.underlying not in self._fields and len(self._fields) >= self._limits.fields:
            self._metrics.view_rejected("too_many_fields")
            return
        self._fields[parts.underlying] = KeptField(parts, append_time_ms)
        self._publish(Update("field", parts.underlying, "", b"", append_time_ms))

    def _publish(self, update: Update) -> None:
        for subscription in list(self._subscriptions):
            if subscription.underlying not in (None, update.underlying):
                continue
            subscription.offer(update)
            if subscription.ended == "slow":
                self._metrics.stream_dropped("slow")
                self._subscriptions.discard(subscription)
                self._metrics.stream_clients(len(self._subscriptions))

    def _remember(self, pressure: Pressure) -> None:
        ring = self._history.setdefault(pressure.underlying, deque(maxlen=self._limits.history_points))
        interval_ns = self._limits.history_interval_ms * 1_000_000
        if ring and pressure.ts_event_ns < ring[-1].ts_event_ns:
            ring.clear()  # an older source was started on the same underlying: a chart cannot run backwards
        if ring and pressure.ts_event_ns // interval_ns == ring[-1].ts_event_ns // interval_ns:
            ring.pop()
        ring.append(HistoryPoint(*(getattr(pressure, name) for name in HistoryPoint._fields)))

    def _known_now(self, underlying: str | None, after_alert: str | None) -> Iterator[Update]:
        if after_alert is not None and after_alert in self._alerts:
            seen = False
            for kept in self._alerts.values():
                if seen and underlying in (None, kept.alert.underlying):
                    yield Update("alert", kept.alert.underlying, kept.alert.id, kept.raw, kept.append_time_ms)
                seen = seen or kept.alert.id == after_alert
        for name in self.underlyings() if underlying is None else [underlying]:
            known = self._latest.get(name)
            if known is not None:
                yield Update("pressure", name, "", known.raw, known.append_time_ms)
            field = self._fields.get(name)
            if field is not None:
                yield Update("field", name, "", b"", field.append_time_ms)
