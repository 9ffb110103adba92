"""The records as they stand on the wire: one frozen struct for each kind that DHPE reads, and the outputs it writes.

A record is a JSON object whose ``kind`` names its struct. Numbers must be numbers (a string or a bool in place of one
is a wrong shape), unknown fields are accepted (a newer producer may know more than we do), NaN and Infinity are not
JSON. A ``null`` in an optional field means the same as leaving it out. What is *possible* in the market (a price of
-1, a year 1970) is not decided here but at the one door for all formats, ``dhpe.edge.door``.

Fields stand in the order of the wire: ``kind``, ``underlying``, ``ts_event_ns``, the kind's own, ``sequence``,
``source``.
"""

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from dhpe.outputs import Alert, BookPressure, Books, Offsets, Output, Pressure, Quality

__all__ = [
    "KIND_OF_TYPE",
    "RECORD_OF_KIND",
    "AdjustedSeries",
    "Adjustment",
    "Alert",
    "BookPressure",
    "Books",
    "Clock",
    "Contract",
    "DealerPosition",
    "Depth",
    "IndexValue",
    "Instrument",
    "Offsets",
    "OpenInterest",
    "OptionQuote",
    "OptionTrade",
    "Output",
    "Pressure",
    "Quality",
    "Quote",
    "Rates",
    "Record",
    "Stamped",
    "Trade",
]

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
NAME_LENGTH_MAX: Final = 64
TIME_FIRST_NS: Final = 946_684_800_000_000_000
"""2000-01-01T00:00:00Z: earlier times are another unit (s, ms, µs) taken for nanoseconds, or no time at all."""
TIME_LAST_NS: Final = 4_102_444_800_000_000_000
"""2100-01-01T00:00:00Z."""
PRICE_LIMIT: Final = 1e9
"""Prices at or above are sentinels or garbage (INT64_MAX in units of 1e-9 is 9.2e9), not a market."""
SMALLEST: Final = 1e-12
"""Prices, sizes and multipliers between 0 and it are the remains of an arithmetic; quotients of them overflow."""
SIZE_LIMIT: Final = 1e12
"""Likewise sizes, positions and open interest; the smallest crypto tokens do trade by the billion."""
RATIO_LIMIT: Final = 1e4
"""New shares or contracts for each old one, and old for each new."""
DISCOUNT_LIMIT: Final = 2.0
"""A discount above 1 is a negative rate; above 2 it is not a discount."""


def _name(description: str, *examples: str) -> Meta:
    return Meta(min_length=1, max_length=NAME_LENGTH_MAX, description=description, examples=list(examples))


def _number(description: str, unit: str, **schema: Any) -> Meta:
    # The limits stand in the schema for those who write records; the door applies them, to every format alike.
    return Meta(description=description, extra_json_schema={"x-unit": unit, **schema})


def _time(description: str) -> Meta:
    limits = {"minimum": TIME_FIRST_NS, "exclusiveMaximum": TIME_LAST_NS, "x-unit": "ns since 1970-01-01T00:00:00Z"}
    return Meta(ge=INT64_MIN, le=INT64_MAX, description=description, extra_json_schema=limits)


