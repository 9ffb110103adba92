"""Columns to bytes of the wire, the exact inverse of ``dhpe.edge.decode``, and outputs to their messages.

Floats are written with the shortest digits that read back to the same bits. Equal inputs give equal bytes: nothing
here knows the wall clock or draws a number.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import isnan
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from dhpe import columns
from dhpe.columns import TOPIC_OF_KIND, Batch, Reference
from dhpe.edge import messages as wire
from dhpe.edge import packed
from dhpe.edge.layouts import LAYOUTS
from dhpe.edge.salvage import CONTENT_TYPE
from dhpe.field_outputs import Field
from dhpe.outputs import Alert, Output

CLOUDEVENTS_VERSION: Final = "1.0"
ALERT_TYPE_PREFIX: Final = "dhpe.alert."
ALERT_SOURCE: Final = "/dhpe"

Headers = tuple[tuple[str, bytes], ...]
_ENCODER: Final = msgspec.json.Encoder()
_SIDES: Final = {columns.BUY: "buy", columns.SELL: "sell", 0: None}


class WireMessage(NamedTuple):
    """A message as it is handed to a log; ``topic`` is the bare name, without the setting ``topic_prefix``."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


def encode_batch(batch: Batch, *, records_per_message: int = 1) -> Iterator[WireMessage]:
    """The records of ``batch`` as messages of up to ``records_per_message`` records each, one being a bare object.

    A message holds records of one underlying and one topic, in the order of the batch. A record of all underlyings
    (a clock of "*") comes after every message of the records before it; its key is "*", so a feed writes it to every
    partition. Values are trusted: the batch has passed the door.
    """
    if records_per_message < 1:
        raise ValueError(f"records_per_message is {records_per_message}: a message holds at least 1 record")
    waiting: dict[tuple[str, str], list[wire.Record]] = {}
    for record in to_records(batch):
        place = (TOPIC_OF_KIND[wire.KIND_OF_TYPE[type(record)]], record.underlying)
        if record.underlying == columns.EVERY_UNDERLYING:
            for other, records in waiting.items():
                yield _message(*other, records)
            waiting.clear()
        records = waiting.setdefault(place, [])
        records.append(record)
        if len(records) >= records_per_message or record.underlying == columns.EVERY_UNDERLYING:
            yield _message(*place, waiting.pop(place))
    for place, records in waiting.items():
        yield _message(*place, records)


def _message(topic: str, underlying: str, records: list[wire.Record]) -> WireMessage:
    body = _ENCODER.encode(records[0] if len(records) == 1 else records)
    return WireMessage(topic, underlying.encode(), body, ())


def encode_packed(batch: Batch, *, records_per_message: int = 1) -> Iterator[WireMessage]:
    """As ``encode_batch``, the hot records as packed columns of one kind a message; reference records stay JSON.

    What comes after a record of another kind is another message, so that the order of an underlying is kept: it is
    runs of quotes that gain.
    """
    if records_per_message < 1:
        raise ValueError(f"records_per_message is {records_per_message}: a message holds at least 1 record")
    waiting: dict[int, list[int]] = {}
    kinds = batch.events["kind"].tolist()
    for row, underlying in enumerate(batch.events["underlying"].tolist()):
        everybody = batch.names[underlying] == columns.EVERY_UNDERLYING
        if everybody:
            for rows in waiting.values():
                yield from _run(batch, rows, records_per_message)
            waiting.clear()
        elif underlying in waiting and kinds[waiting[underlying][0]] != kinds[row]:
            yield from _run(batch, waiting.pop(underlying), records_per_message)
        rows = waiting.setdefault(underlying, [])
        rows.append(row)
        if len(rows) >= records_per_message or everybody:
            yield from _run(batch, waiting.pop(underlying), records_per_message)
    for rows in waiting.values():
        yield from _run(batch, rows, records_per_message)


def _run(batch: Batch, rows: list[int], records_per_message: int) -> Iterator[WireMessage]:
    """Rows of one underlying, all hot ones of one kind or all reference records."""
    kind = int(batch.events["kind"][rows[0]])
    if kind == columns.REFERENCE:
        yield from encode_batch(batch._replace(events=batch.events[rows]), records_per_message=records_per_message)
        return
    word, key = columns.HOT_KINDS[kind], batch.names[batch.events["underlying"][rows[0]]].encode()
    yield WireMessage(TOPIC_OF_KIND[word], key, packed.pack(batch, rows), packed.headers(word))


def to_records(batch: Batch) -> list[wire.Record]:
    """The rows of ``batch`` as wire records, in their order."""
    events = batch.events
    records: list[Any] = [None] * len(events)
    names: list[str | None] = [*batch.names, None]  # index -1: none
    for record_type, layout in LAYOUTS.items():
        rows = np.flatnonzero(events["kind"] == layout.kind)
        if not len(rows):
            continue
        fields = _common(batch, rows, names)
        if layout.name is not None:
            fields[layout.name] = [names[place] for place in events["name"][rows].tolist()]
        for column, field in layout.numbers:
            fields[field] = [_or_none(number) for number in events[column][rows].tolist()]
        fields |= _marks(batch, rows, layout.kind)
        keys = tuple(fields)
        for row, values in zip(rows.tolist(), zip(*fields.values(), strict=True), strict=True):
            records[row] = record_type(**dict(zip(keys, values, strict=True)))
    rows = np.flatnonzero(events["kind"] == columns.REFERENCE)
    fields = _common(batch, rows, names)
    keys = tuple(fields)
    places = events["reference"][rows].tolist()
    for row, place, values in zip(rows.tolist(), places, zip(*fields.values(), strict=True), strict=True):
        records[row] = _reference_record(batch.reference[place], dict(zip(keys, values, strict=True)))
    return records


