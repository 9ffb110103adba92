"""Records as columns: what every door hands to the engine, and the facts of slow reference data.

A ``Batch`` keeps the order of the log. Its hot records (quotes, trades, depth, index values, clocks) are rows of
one structured array; its reference records are facts in a list, at which a row of kind ``REFERENCE`` points.
Strings stand once in ``names`` and are meant by their index, so the engine looks each name up once a batch.
"""

from typing import Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

OPTION_QUOTE: Final = 0
OPTION_TRADE: Final = 1
TRADE: Final = 2
QUOTE: Final = 3
DEPTH: Final = 4
INDEX_VALUE: Final = 5
CLOCK: Final = 6
REFERENCE: Final = 7

HOT_KINDS: Final = ("option_quote", "option_trade", "trade", "quote", "depth", "index_value", "clock")
REFERENCE_KINDS: Final = ("contract", "instrument", "open_interest", "rates", "dealer_position", "adjustment")
TOPIC_OF_KIND: Final = (
    dict.fromkeys(REFERENCE_KINDS, "chain")
    | dict.fromkeys(HOT_KINDS, "ticks")
    # Its place among quotes and trades decides which of them speak of the old shares.
    | {"adjustment": "ticks"}
)

BUY: Final = 1
SELL: Final = -1

MULTI_LEG: Final = 1
"""The option trade is one leg of a package."""
CARRIES_QUOTE: Final = 2
"""The option trade carries the best quote that stood just before it."""
SNAPSHOT: Final = 4
"""The depth record replaces the whole order book."""

EVERY_UNDERLYING: Final = "*"

EVENT: Final = np.dtype(
    [
        ("offset", "i8"),  # position in the topic, or of the record in a file replay
        ("ts_event_ns", "i8"),
        ("sequence", "i8"),  # -1 where the record has none
        ("cancels", "i8"),  # sequence of the option trade that this one takes back, -1 none
        ("kind", "i1"),
        ("side", "i1"),  # the aggressor: BUY, SELL, 0 unknown
        ("flags", "u2"),
        ("index", "i4"),  # place inside an array message; line number (from 1) in a file
        ("file", "i4"),  # index into names; -1 off files
        ("underlying", "i4"),  # index into names
        ("name", "i4"),  # symbol, instrument or index name: index into names, -1 none
        ("source", "i4"),  # index into names, -1 none; for the kernels a code of ``venue_codes``
        ("reference", "i4"),  # index into reference, -1 for hot records
        ("price", "f8"),  # also the value of an index_value
        ("size", "f8"),
        ("bid", "f8"),
        ("bid_size", "f8"),
        ("ask", "f8"),
        ("ask_size", "f8"),
        ("venue_bid", "f8"),
        ("venue_bid_size", "f8"),
        ("venue_ask", "f8"),
        ("venue_ask_size", "f8"),
        ("levels_start", "i4"),  # depth: the bids, then the asks, stand from here in Batch.levels
        ("bid_levels", "i4"),
        ("ask_levels", "i4"),
    ],
    align=True,
)
"""One hot record. Absent prices and sizes are NaN; a bid of 0 is legal and means that nobody bids."""


class Contract(NamedTuple):
    """An option series. ``right`` is +1 for a call, -1 for a put; ``settles_ns`` its own settlement instant."""

    symbol: str
    right: int
    strike: float
    multiplier: float
    american: bool
    settles_ns: int


class Instrument(NamedTuple):
    """What prices and sizes of an underlying's trades mean; ``inverse`` contracts are sized in money."""

    instrument: str
    role: str
    multiplier: float
    inverse: bool


class OpenInterest(NamedTuple):
    """Open interest in contracts as of the close before ``trading_date`` (YYYY-MM-DD)."""

    symbol: str
    trading_date: str
    open_interest: float


class Rates(NamedTuple):
    """Continuously compounded rates per year, or the forward and discount of one expiry; NaN where absent."""

    rate: float
    dividend_yield: float
    settles_ns: int  # 0 where the record speaks of all expiries
    forward: float
    discount: float


class DealerPosition(NamedTuple):
    """Signed contracts from an exchange's open-close report, + = dealers long."""

    symbol: str
    position: float


class AdjustedSeries(NamedTuple):
    """One series of an adjustment; ``contracts`` new ones for each old one, strike and multiplier NaN where kept."""

    symbol: str
    new_symbol: str
    strike: float
    multiplier: float
    contracts: float


class Adjustment(NamedTuple):
    """A corporate action from its record's event time on: ``shares`` new shares for each old one."""

    shares: float
    series: tuple[AdjustedSeries, ...]


Reference = Contract | Instrument | OpenInterest | Rates | DealerPosition | Adjustment


class Reject(NamedTuple):
    """A record that was not applied, and why. ``reason`` is a short snake_case word, ``detail`` a sentence."""

    topic: str
    offset: int
    index: int  # type: ignore[assignment]  # the wire word; nobody asks a reject for tuple.index
    file: str
    reason: str
    detail: str
    records: int = 1
    """More where one reject stands for all further records of a message that were refused for this reason."""


class Batch(NamedTuple):
    """Records in the order of their log. See the head of this file."""

    events: NDArray[np.void]  # (n,) of EVENT
    names: list[str]
    reference: list[Reference]
    levels: NDArray[np.float64]  # (m, 2): price, size


_ABSENT = np.zeros((), EVENT)
for _field in ("sequence", "cancels", "file", "name", "source", "reference"):
    _ABSENT[_field] = -1
for _field in (name for name in EVENT.names or () if EVENT[name] == np.float64):
    _ABSENT[_field] = np.nan


def venue_codes(events: NDArray[np.void], names: list[str]) -> NDArray[np.int32]:
    """A code for the source of each event that is the same in every batch, -1 where it has none."""
    sources, place = np.unique(events["source"], return_inverse=True)
    codes = [crc32(names[source].encode()) & 0x7FFFFFFF if source >= 0 else -1 for source in sources.tolist()]
    return np.array(codes, np.int32)[place.reshape(-1)]


def empty_events(count: int) -> NDArray[np.void]:
    """``count`` rows of EVENT with every optional field absent (NaN prices, -1 indices)."""
    return np.full(count, _ABSENT)


def empty_batch() -> Batch:
    """A batch without records."""
    return Batch(empty_events(0), [], [], np.zeros((0, 2)))
