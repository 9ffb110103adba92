"""The composition root: which parts a process is made of, and how it starts, runs, drains and stops.

``run`` and ``serve`` are the service, ``feed`` and ``demo`` bring it a market. All waits are bounded, and the first
part that cannot go on ends the process with its one line.
"""

import asyncio
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from dhpe.columns import Batch, Reject
from dhpe.edge.api import build_api, build_server
from dhpe.edge.explain import Explainer
from dhpe.edge.feeds import Fed, FeedRules, feed_batches
from dhpe.edge.log import Log, LogUnavailable
from dhpe.edge.log_lines import configure
from dhpe.edge.metrics import Metrics
from dhpe.edge.sqlite import SqliteLog
from dhpe.edge.sqlite_retention import Retention
from dhpe.edge.tail import Tail
from dhpe.edge.topic_names import FIELD_BYTES_KEPT, MANIFEST_BYTES_MAX, TopicNames
from dhpe.edge.view import View, ViewLimits
from dhpe.edge.workers import Workers
from dhpe.outputs import Alert
from dhpe.settings import Settings, variable
from dhpe.simulate import SimulationSettings, simulate
from dhpe.warm import compile_kernels, compiled, warm

EMBEDDED_PARTITIONS: Final = 1
LISTEN_BACKLOG: Final = 128


class Ran(NamedTuple):
    """What a demo has shown, for its summary."""

    seconds: float
    records: int
    alerts: int


def build_log(settings: Settings) -> Log:
    """Kafka where one is named, else the embedded log."""
    if settings.kafka_bootstrap_servers is not None:
        from dhpe.edge.kafka import KafkaLog  # noqa: PLC0415 - the embedded log starts without the Kafka client

        return KafkaLog(settings)
    names = TopicNames.of(settings)
    topics = dict.fromkeys(names, EMBEDDED_PARTITIONS)
    bytes_max = {
        names.state: settings.state_bytes_max,
        names.manifest: MANIFEST_BYTES_MAX,
        names.field: FIELD_BYTES_KEPT,
    }
    retention = Retention.of(settings)
    return SqliteLog(settings.embedded_log_path, topics, settings.kafka_fetch_bytes_max, bytes_max, retention)


