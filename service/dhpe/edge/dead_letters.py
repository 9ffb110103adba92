"""Messages that could not be applied, or not wholly: kept as they came, with the place and the reason."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

from dhpe.columns import Reject
from dhpe.edge.log import Headers, LogRecord, OutRecord

EXCERPT_BYTES: Final = 64 * 1024
"""What is kept of a message that is too large even for the dead-letter topic."""
HEADER_ROOM_BYTES: Final = 60 * 1024
"""Our own headers and the message's stay below this together."""
DETAIL_MAX: Final = 1_000
INDICES_MAX: Final = 1_000
ONLY_COUNTED: Final = frozenset({"duplicate"})


def count_reasons(rejects: Iterable[Reject]) -> Counter[str]:
    """How many records were refused, by reason."""
    counts: Counter[str] = Counter()
    for reject in rejects:
        counts[reject.reason] += reject.records
    return counts


def dead_letters(
    records: Sequence[LogRecord], rejects: Iterable[Reject], topic: str, bytes_max: int
) -> list[OutRecord]:
    """One dead letter in ``topic`` for each of ``records`` that a reject names, in their order.

    The value is the message's, byte for byte; the headers tell topic, partition, offset, timestamp (ms), reason,
    detail and, of an array, the indices of its bad records, whose good ones were applied. Several reasons are joined
    with commas, in order of occurrence. What is longer than ``bytes_max`` is cut to its first 64 KiB and names its
    ``size`` and ``sha256``.
    """
    bad: defaultdict[int, list[Reject]] = defaultdict(list)
    for reject in rejects:
        if reject.reason not in ONLY_COUNTED:
            bad[reject.offset].append(reject)
    if not bad:
        return []
    return [_letter(record, bad[record.offset], topic, bytes_max) for record in records if record.offset in bad]


def _letter(record: LogRecord, rejects: list[Reject], topic: str, bytes_max: int) -> OutRecord:
    indices = [str(reject.index) for reject in rejects if reject.index >= 0]
    told = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.append_time_ms),
        "reason": ",".join(dict.fromkeys(reject.reason for reject in rejects)),
        "detail": rejects[0].detail[:DETAIL_MAX],
        "indices": ",".join(indices[:INDICES_MAX]),
        "rejected": str(sum(reject.records for reject in rejects)),
    }
    ours: Headers = tuple((name, text.encode()) for name, text in told.items())
    theirs = record.headers if _size(ours) + _size(record.headers) <= HEADER_ROOM_BYTES else ()
    value = record.value
    if value is not None and len(value) + len(record.key or b"") > bytes_max:
        ours += (("size", str(len(value)).encode()), ("sha256", sha256(value).hexdigest().encode()))
        value = value[:EXCERPT_BYTES]
    key = record.key
    if key is not None and len(key) > EXCERPT_BYTES:
        key = key[:EXCERPT_BYTES]
    if key is None and value is None:
        value = b""  # a message of neither cannot be written
    return OutRecord(topic, key, value, ours + theirs)


def _size(headers: Headers) -> int:
    return sum(len(name) + len(value or b"") for name, value in headers)
