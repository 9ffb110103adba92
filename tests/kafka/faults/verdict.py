"""What should be in the outputs, and what is: lost, doubled, different, and transactions that hang.

The oracle knows no log, no transaction and no restart: it applies the input records of each partition to an engine,
once, in the order that the journal tells.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from dhpe.edge.journal import JournalEntry, decode_entry
from dhpe.edge.log import Log, LogRecord, Place
from dhpe.edge.steps import Stepper
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from faults.reader import Seen
from log_contract import read_all

SPLIT = 777
"""Messages of one step of the oracle: any other split gives the same."""

Outputs = dict[tuple[str, bytes | None], list[Seen]]
"""By topic and key, in order: across underlyings there is none."""


class Verdict(NamedTuple):
    """The comparison of one round."""

    outputs: int
    alerts: int
    dead_letters: int
    lost: int
    doubled: int
    different: int

    @property
    def clean(self) -> bool:
        """Whether the outputs are exactly the expected ones."""
        return self.lost == self.doubled == self.different == 0


class Inputs(NamedTuple):
    """What stands in the log of one partition number."""

    chain: list[LogRecord]
    ticks: list[LogRecord]
    journal: list[JournalEntry]


async def read_inputs(log: Log, names: TopicNames, partition: int) -> Inputs:
    """Everything that was to be applied, and in what order it was."""
    journal = await read_all(log, names.journal, partition)
    return Inputs(
        await read_all(log, names.chain, partition),
        await read_all(log, names.ticks, partition),
        [decode_entry(record.value or b"") for record in journal],
    )


def order(inputs: Inputs) -> Iterator[tuple[list[LogRecord], list[LogRecord]]]:
    """The stretches of chain and of ticks in the order of the journal; what it does not name comes last."""
    tick = 0
    for entry in inputs.journal:
        end = bisect_left(inputs.ticks, entry.ticks_at, key=_offset)
        yield [], inputs.ticks[tick:end]
        tick = end
        chain = [bisect_left(inputs.chain, offset, key=_offset) for offset in (entry.chain_from, entry.chain_to)]
        yield inputs.chain[slice(*chain)], []
    yield [], inputs.ticks[tick:]


def _offset(record: LogRecord) -> int:
    return record.offset


def expected(settings: Settings, partition: int, inputs: Inputs) -> Outputs:
    """The outputs of an engine that is never disturbed."""
    stepper = Stepper(settings, TopicNames.of(settings), partition, settings.topic_partitions)
    outputs: Outputs = defaultdict(list)
    for chain, ticks in order(inputs):
        for start in range(0, max(len(chain), len(ticks)), SPLIT):
            piece = slice(start, start + SPLIT)
            for record in stepper.apply(chain[piece], ticks[piece]).records:
                outputs[record.topic, record.key].append(Seen(record.key, record.value, record.headers))
    return outputs


def by_key(seen: Mapping[Place, Sequence[Seen]], topics: Sequence[str], partition: int) -> Outputs:
    """What the reader was given of one partition number."""
    outputs: Outputs = defaultdict(list)
    for topic in topics:
        for one in seen.get((topic, partition), ()):
            outputs[topic, one.key].append(one)
    return outputs


def compare(names: TopicNames, wanted: Outputs, given: Outputs) -> Verdict:
    """Bytes against bytes, in order: values with their positions, and headers."""
    lost = doubled = different = 0
    for place in wanted.keys() | given.keys():
        should, does = wanted.get(place, []), given.get(place, [])
        if should == does:
            continue
        shoulds, doeses = Counter(should), Counter(does)
        missing = (shoulds - doeses).total()
        strangers = sum(count for one, count in doeses.items() if one not in shoulds)
        lost += max(0, missing - strangers)
        different += strangers
        doubled += sum(count - shoulds[one] for one, count in doeses.items() if 0 < shoulds[one] < count)
        if shoulds == doeses:
            different += sum(left != right for left, right in zip(should, does, strict=True))
    return Verdict(
        sum(map(len, given.values())),
        sum(len(some) for (topic, _), some in given.items() if topic == names.alerts),
        sum(len(some) for (topic, _), some in given.items() if topic in (names.chain_dead, names.ticks_dead)),
        lost,
        doubled,
        different,
    )


def missing_from_log(fed: Sequence[bytes | None], records: Sequence[LogRecord]) -> int:
    """How many of the values that were fed are not in the log in their order (one may stand there twice)."""
    values = iter(records)
    return sum(all(record.value != value for record in values) for value in fed)


def apart_from_positions(names: TopicNames, wanted: Outputs, given: Outputs) -> int:
    """How many lines of pressure and alerts differ in more than their positions."""
    differing = 0
    for place in wanted.keys() | given.keys():
        if place[0] in (names.pressure, names.alerts):
            left, right = ([_without_positions(one) for one in some.get(place, [])] for some in (wanted, given))
            differing += abs(len(left) - len(right)) + sum(a != b for a, b in zip(left, right, strict=False))
    return differing


def _without_positions(one: Seen) -> Seen:
    body = msgspec.json.decode(one.value or b"{}")
    body.pop("offsets", None)
    return one._replace(value=msgspec.json.encode(body))