Underlying = Annotated[str, _name("What the record speaks of, and the key of its message; '*' only in a clock.", "SPX")]
Symbol = Annotated[
    str, _name("The option series, by the feed's own symbol; 21-character OSI preferred.", "GOOG  151224C00750000")
]
InstrumentName = Annotated[str, _name("The traded instrument of the underlying, where it has several.", "ESZ6")]
IndexName = Annotated[str, _name("The index whose value this is.", "VIX", "VVIX", "XLK")]
Source = Annotated[str, _name("The feed that numbered this record by `sequence`.", "opra-a")]
EventTime = Annotated[int, _time("When it happened, at the exchange, UTC.")]
SettlementTime = Annotated[int, _time("The settlement instant of the series itself, UTC.")]
SequenceNumber = Annotated[
    int, Meta(ge=0, le=INT64_MAX, description="Per source, rising, by one if gaps are to be seen; a repeat is dropped.")
]
CancelledSequence = Annotated[
    int,
    Meta(
        ge=0,
        le=INT64_MAX,
        description="`sequence` of an earlier trade of this symbol, which did not stand.",
        extra_json_schema={"x-unit": "none"},
    ),
]
ExchangeDate = Annotated[
    str, Meta(min_length=10, max_length=10, description="YYYY-MM-DD, at the exchange.", examples=["2026-09-18"])
]
Price = Annotated[float, _number("Price of one unit.", "price", minimum=0, exclusiveMaximum=PRICE_LIMIT)]
PositivePrice = Annotated[
    float, _number("Price of one unit.", "price", exclusiveMinimum=0, exclusiveMaximum=PRICE_LIMIT)
]
Bid = Annotated[float, _number("Best bid; 0 means that nobody bids.", "price", minimum=0, exclusiveMaximum=PRICE_LIMIT)]
Ask = Annotated[
    float, _number("Best ask; 0 means that nobody offers.", "price", minimum=0, exclusiveMaximum=PRICE_LIMIT)
]
QuoteSize = Annotated[
    float, _number("Size at that price.", "contracts or shares", minimum=0, exclusiveMaximum=SIZE_LIMIT)
]
TradeSize = Annotated[
    float, _number("Size traded.", "contracts or shares", exclusiveMinimum=0, exclusiveMaximum=SIZE_LIMIT)
]
Side = Annotated[Literal["buy", "sell"], Meta(description="The aggressor, where the feed knows him.")]
Multiplier = Annotated[
    float,
    _number(
        "Units of the underlying per contract.", "shares per contract", exclusiveMinimum=0, exclusiveMaximum=PRICE_LIMIT
    ),
]
Rate = Annotated[float, _number("Continuously compounded.", "per year", exclusiveMinimum=-1, exclusiveMaximum=1)]
Discount = Annotated[
    float,
    _number("Today's price of one unit paid then.", "none", exclusiveMinimum=0, exclusiveMaximum=DISCOUNT_LIMIT),
]
Ratio = Annotated[
    float,
    _number("New ones for each old one.", "none", minimum=1 / RATIO_LIMIT, maximum=RATIO_LIMIT),
]
IndexPoints = Annotated[
    float,
    _number("In the index's own points.", "points", exclusiveMinimum=-PRICE_LIMIT, exclusiveMaximum=PRICE_LIMIT),
]
Level = tuple[PositivePrice, QuoteSize]
Levels = Annotated[list[Level], Meta(description="[price, size] of each level; size 0 removes the level.")]


class Stamped(Struct, frozen=True, gc=False, omit_defaults=True, tag_field="kind"):
    """What every record carries first."""

    underlying: Underlying
    ts_event_ns: EventTime


class _Numbered(Stamped, frozen=True, gc=False, omit_defaults=True, kw_only=True):
    sequence: SequenceNumber | None = None
    source: Source | None = None


class Contract(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="contract"):
    """An option series. Its settlement is given as ``settles_ns``, or as expiration, settlement and calendar."""

    symbol: Symbol
    right: Annotated[Literal["C", "P"], Meta(description="Call or put.")]
    strike: PositivePrice
    multiplier: Multiplier = 100.0
    exercise: Literal["european", "american"] = "european"
    settles_ns: SettlementTime | None = None
    expiration: ExchangeDate | None = None
    settlement: Annotated[Literal["am", "pm"], Meta(description="A series attribute, not the date's.")] | None = None
    calendar: Annotated[str, _name("The exchange calendar that says when its sessions end.", "XNYS")] | None = None


class Instrument(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="instrument"):
    """What prices and sizes of an underlying's trades mean; without one: a single instrument, multiplier 1."""

    instrument: InstrumentName
    role: Annotated[Literal["spot", "hedge"], Meta(description="Gives the spot, or is what dealers hedge with.")]
    multiplier: Multiplier = 1.0
    inverse: Annotated[bool, Meta(description="Sized in money, settled in the underlying.")] = False


class OpenInterest(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="open_interest"):
    """Open interest as of the close before ``trading_date``."""

    symbol: Symbol
    trading_date: ExchangeDate
    open_interest: Annotated[float, _number("Contracts.", "contracts", minimum=0, exclusiveMaximum=SIZE_LIMIT)]