def _or_none(number: float) -> float | None:
    return None if isnan(number) else number


def _common(batch: Batch, rows: Any, names: list[str | None]) -> dict[str, list[Any]]:
    events = batch.events
    return {
        "underlying": [names[place] for place in events["underlying"][rows].tolist()],
        "ts_event_ns": events["ts_event_ns"][rows].tolist(),
        "sequence": [None if number < 0 else number for number in events["sequence"][rows].tolist()],
        "source": [names[place] for place in events["source"][rows].tolist()],
    }


def _marks(batch: Batch, rows: Any, kind: int) -> dict[str, list[Any]]:
    """The fields of a kind that are neither its name nor a plain number."""
    events = batch.events
    flags = events["flags"][rows]
    marks: dict[str, list[Any]] = {}
    if kind in (columns.OPTION_TRADE, columns.TRADE):
        marks["side"] = [_SIDES[side] for side in events["side"][rows].tolist()]
    if kind == columns.OPTION_TRADE:
        marks["multi_leg"] = ((flags & columns.MULTI_LEG) != 0).tolist()
        marks["cancels"] = [None if number < 0 else number for number in events["cancels"][rows].tolist()]
    if kind == columns.DEPTH:
        marks["snapshot"] = ((flags & columns.SNAPSHOT) != 0).tolist()
        starts = events["levels_start"][rows].tolist()
        sizes = zip(events["bid_levels"][rows].tolist(), events["ask_levels"][rows].tolist(), strict=True)
        marks["bids"], marks["asks"] = [], []
        for start, (bids, asks) in zip(starts, sizes, strict=True):
            levels = [(price, size) for price, size in batch.levels[start : start + bids + asks].tolist()]
            marks["bids"].append(levels[:bids])
            marks["asks"].append(levels[bids:])
    return marks


def _reference_record(fact: Reference, common: dict[str, Any]) -> wire.Record:
    match fact:
        case columns.Contract(symbol, right, strike, multiplier, american, settles_ns):
            return wire.Contract(
                symbol=symbol,
                right="C" if right > 0 else "P",
                strike=strike,
                multiplier=multiplier,
                exercise="american" if american else "european",
                settles_ns=settles_ns,
                **common,
            )
        case columns.Instrument(instrument, role, multiplier, inverse):
            return wire.Instrument(
                instrument=instrument,
                role="spot" if role == "spot" else "hedge",
                multiplier=multiplier,
                inverse=inverse,
                **common,
            )
        case columns.OpenInterest(symbol, trading_date, open_interest):
            return wire.OpenInterest(symbol=symbol, trading_date=trading_date, open_interest=open_interest, **common)
        case columns.Rates(rate, dividend_yield, settles_ns, forward, discount):
            return wire.Rates(
                rate=_or_none(rate),
                dividend_yield=_or_none(dividend_yield),
                settles_ns=settles_ns or None,
                forward=_or_none(forward),
                discount=_or_none(discount),
                **common,
            )
        case columns.DealerPosition(symbol, position):
            return wire.DealerPosition(symbol=symbol, position=position, **common)
        case columns.Adjustment(shares, series):
            return wire.Adjustment(shares=shares, series=list(map(_adjusted_series, series)), **common)


def _adjusted_series(series: columns.AdjustedSeries) -> wire.AdjustedSeries:
    return wire.AdjustedSeries(
        symbol=series.symbol,
        new_symbol=None if series.new_symbol == series.symbol else series.new_symbol,
        strike=_or_none(series.strike),
        multiplier=_or_none(series.multiplier),
        contracts=series.contracts,
    )


def encode_output(output: Output) -> WireMessage:
    """``pressure`` as plain JSON; an alert besides with the CloudEvents 1.0 attributes as headers (binary mode)."""
    key, value = output.underlying.encode(), _ENCODER.encode(output)
    if isinstance(output, Alert):
        return WireMessage("alerts", key, value, _cloudevents_headers(output))
    return WireMessage("pressure", key, value, ())


def encode_field(field: Field) -> bytes:
    """A field as plain JSON: the value of topic ``field``, whose key is the underlying."""
    return _ENCODER.encode(field)


def _cloudevents_headers(alert: Alert) -> Headers:
    attributes = (
        ("ce_specversion", CLOUDEVENTS_VERSION),
        ("ce_id", alert.id),
        ("ce_source", ALERT_SOURCE),
        ("ce_type", ALERT_TYPE_PREFIX + alert.rule),
        ("ce_time", rfc3339(alert.ts_event_ns)),
        ("ce_subject", alert.underlying),
        ("content-type", CONTENT_TYPE),
    )
    return tuple((name, text.encode()) for name, text in attributes)


def rfc3339(ts_event_ns: int) -> str:
    """An instant in UTC as RFC 3339 writes it, with all nine digits of its nanoseconds."""
    seconds, nanoseconds = divmod(ts_event_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"
