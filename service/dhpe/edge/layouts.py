"""Where the fields of a hot record stand: in the columns, and in a row of packed columns.

One truth for JSON and for packed columns. A packed row has the names of the JSON fields and the types of the columns,
laid out as a C compiler lays out a struct: what is widest first, the row a multiple of eight bytes.
"""

from typing import Final, NamedTuple

import numpy as np

from dhpe import columns
from dhpe.edge import messages as wire


class Layout(NamedTuple):
    """Where the fields of a hot record go: its kind, the field that is its name, its numbers as (column, field)."""

    kind: int
    name: str | None
    numbers: tuple[tuple[str, str], ...]


def _same(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


QUOTE_FIELDS: Final = ("bid", "bid_size", "ask", "ask_size")
VENUE_QUOTE_FIELDS: Final = ("venue_bid", "venue_bid_size", "venue_ask", "venue_ask_size")

LAYOUTS: Final[dict[type[wire.Stamped], Layout]] = {
    wire.OptionQuote: Layout(columns.OPTION_QUOTE, "symbol", _same(*QUOTE_FIELDS)),
    wire.OptionTrade: Layout(
        columns.OPTION_TRADE, "symbol", _same("price", "size", *QUOTE_FIELDS, *VENUE_QUOTE_FIELDS)
    ),
    wire.Trade: Layout(columns.TRADE, "instrument", _same("price", "size")),
    wire.Quote: Layout(columns.QUOTE, "instrument", _same(*QUOTE_FIELDS)),
    wire.Depth: Layout(columns.DEPTH, "instrument", ()),
    wire.IndexValue: Layout(columns.INDEX_VALUE, "name", (("price", "value"),)),
    wire.Clock: Layout(columns.CLOCK, None, ()),
}
"""The hot kinds; every other kind is a reference record."""

CODES: Final = ("underlying", "name", "source")
"""The columns that hold the index of a name, -1 for none."""
LEVEL_COUNTS: Final = ("bid_levels", "ask_levels")
LEVEL: Final = np.dtype([("price", "<f8"), ("size", "<f8")])
FLAGS: Final = {
    columns.OPTION_TRADE: ("multi_leg", columns.MULTI_LEG),
    columns.DEPTH: ("snapshot", columns.SNAPSHOT),
}
"""The one flag that a kind's row tells, as a byte of its own."""


class PackedLayout(NamedTuple):
    """A kind's row on the wire; ``columns`` gives each of its fields but the flag the column that it is."""

    kind: int
    row: np.dtype[np.void]
    columns: dict[str, str]


def _packed(layout: Layout) -> PackedLayout:
    of_field = {"ts_event_ns": "ts_event_ns", "sequence": "sequence"}
    if layout.kind == columns.OPTION_TRADE:
        of_field["cancels"] = "cancels"
    of_field |= {field: column for column, field in layout.numbers}
    of_field |= {"underlying": "underlying", "source": "source"}
    if layout.name is not None:
        of_field[layout.name] = "name"
    if layout.kind == columns.DEPTH:
        of_field |= dict(zip(LEVEL_COUNTS, LEVEL_COUNTS, strict=True))
    if layout.kind in (columns.OPTION_TRADE, columns.TRADE):
        of_field["side"] = "side"
    fields = [(field, columns.EVENT[column].newbyteorder("<")) for field, column in of_field.items()]
    if layout.kind in FLAGS:
        fields.append((FLAGS[layout.kind][0], np.dtype("u1")))
    return PackedLayout(layout.kind, np.dtype(fields, align=True), of_field)


PACKED: Final[dict[str, PackedLayout]] = {
    wire.KIND_OF_TYPE[record]: _packed(layout) for record, layout in LAYOUTS.items()
}
"""By the word that stands in the header ``dhpe_kind``."""
