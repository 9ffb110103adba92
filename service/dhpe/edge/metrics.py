"""What the service says about itself to Prometheus.

Base units, ``_total`` counters, no label that grows with the market (no contracts, no symbols); the caller
observes once a batch, never once a record. The whole registry stays under ``SERIES_MAX`` series: reasons and
underlyings beyond their limits are counted together, as ``other`` and as ``dhpe_underlyings_hidden``.
The numbers of the underlyings are read at the scrape, through ``watch``, so that a stale number disappears
from the metrics as it does from the API; a number that is not known has no sample.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from dhpe import __version__
from dhpe.outputs import Alert, Output

SERIES_MAX: Final = 500
REASONS_MAX: Final = 40
UNDERLYINGS_MAX: Final = 16
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

STEP_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
TRANSACTION_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0)
FIELD_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
REGIMES: Final = ("normal", "bulldozer", "burnout", "phase_transition")
QUALITIES: Final = ("ok", "degraded", "stale")


class UnderlyingSample(NamedTuple):
    """What one scrape tells of one underlying. ``numbers`` by the names of NUMBERS; None is not exported."""

    underlying: str
    age_s: float
    regime: str | None
    quality: str
    numbers: Mapping[str, float | None]


NUMBERS: Final = {
    "amplification": ("dhpe_amplification_ratio", "Amplification A = 1/(1 - gain) of the default book"),
    "amplification_low": ("dhpe_amplification_low_ratio", "Lower end of the interval of the amplification"),
    "amplification_high": ("dhpe_amplification_high_ratio", "Upper end of the interval of the amplification"),
    "feedback_gain": ("dhpe_feedback_gain_ratio", "Feedback gain, impact times hedge pressure, of the default book"),
    "spot": ("dhpe_spot_price", "Spot of the underlying, in its currency"),
    "gamma_usd_per_1pct": ("dhpe_gamma_usd_per_percent", "Dealer delta change per 1 % move, in the currency"),
    "quote_late_share": (
        "dhpe_quote_late_ratio",
        "Share of the last few hundred quotes that came late with news",
    ),
    "quote_age_mean_s": ("dhpe_quote_age_seconds", "Mean age of the quotes that the last few hundred trades found"),
    "clipped_contracts": ("dhpe_clipped_contracts", "Contracts of the default book beyond the last prints"),
    "panel_error": ("dhpe_panel_error_ratio", "Largest relative error of the panel at its last self-check"),
}


class Metrics:
    """All collectors of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        build = Gauge("dhpe_build_info", "Always 1; the version is the label", ["version"], registry=self.registry)
        build.labels(__version__).set(1)
        self._records = self._counter("dhpe_records", "Input records applied, by topic", "topic")
        self._rejected = self._counter("dhpe_rejected", "Input records not applied, by reason", "reason")
        self._flagged = self._counter("dhpe_flagged", "Input records applied with a flag, by flag", "flag")
        self._pressure = self._counter("dhpe_pressure", "Pressure records published")
        self._alerts = self._counter("dhpe_alerts", "Alerts published, by rule and severity", "rule", "severity")
        self._step_s = self._histogram("dhpe_step_seconds", "Time of one engine step", STEP_BUCKETS_S)
        self._transaction_s = self._histogram(
            "dhpe_transaction_seconds", "Time of one commit of outputs and offsets", TRANSACTION_BUCKETS_S
        )
        self._field_s = self._histogram("dhpe_field_seconds", "Time to compute one field", FIELD_BUCKETS_S)
        self._fields = self._counter("dhpe_fields", "Fields computed, by what became of them", "result")
        self._aborts = self._counter("dhpe_transaction_aborts", "Transactions aborted")
        self._fenced = self._counter("dhpe_fenced", "Times that a newer owner fenced this worker")
        self._rebalances = self._counter("dhpe_rebalances", "Changes of the partitions assigned to this worker")
        self._lag_records = self._gauge("dhpe_lag_records", "Input records not yet applied", "topic", "partition")
        self._lag_s = self._gauge(
            "dhpe_lag_seconds", "Append-to-applied age of the newest applied input record", "topic", "partition"
        )
        self._restore_s = self._gauge("dhpe_restore_seconds", "Time of the last restore of a partition", "partition")
        self._snapshot_age_s = self._gauge("dhpe_snapshot_age_seconds", "Since the last kept state", "partition")
        self._snapshot_bytes = self._gauge("dhpe_snapshot_size_bytes", "Size of the last kept state", "partition")
        self._snapshots = self._counter("dhpe_snapshots", "States kept in the log")
        self._snapshots_failed = self._counter("dhpe_snapshots_failed", "States that could not be kept")
        self._states_refused = self._counter("dhpe_states_refused", "Kept states passed over in a restore")
        self._loop_lag_s = self._gauge("dhpe_loop_lag_seconds", "How late the event loop wakes")
        self._clients = self._gauge("dhpe_stream_clients", "Open event streams")
        self._dropped = self._counter("dhpe_stream_dropped", "Event streams dropped, by reason", "reason")
        self._http_refused = self._counter("dhpe_http_refused", "Requests and connections refused, by reason", "reason")
        self._view_rejected = self._counter(
            "dhpe_view_rejected", "Output records the view left out, by reason", "reason"
        )
        self._reasons: dict[str, set[str]] = {"reason": set(), "flag": set(), "rule": set()}

    # the worker

    def step_done(self, chain: int, ticks: int, seconds: float) -> None:
        """One engine step applied ``chain`` and ``ticks`` records of the two topics in ``seconds``."""
        self._records.labels("chain").inc(chain)
        self._records.labels("ticks").inc(ticks)
        self._step_s.observe(seconds)

    def rejected(self, reasons: Mapping[str, int]) -> None:
        """Records refused at the door (dead letters) or by the engine, counted by reason."""
        for reason, count in reasons.items():
            self._rejected.labels(self._bounded("reason", reason)).inc(count)

    def flagged(self, flags: Mapping[str, int]) -> None:
        """Records accepted with a flag, e.g. ``crossed_quote``."""
        for flag, count in flags.items():
            self._flagged.labels(self._bounded("flag", flag)).inc(count)

    def published(self, outputs: Iterable[Output]) -> None:
        """Outputs whose commit has returned."""
        pressures = 0
        for output in outputs:
            if isinstance(output, Alert):
                self._alerts.labels(self._bounded("rule", output.rule), output.severity).inc()
            else:
                pressures += 1
        self._pressure.inc(pressures)

    def transaction_done(self, seconds: float) -> None:
        """A commit returned after ``seconds``."""
        self._transaction_s.observe(seconds)

    def transaction_aborted(self) -> None:
        """A transaction was given up; its records will be read again."""
        self._aborts.inc()

    def fenced(self) -> None:
        """Another owner took the partition over."""
        self._fenced.inc()

    def rebalanced(self) -> None:
        """The group changed who owns what."""
        self._rebalances.inc()

    def restored(self, partition: int, seconds: float) -> None:
        """The state of ``partition`` stood again after ``seconds``."""
        self._restore_s.labels(str(partition)).set(seconds)

    def snapshot_written(self, partition: int, size_bytes: int) -> None:
        """A state of ``partition`` stands in the log, whole."""
        written_s = time.monotonic()
        self._snapshots.inc()
        self._snapshot_bytes.labels(str(partition)).set(size_bytes)
        self._snapshot_age_s.labels(str(partition)).set_function(lambda: time.monotonic() - written_s)

    def snapshot_failed(self) -> None:
        """A state could not be copied or written; the one before it still serves."""
        self._snapshots_failed.inc()

    def state_refused(self) -> None:
        """A restore passed over a kept state."""
        self._states_refused.inc()

    def lag(self, topic: str, partition: int, records: int, seconds: float | None) -> None:
        """How far behind the end of ``topic`` the worker is; ``seconds`` None while nothing was applied."""
        self._lag_records.labels(topic, str(partition)).set(records)
        if seconds is not None:
            self._lag_s.labels(topic, str(partition)).set(seconds)

    def revoked(self, partition: int) -> None:
        """``partition`` is another worker's now: its gauges go, or they would tell of the past for ever."""
        for gauge in (self._lag_records, self._lag_s):
            for topic in ("chain", "ticks"):
                gauge.remove_by_labels({"topic": topic, "partition": str(partition)})
        for gauge in (self._restore_s, self._snapshot_age_s, self._snapshot_bytes):
            gauge.remove_by_labels({"partition": str(partition)})

    def loop_lag(self, seconds: float) -> None:
        """The event loop woke ``seconds`` later than it was asked to."""
        self._loop_lag_s.set(seconds)

    def field_done(self, result: str, seconds: float) -> None:
        """A field was worked on for ``seconds``: ``written``, ``too_large``, ``not_written`` or ``failed``."""
        self._fields.labels(result).inc()
        self._field_s.observe(seconds)

    # the view and the API

    def stream_clients(self, count: int) -> None:
        """``count`` event streams are open now."""
        self._clients.set(count)

    def stream_dropped(self, reason: str) -> None:
        """An event stream was refused or ended by us: ``slow``, ``full`` or ``address``."""
        self._dropped.labels(reason).inc()

    def http_refused(self, reason: str) -> None:
        """A request was refused, or a connection closed: ``rate``, ``key``, ``body``, ``slow_request`` and so on."""
        self._http_refused.labels(reason).inc()

    def view_rejected(self, reason: str) -> None:
        """A record of an output topic was left out: ``undecodable`` or ``too_many_underlyings``."""
        self._view_rejected.labels(reason).inc()

    def watch(self, samples: Callable[[], Iterable[UnderlyingSample]]) -> None:
        """Ask ``samples`` for the underlyings at every scrape."""
        self.registry.register(_UnderlyingCollector(samples))

    def render(self) -> bytes:
        """The exposition text of all series (content type CONTENT_TYPE)."""
        return generate_latest(self.registry)

    def _bounded(self, label: str, value: str) -> str:
        known = self._reasons[label]
        if value in known or len(known) < REASONS_MAX:
            known.add(value)
            return value
        return "other"

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, documentation, buckets=buckets, registry=self.registry)


