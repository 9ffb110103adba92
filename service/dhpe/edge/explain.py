"""Why an alert was published: it is computed anew from the log and held against what stands there, bit by bit."""

import asyncio
from typing import Final

import msgspec

from dhpe.edge.journal import Positions
from dhpe.edge.log import Log, LogError, LogRecord, OutRecord, RecordsLost
from dhpe.edge.metrics import Metrics
from dhpe.edge.past import Past, Reached
from dhpe.edge.spans import newest_first
from dhpe.edge.steps import Outcome
from dhpe.edge.topic_names import TopicNames
from dhpe.fingerprint import engine_version
from dhpe.outputs import Alert
from dhpe.settings import Settings

WINDOW: Final = 2_000
"""Alerts read at once, from the end of the topic backwards."""

_ALERT: Final = msgspec.json.Decoder(Alert)


class Evidence(msgspec.Struct, frozen=True):
    """One number of the alert as it was published and as it comes out now, beside its threshold, if it has one."""

    name: str
    published: float | None
    recomputed: float | None
    threshold: float | None


class Origin(msgspec.Struct, frozen=True):
    """What the computation began with: a kept state, or the beginning of the log; the next offsets of its inputs."""

    kept_state: bool
    chain: int
    ticks: int


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An alert, and what the log says of it today.

    ``bit_equal`` compares key, value and CloudEvents headers byte by byte; it is null where it cannot be known, and
    ``reason`` says why in one sentence. ``engine_version`` is that of the process that answers; the alert has its own.
    """

    id: str
    underlying: str
    rule: str
    ts_event_ns: int
    bit_equal: bool | None
    reason: str
    evidence: list[Evidence]
    published: Alert
    recomputed: Alert | None
    engine_version: str
    origin: Origin | None
    records_replayed: int


class Busy(LogError):  # noqa: N818 - a state of the service, not a mistake
    """Another alert is being explained: one at a time, so that questions do not take the machine from the work."""


class Explainer:
    """Answers for any alert that the log still has; reads beside the workers, and owns nothing."""

    def __init__(self, log: Log, settings: Settings, metrics: Metrics) -> None:
        self._log = log
        self._settings = settings
        self._metrics = metrics
        self._names = TopicNames.of(settings)
        self._version = engine_version(settings.parameters())
        self._one = asyncio.Lock()

    async def explain(self, alert_id: str) -> Explanation | None:
        """Compute the alert anew; None where no alert in the log has this id.

        Raises:
            Busy: another alert is being explained.
            LogError: the log does not answer, or it takes longer than ``explain_timeout_s``.
        """
        if self._one.locked():
            raise Busy("another alert is being explained; ask again in a moment")
        async with self._one:
            try:
                async with asyncio.timeout(self._settings.explain_timeout_s):
                    record = await self._find(alert_id)
                    return None if record is None else await self._explain(record)
            except TimeoutError as error:
                raise LogError(
                    f"alert {alert_id} could not be computed within {self._settings.explain_timeout_s:g} s "
                    "(DHPE_EXPLAIN_TIMEOUT_S)"
                ) from error

    async def _find(self, alert_id: str) -> LogRecord | None:
        wanted = ("ce_id", alert_id.encode())
        for partition in range(await self._log.partitions(self._names.alerts)):
            async for record in newest_first(self._log, (self._names.alerts, partition), WINDOW, WINDOW):
                if wanted in record.headers:
                    return record
        return None

    async def _explain(self, record: LogRecord) -> Explanation:
        alert = _ALERT.decode(record.value or b"")
        if alert.engine_version != self._version:
            reason = (
                f"the alert is the work of {alert.engine_version}, this process is {self._version}: "
                "only the same program with the same parameters gives the same bits"
            )
            return self._answer(alert, None, reason)
        offsets = alert.offsets
        target = Positions(offsets.chain + 1, offsets.ticks + 1)
        # Alerts come of ticks; one of a hot record on the other topic was not there before that record.
        try:
            for newest in (target._replace(ticks=offsets.ticks), target._replace(chain=offsets.chain)):
                said, reached = await self._recomputed(alert, target, newest)
                if said is not None:
                    break
        except RecordsLost as error:
            return self._answer(alert, None, f"the log no longer reaches back: {error}")
        if said is None:
            reason = "the records up to its offsets do not give this alert"
            return self._answer(alert, False, reason, reached=reached, target=target)
        equal = _comparable(said.key, said.value, said.headers) == _comparable(record.key, record.value, record.headers)
        reason = "the log gives the same bytes" if equal else "the log gives other bytes: see the evidence"
        again = _ALERT.decode(said.value or b"")
        return self._answer(alert, equal, reason, again=again, reached=reached, target=target)

    async def _recomputed(self, alert: Alert, target: Positions, newest: Positions) -> tuple[OutRecord | None, Reached]:
        found: list[OutRecord] = []
        wanted = ("ce_id", alert.id.encode())

        def listen(outcome: Outcome) -> None:
            found.extend(record for record in outcome.records if wanted in record.headers)

        partition = alert.offsets.partition
        partitions = await self._log.partitions(self._names.ticks)
        past = Past(self._log, self._settings, self._metrics, partition, partitions, lambda: None)
        reached = await past.state_at(target, base_max=newest, applied=listen)
        return found[0] if found else None, reached

    def _answer(
        self,
        alert: Alert,
        bit_equal: bool | None,
        reason: str,
        *,
        again: Alert | None = None,
        reached: Reached | None = None,
        target: Positions | None = None,
    ) -> Explanation:
        recomputed = {} if again is None else again.evidence
        origin = None if reached is None else Origin(reached.from_state, *reached.base)
        replayed = 0 if reached is None or target is None else sum(target) - sum(reached.base)
        return Explanation(
            id=alert.id,
            underlying=alert.underlying,
            rule=alert.rule,
            ts_event_ns=alert.ts_event_ns,
            bit_equal=bit_equal,
            reason=reason,
            evidence=[
                Evidence(name, alert.evidence.get(name), recomputed.get(name), alert.thresholds.get(name))
                for name in dict.fromkeys((*alert.evidence, *recomputed))
            ],
            published=alert,
            recomputed=again,
            engine_version=self._version,
            origin=origin,
            records_replayed=replayed,
        )


def _comparable(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    return key, value, [header for header in headers if header[0].startswith("ce_")]