class Service:
    """The API with its view and, where it ``works``, the partition workers; all on one event loop."""

    def __init__(self, settings: Settings, log: Log, *, works: bool, simulated: bool = False) -> None:
        names = TopicNames.of(settings)
        self.settings = settings
        self.log = log
        self.metrics = Metrics()
        self.view = View(self.metrics, ViewLimits.of(settings), names.pressure, names.alerts, names.field)
        self.tail = Tail(log, settings, self.view)
        self.workers = Workers(log, settings, self.metrics) if works else None
        self.address = ""
        self._listener: socket.socket | None = None
        explain = Explainer(log, settings, self.metrics).explain
        application = build_api(self.view, self, settings, self.metrics, explain, simulated=simulated)
        self._server = build_server(application, settings, self.metrics)

    def alive(self) -> bool:
        """Whether the loop makes progress; the broker's state is no part of it."""
        return self.workers is None or self.workers.alive()

    def ready(self) -> tuple[bool, str]:
        """Whether the service can answer; if not, why."""
        if self.workers is not None:
            ready, reason = self.workers.ready()
            if not ready:
                return ready, reason
        if not self.tail.caught_up:
            return False, "The outputs of the past are still being read"
        return True, ""

    def listen(self) -> None:
        """Take the address before anything else is begun, and make its ``address`` known.

        Raises:
            LogUnavailable: it cannot be had; the message names the setting.
        """
        settings = self.settings
        family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.http_host, settings.http_port))
            listener.listen(LISTEN_BACKLOG)  # who comes before we are ready waits
        except OSError as error:
            listener.close()
            raise LogUnavailable(
                f"cannot listen on {settings.http_host}:{settings.http_port}: {error.strerror or error}; "
                f"choose another {variable('http_port')} (0 takes a free one)"
            ) from error
        self._listener = listener
        shown = "127.0.0.1" if settings.http_host in {"0.0.0.0", "::"} else settings.http_host  # noqa: S104 - shown
        scheme = "https" if settings.http_tls_certificate_file is not None else "http"
        self.address = f"{scheme}://{shown}:{listener.getsockname()[1]}"

    async def run(self, stop: asyncio.Event, *others: Callable[[], Any]) -> None:
        """Start, run until ``stop`` or until a part ends, drain and stop. ``others`` are coroutines that run beside.

        Raises:
            LogError: what a part that could not go on has said.
        """
        async with AsyncExitStack() as stack:
            if self._listener is None:
                self.listen()
            assert self._listener is not None  # noqa: S101 - listen has set it
            stack.callback(self._listener.close)
            stack.push_async_callback(self.log.stop)
            await self.log.start()
            serving = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="http")
            stack.push_async_callback(_ended, serving, self.settings.http_shutdown_timeout_s)
            stack.callback(setattr, self._server, "should_exit", True)
            stack.callback(self.view.close)  # an open stream would keep the server alive
            if self.workers is not None:
                await self._warm()
            parts = [asyncio.create_task(self.tail.run(), name="tail"), serving]
            parts += [asyncio.create_task(other()) for other in others]
            stack.push_async_callback(_cancelled, [part for part in parts if part is not serving])
            if self.workers is not None:
                working = asyncio.create_task(self.workers.run(), name="workers")
                parts.append(working)
                stack.push_async_callback(_ended, working, 2 * self.settings.drain_timeout_s)
                stack.callback(self.workers.stop)
            stopped = asyncio.create_task(stop.wait(), name="stop")
            stack.push_async_callback(_cancelled, [stopped])
            done, _ = await asyncio.wait([*parts, stopped], return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()

    async def _warm(self) -> None:
        # now: later it would hold the heartbeats of the group
        if not compiled():
            _say("Compiling the kernels, which takes about a minute, once.")
            await asyncio.to_thread(compile_kernels)
        await asyncio.to_thread(warm, self.settings.parameters())


async def _cancelled(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _ended(task: "asyncio.Task[Any]", timeout_s: float) -> None:
    """Wait for a part that was told to stop; one that does not is cancelled."""
    _, late = await asyncio.wait([task], timeout=timeout_s)
    if late:
        await _cancelled([task])
    elif not task.cancelled():
        task.exception()  # raised already where the part ended the process; unread it would be reported twice


@contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set ``stop``."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def run(settings: Settings) -> None:
    """Worker and API until SIGTERM."""
    configure(settings)
    asyncio.run(_serve(settings, works=True))


def serve(settings: Settings) -> None:
    """API alone: tails the output topics, so that any replica answers for any underlying."""
    configure(settings)
    asyncio.run(_serve(settings, works=False))


async def _serve(settings: Settings, *, works: bool) -> None:
    stop = asyncio.Event()
    service = Service(settings, build_log(settings), works=works)
    with stop_on_signals(stop):
        service.listen()
        _say(f"dhpe on {service.address} reads {_log_name(settings)}")
        await service.run(stop)


def feed(settings: Settings, batches: Iterable[Batch | Reject], rules: FeedRules) -> Fed:
    """Put a source on the input topics, until it ends or SIGTERM; return what was sent."""
    configure(settings)
    return asyncio.run(_feed(settings, batches, rules))


async def _feed(settings: Settings, batches: Iterable[Batch | Reject], rules: FeedRules) -> Fed:
    stop = asyncio.Event()
    log = build_log(settings)
    state = Fed()

    def note(fed: Fed) -> None:
        nonlocal state
        state = fed

    with stop_on_signals(stop):
        await log.start()
        try:
            feeding = asyncio.create_task(feed_batches(batches, log, rules, on_progress=note, on_reject=_warn))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait([feeding, stopping], return_when=asyncio.FIRST_COMPLETED)
            if feeding.done():
                state = feeding.result()
            await _cancelled([feeding, stopping])
        finally:
            await log.stop()
    return state


def demo(settings: Settings, duration_s: float | None = None, *, speed: float = 1.0) -> Ran:
    """A simulated market through the embedded log and the engine to the page; ends after ``duration_s``."""
    configure(settings.model_copy(update={"log_level": "warning"}) if settings.log_level == "info" else settings)
    with tempfile.TemporaryDirectory(prefix="dhpe-demo-") as folder:
        embedded = settings.model_copy(
            update={"kafka_bootstrap_servers": None, "embedded_log_path": Path(folder) / "log.sqlite"}
        )
        return asyncio.run(_demo(embedded, duration_s, speed))


async def _demo(settings: Settings, duration_s: float | None, speed: float) -> Ran:
    stop = asyncio.Event()
    service = Service(settings, build_log(settings), works=True, simulated=True)
    started_s = time.monotonic()
    fed = Fed()

    def note(now: Fed) -> None:
        nonlocal fed
        fed = now

    async def market() -> None:
        # Faster than life, event time must not overtake the log's clock: such a market lies in the past.
        start_ns = time.time_ns() - (86_400_000_000_000 if speed > 1.0 else 0)
        source = simulate(SimulationSettings(), start_ns)
        await feed_batches(source, service.log, FeedRules(speed, None, settings.topic_prefix), on_progress=note)

    async def narrate() -> None:
        await _narrate(service.view, started_s)

    with stop_on_signals(stop):
        service.listen()
        _say(f"The market shown here is simulated. Open {service.address}")
        _say(f"or ask: curl -s {service.address}/v1/SIM/amplification")
        if duration_s is not None:
            asyncio.get_running_loop().call_later(duration_s, stop.set)
        await service.run(stop, market, narrate)
    ran = Ran(time.monotonic() - started_s, fed.records, len(service.view.alerts(None, 0, settings.recent_alerts_max)))
    _say(f"{ran.records} records in {ran.seconds:.1f} s, {ran.alerts} alerts")
    return ran


async def _narrate(view: View, started_s: float) -> None:
    """Tell the first amplification, and the first alert of each rule, as they appear."""
    subscription = view.subscribe(None)
    amplified, told = False, set[str]()
    while True:
        for update in await subscription.take(1.0):
            after = f"{time.monotonic() - started_s:6.1f} s"
            latest = view.latest(update.underlying)
            if update.event == "alert":
                alert = msgspec.json.decode(update.raw, type=Alert)
                if alert.rule not in told:
                    told.add(alert.rule)
                    _say(f"{after}  alert {alert.rule}: {alert.reason}")
            elif not amplified and latest is not None and latest.pressure.amplification is not None:
                amplified = True
                pressure = latest.pressure
                _say(f"{after}  first amplification of {pressure.underlying}: {pressure.amplification:.3f}")


def _warn(reject: Reject) -> None:
    sys.stderr.write(f"{reject.file}, line {reject.index}: {reject.reason}: {reject.detail}\n")


def _log_name(settings: Settings) -> str:
    return settings.kafka_bootstrap_servers or f"the embedded log {settings.embedded_log_path}"


def _say(sentence: str) -> None:
    with suppress(BrokenPipeError):
        sys.stdout.write(sentence + "\n")
        sys.stdout.flush()