class _UnderlyingCollector:
    """Gauges made anew at each scrape from the samples of the underlyings."""

    def __init__(self, samples: Callable[[], Iterable[UnderlyingSample]]) -> None:
        self._samples = samples

    def describe(self) -> list[Metric]:
        """Nothing: see below."""
        return []  # the registry would otherwise collect at registration, when nothing is known

    def collect(self) -> Iterator[Metric]:
        """One family per number, without samples for what is not known."""
        samples = sorted(self._samples(), key=lambda sample: sample.underlying)
        shown = samples[:UNDERLYINGS_MAX]
        for key, (name, documentation) in NUMBERS.items():
            yield _family(name, documentation, ((s.underlying, s.numbers.get(key)) for s in shown))
        age = "Time since the latest pressure was appended to the log"
        yield _family("dhpe_pressure_age_seconds", age, ((s.underlying, s.age_s) for s in shown))
        regime = GaugeMetricFamily("dhpe_regime_state", "1 for the state that holds", labels=["underlying", "state"])
        quality = GaugeMetricFamily(
            "dhpe_quality_state", "1 for the quality that holds", labels=["underlying", "state"]
        )
        for sample in shown:
            for state in REGIMES if sample.regime is not None else ():
                regime.add_metric([sample.underlying, state], float(state == sample.regime))
            for state in QUALITIES:
                quality.add_metric([sample.underlying, state], float(state == sample.quality))
        yield regime
        yield quality
        hidden = float(len(samples) - len(shown))
        yield GaugeMetricFamily("dhpe_underlyings_hidden", "Underlyings without series of their own", value=hidden)


def _family(name: str, documentation: str, values: Iterable[tuple[str, float | None]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=["underlying"])
    for underlying, value in values:
        if value is not None:
            family.add_metric([underlying], value)
    return family
