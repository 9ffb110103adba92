"""What can be had of a message that is not wholly good, and why the rest cannot.

A message is refused unread where its size, its type or its bytes say enough. One that does not decode as a whole is
read again record by record: that is slow, and bounded by what a message may hold.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from dhpe.columns import Reject
from dhpe.edge import messages as wire

CONTENT_TYPE: Final = "application/json"
COLUMNS_CONTENT_TYPE: Final = "application/vnd.dhpe.columns"
DBN_CONTENT_TYPE: Final = "application/vnd.databento.dbn"
FUTURE_LIMIT_MS: Final = 1000
MESSAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A larger message is rejected unread; 8 MiB are some 40,000 records in one array."""
RECORDS_MAX: Final = 100_000
"""Of one message."""
FAULTS_TOLD_MAX: Final = 100
"""Of one message: a further fault is only counted, or two bytes of an array would cost hundreds in memory."""
WHOLE_MESSAGE: Final = -1
"""The index of a reject that speaks of the message and not of one record in it."""
DETAIL_LENGTH_MAX: Final = 300
"""Characters of what others say about a hostile value: they quote it whole."""


class Limits(NamedTuple):
    """What may be read: how far ahead of its append time a record lies, how large a message is."""

    future_limit_ms: int = FUTURE_LIMIT_MS
    bytes_max: int = MESSAGE_BYTES_MAX
    records_max: int = RECORDS_MAX


DEFAULT_LIMITS: Final = Limits()


class Fault(NamedTuple):
    """Why something was not read: a reason in snake case and a sentence."""

    reason: str
    detail: str


class _Kind(msgspec.Struct):
    kind: str


_READ: Final = f"read are {CONTENT_TYPE} and {COLUMNS_CONTENT_TYPE}"
_NO_DBN: Final = (
    "DBN records mean their series by numbers, whose names no message tells: 'dhpe feed FILE.dbn' reads them"
)
_RECORD: Final[msgspec.json.Decoder[wire.Record]] = msgspec.json.Decoder(wire.Record)
_ELEMENTS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_KIND: Final = msgspec.json.Decoder(_Kind)
_OPENING: Final = ord("{")
_TOO_DEEP: Final = Fault("too_deep", "the JSON is nested too deeply")
_NO_OBJECT: Final = Fault("wrong_shape", "a record is an object")


def told(faults: list[tuple[int, Fault]], topic: str, offset: int) -> list[Reject]:
    """One reject for each of the first faults of a message, and one for each reason of all the others."""
    rejects = [Reject(topic, offset, index, "", *fault) for index, fault in faults[:FAULTS_TOLD_MAX]]
    others = faults[FAULTS_TOLD_MAX:]
    counts = Counter(fault.reason for _, fault in others)
    for index, (reason, detail) in others if counts else ():
        if reason in counts:
            rejects.append(Reject(topic, offset, index, "", reason, detail, counts.pop(reason)))
    return rejects


@lru_cache(maxsize=64)
def media_type_of(content_type: str | None) -> str:
    """What a content type says without its parameters, in lower case; JSON where there is none."""
    return CONTENT_TYPE if content_type is None else content_type.partition(";")[0].strip().lower()


def refusal(value: bytes | None, content_type: str | None, bytes_max: int) -> Fault | None:
    """Why a message is not even parsed; None where it may be."""
    if value is None:
        return Fault("tombstone", "the message has no value")
    media_type = media_type_of(content_type)
    if content_type is not None and media_type != CONTENT_TYPE:
        why = _NO_DBN if media_type == DBN_CONTENT_TYPE else _READ
        return Fault("unknown_content_type", f"content-type is {content_type[:100]!r}: {why}")
    if len(value) > bytes_max:
        return Fault("too_large", f"the message has {len(value)} bytes: at most {bytes_max} are read")
    if value.startswith(codecs.BOM_UTF8):
        return Fault("undecodable", "the message starts with a byte order mark: JSON has none")
    try:
        value.decode()
    except UnicodeDecodeError as error:
        return Fault("undecodable", f"the message is not UTF-8: {error.reason} at byte {error.start}")
    return None


def count_fault(size: int, records_max: int) -> Fault | None:
    """Why an array of ``size`` records is refused; None where it is not."""
    if size == 0:
        return Fault("empty", "the array holds no record")
    if size > records_max:
        return Fault("too_many_records", f"the array holds {size} records: at most {records_max} are read")
    return None


def salvage(value: bytes, records_max: int) -> Iterator[tuple[int, wire.Record | Fault]]:
    """What can be had of a message that does not decode as a whole: record by record, or its one fault."""
    if not value.strip():
        yield WHOLE_MESSAGE, Fault("empty", "the message is empty")
    elif not value.lstrip().startswith(b"["):
        yield WHOLE_MESSAGE, _record_or_fault(value)
    else:
        try:
            elements = _ELEMENTS.decode(value)
        except RecursionError:
            yield WHOLE_MESSAGE, _TOO_DEEP
        except msgspec.DecodeError as error:
            yield WHOLE_MESSAGE, Fault("undecodable", f"the message is not JSON: {error}")
        else:
            fault = count_fault(len(elements), records_max)
            if fault is not None:
                yield WHOLE_MESSAGE, fault
                return
            for index, element in enumerate(elements):
                yield index, _record_or_fault(element) if memoryview(element)[0] == _OPENING else _NO_OBJECT


def _record_or_fault(value: bytes | msgspec.Raw) -> wire.Record | Fault:
    try:
        return _RECORD.decode(value)
    except RecursionError:
        return _TOO_DEEP
    except msgspec.ValidationError as error:
        return _shape_fault(value, str(error)[:DETAIL_LENGTH_MAX])
    except msgspec.DecodeError as error:
        return Fault("undecodable", f"the message is not JSON: {error}")


def _shape_fault(value: bytes | msgspec.Raw, sentence: str) -> Fault:
    # The first wrong field is reported before the rest is read: the rest may not even be JSON.
    try:
        kind = _KIND.decode(value).kind
    except RecursionError:
        return _TOO_DEEP
    except msgspec.ValidationError:
        return Fault("wrong_shape", sentence)
    except msgspec.DecodeError as error:
        return Fault("undecodable", f"the message is not JSON: {error}")
    if kind not in wire.RECORD_OF_KIND:
        return Fault("unknown_kind", f"kind is {kind[:100]!r}: known are {', '.join(wire.RECORD_OF_KIND)}")
    return Fault("wrong_shape", f"{kind}: {sentence}")
