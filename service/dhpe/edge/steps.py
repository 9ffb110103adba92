"""One step without any waiting: records of the log in, records for the log out.

Decode, apply, encode. The same is done live, where the outputs are committed, and after a restart, where they are
thrown away; the worker runs it in a thread, off the event loop.
"""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec
import numpy as np

from dhpe.columns import EVERY_UNDERLYING, Batch, Reject
from dhpe.edge.dead_letters import count_reasons, dead_letters
from dhpe.edge.decode import content_type_of, decode
from dhpe.edge.encode import encode_output
from dhpe.edge.log import LogRecord, OutRecord, partition_of
from dhpe.edge.salvage import Limits
from dhpe.edge.topic_names import TopicNames
from dhpe.engine import Engine
from dhpe.outputs import Output, Pressure, Quality
from dhpe.settings import Settings
from dhpe.snapshot import freeze, thaw
from dhpe.snapshot_bytes import Frozen

AnyOutput = TypeVar("AnyOutput", bound=Output)

CHAIN: Final = "chain"
TICKS: Final = "ticks"


class Outcome(NamedTuple):
    """What one step gives: records to commit, and what the metrics count."""

    records: list[OutRecord]
    outputs: list[Output]
    rejected: Counter[str]
    flags: dict[str, int]
    chain_applied: int
    ticks_applied: int
    seconds: float


class StepperState(NamedTuple):
    """All that the next step depends on, and the last pressure of each underlying as it was written."""

    engine: Frozen
    degraded: bool
    pressures: dict[str, bytes]


class Stepper:
    """The engine of one partition between its decoder and its encoder.

    ``degraded`` marks every output, once records that were to be applied are lost. ``recorded_version`` is the engine
    version that the journal knows to be at work.
    """

    def __init__(self, settings: Settings, names: TopicNames, partition: int, partitions: int) -> None:
        parameters = settings.parameters()
        self.parameters = parameters
        self.degraded = False
        self.recorded_version: str | None = None
        self._engine = Engine(parameters, partition)
        self._pressures: dict[str, bytes] = {}
        self._names = names
        self._partition = partition
        self._partitions = partitions
        self._limits = Limits(parameters.future_limit_ms, settings.message_bytes_max, settings.message_records_max)

    @property
    def engine(self) -> Engine:
        """The engine, for whoever reads its state between two steps."""
        return self._engine

    def apply(self, chain: Sequence[LogRecord], ticks: Sequence[LogRecord]) -> Outcome:
        """Apply ``chain``, then ``ticks``, each message as a whole, and say what comes of it."""
        started = time.perf_counter()
        chain_batch, chain_rejects = self._decode(chain, CHAIN)
        ticks_batch, ticks_rejects = self._decode(ticks, TICKS)
        result = self._engine.step(chain_batch, ticks_batch)
        chain_rejects += [reject for reject in result.rejects if reject.topic == CHAIN]
        ticks_rejects += [reject for reject in result.rejects if reject.topic == TICKS]
        outputs = [_mark_lost(output) for output in result.outputs] if self.degraded else result.outputs
        records = [self._encode(output) for output in outputs]
        for record in records:
            if record.topic == self._names.pressure and record.key is not None and record.value is not None:
                self._pressures[record.key.decode()] = record.value
        records += dead_letters(chain, chain_rejects, self._names.chain_dead, self._limits.bytes_max)
        records += dead_letters(ticks, ticks_rejects, self._names.ticks_dead, self._limits.bytes_max)
        return Outcome(
            records,
            outputs,
            count_reasons(chain_rejects) + count_reasons(ticks_rejects),
            result.flags,
            len(chain_batch.events),
            len(ticks_batch.events),
            time.perf_counter() - started,
        )

    @property
    def engine_version(self) -> str:
        """The fingerprint that stands in every output."""
        return self._engine.engine_version

    def pressure(self, underlying: str) -> Pressure | None:
        """The state of an underlying after the last step; ``None`` where the log has not named it."""
        pressure = self._engine.pressure(underlying)
        return _mark_lost(pressure) if pressure is not None and self.degraded else pressure

    def freeze(self) -> StepperState:
        """Copy the state, between two steps."""
        return StepperState(freeze(self._engine), self.degraded, dict(self._pressures))

    def thaw(self, state: StepperState) -> None:
        """Take over a state, before the first step.

        Raises:
            StateRefused: it is not a state of this engine.
        """
        thaw(state.engine, self._engine)
        self.degraded = state.degraded
        self._pressures = dict(state.pressures)

    def _decode(self, records: Sequence[LogRecord], topic: str) -> tuple[Batch, list[Reject]]:
        messages = [(r.offset, r.key, r.value, content_type_of(r.headers), r.append_time_ms) for r in records]
        batch, rejects = decode(messages, topic, self._limits)
        strangers = [
            code
            for code in np.unique(batch.events["underlying"]).tolist()
            if batch.names[code] != EVERY_UNDERLYING
            and partition_of(batch.names[code].encode(), self._partitions) != self._partition
        ]
        if not strangers:
            return batch, rejects
        # The underlying belongs to another worker's engine, which does not see this record: applied here, it would
        # make a second half of a state.
        wrong = np.isin(batch.events["underlying"], strangers)
        rejects += [
            Reject(topic, int(event["offset"]), int(event["index"]), "", "wrong_partition", self._belongs(batch, event))
            for event in batch.events[wrong]
        ]
        return batch._replace(events=batch.events[~wrong]), rejects

    def _belongs(self, batch: Batch, event: np.void) -> str:
        name = batch.names[event["underlying"]]
        right = partition_of(name.encode(), self._partitions)
        return f"{name!r} belongs to partition {right} by the murmur2 of its name: write it with that key"

    def _encode(self, output: Output) -> OutRecord:
        topic, key, value, headers = encode_output(output)
        return OutRecord(self._names.alerts if topic == "alerts" else self._names.pressure, key, value, headers)


def _mark_lost(output: AnyOutput) -> AnyOutput:
    known = output.quality or Quality("ok", [])
    status: Literal["stale", "degraded"] = "stale" if known.status == "stale" else "degraded"
    return msgspec.structs.replace(output, quality=Quality(status, sorted({*known.reasons, "data_loss"})))