class Rates(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="rates"):
    """The rates of all expiries, or with ``settles_ns`` the forward and the discount of one."""

    rate: Rate | None = None
    dividend_yield: Rate | None = None
    settles_ns: SettlementTime | None = None
    forward: PositivePrice | None = None
    discount: Discount | None = None


class DealerPosition(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="dealer_position"):
    """From an exchange's open-close report: replaces the flow books' position."""

    symbol: Symbol
    position: Annotated[
        float,
        _number("Signed, + = dealers long.", "contracts", exclusiveMinimum=-SIZE_LIMIT, exclusiveMaximum=SIZE_LIMIT),
    ]


class AdjustedSeries(Struct, frozen=True, gc=False, omit_defaults=True):
    """What becomes of one series; strike and premium are prices of one share, the multiplier is shares per contract."""

    symbol: Symbol
    new_symbol: Annotated[str, _name("Its symbol from now on; the same one where absent.")] | None = None
    strike: PositivePrice | None = None
    multiplier: Multiplier | None = None
    contracts: Ratio = 1.0


class Adjustment(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="adjustment"):
    """A corporate action, in force from `ts_event_ns` on, all series at once. Sent between old and new prices."""

    shares: Ratio = 1.0
    series: Annotated[list[AdjustedSeries], Meta(description="All of the underlying where shares is not 1.")] = []


class OptionQuote(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="option_quote"):
    """The best quote of an option series."""

    symbol: Symbol
    bid: Bid
    bid_size: QuoteSize
    ask: Ask
    ask_size: QuoteSize


class OptionTrade(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="option_trade"):
    """A trade in an option series; ``bid`` … ``ask_size`` are the best quote just before it, ``venue_`` its venue's."""

    symbol: Symbol
    price: Price
    size: TradeSize
    side: Side | None = None
    bid: Bid | None = None
    bid_size: QuoteSize | None = None
    ask: Ask | None = None
    ask_size: QuoteSize | None = None
    venue_bid: Bid | None = None
    venue_bid_size: QuoteSize | None = None
    venue_ask: Ask | None = None
    venue_ask_size: QuoteSize | None = None
    multi_leg: Annotated[bool, Meta(description="One leg of a package.")] = False
    cancels: CancelledSequence | None = None


class Trade(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="trade"):
    """A trade in the underlying."""

    price: PositivePrice
    size: TradeSize
    side: Side | None = None
    instrument: InstrumentName | None = None


class Quote(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="quote"):
    """The best quote of the underlying."""

    bid: Bid
    bid_size: QuoteSize
    ask: Ask
    ask_size: QuoteSize
    instrument: InstrumentName | None = None


class Depth(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="depth"):
    """Levels of the underlying's order book that changed, or with ``snapshot`` all of them."""

    bids: Levels
    asks: Levels
    snapshot: Annotated[bool, Meta(description="Replaces the whole order book.")] = False
    instrument: InstrumentName | None = None


class IndexValue(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="index_value"):
    """A published number about the underlying; named as the underlying itself it is its spot."""

    name: IndexName
    value: IndexPoints


class Clock(_Numbered, frozen=True, gc=False, omit_defaults=True, tag="clock"):
    """Event time has come this far, for this underlying or, with '*', for all of the partition."""


Record = (
    Contract
    | Instrument
    | OpenInterest
    | Rates
    | DealerPosition
    | Adjustment
    | OptionQuote
    | OptionTrade
    | Trade
    | Quote
    | Depth
    | IndexValue
    | Clock
)

RECORD_OF_KIND: Final[dict[str, type[Stamped]]] = {
    "contract": Contract,
    "instrument": Instrument,
    "open_interest": OpenInterest,
    "rates": Rates,
    "dealer_position": DealerPosition,
    "adjustment": Adjustment,
    "option_quote": OptionQuote,
    "option_trade": OptionTrade,
    "trade": Trade,
    "quote": Quote,
    "depth": Depth,
    "index_value": IndexValue,
    "clock": Clock,
}
KIND_OF_TYPE: Final[dict[type[Stamped], str]] = {record: kind for kind, record in RECORD_OF_KIND.items()}
