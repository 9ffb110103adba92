"""Recorded trades and the quotes in force before them, whatever the format they were read from.

The engine takes records in the order of their log. A score has all of them at hand: it sorts by exchange time first.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import (
    CARRIES_QUOTE,
    INDEX_VALUE,
    OPTION_QUOTE,
    OPTION_TRADE,
    QUOTE,
    REFERENCE,
    TRADE,
    Batch,
    Contract,
    Reject,
    empty_events,
    venue_codes,
)
from dhpe.duplicates import SequenceMemory
from dhpe.numerics.repeats import CONFLICTING, REPEATED
from dhpe.numerics.trade_columns import TradeColumns, next_prices, previous_prices
from dhpe.parameters import Parameters

_QUOTE_FIELDS: Final = ("bid", "bid_size", "ask", "ask_size")
_VENUE_FIELDS: Final = ("venue_bid", "venue_bid_size", "venue_ask", "venue_ask_size")

Floats = NDArray[np.float64]
Longs = NDArray[np.int64]


class Recording(NamedTuple):
    """What stood in the inputs, in event time: trades and quotes as rows of columns.EVENT.

    Instruments and underlyings are codes, sources are codes of venues; the spots are (time, underlying, price).
    """

    trades: NDArray[np.void]
    instrument: Longs
    underlying: Longs
    quotes: NDArray[np.void]
    quoted: Longs  # the instrument of each quote
    late_share: float | None
    spot_ns: Longs
    spot_of: Longs
    spot: Floats
    contracts: dict[int, Contract]
    rejected: int

    @property
    def instruments(self) -> int:
        """Number above all codes of instruments."""
        return int(self.instrument.max(initial=0)) + 1


def gather(items: Iterable[Batch | Reject]) -> Recording:
    """The trades and quotes of some inputs, repeated sequences left out."""
    memory, codes = SequenceMemory(Parameters()), dict[tuple[str, str], int]()
    rejected = 0
    contracts: dict[int, Contract] = {}
    pieces: list[tuple[NDArray[np.void], Longs, Longs]] = []
    for item in items:
        if isinstance(item, Reject):
            rejected += 1
            continue
        events = item.events
        marks = memory.marks(item)
        if marks is not None:
            events = events[(marks.codes != REPEATED) & (marks.codes != CONFLICTING)]
            rejected += len(item.events) - len(events)
        for event in events[events["kind"] == REFERENCE]:
            fact = item.reference[event["reference"]]
            if isinstance(fact, Contract):
                key = (item.names[event["underlying"]], fact.symbol)
                contracts[codes.setdefault(key, len(codes))] = fact
        hot = events[np.isin(events["kind"], (OPTION_QUOTE, OPTION_TRADE, TRADE, QUOTE, INDEX_VALUE))]
        hot["source"] = venue_codes(hot, item.names)
        pairs, inverse = np.unique(np.stack([hot["underlying"], hot["name"]]), axis=1, return_inverse=True)
        names = [*item.names, ""]
        of_pair = np.array(
            [codes.setdefault((names[one], names[other]), len(codes)) for one, other in pairs.T.tolist()], np.int64
        )
        of_underlying = np.array(
            [codes.setdefault((names[one], names[one]), len(codes)) for one in pairs[0].tolist()], np.int64
        )
        place = inverse.reshape(-1)
        pieces.append((hot, of_pair[place], of_underlying[place]))
    return _recording(pieces, contracts, rejected)


def _recording(
    pieces: list[tuple[NDArray[np.void], Longs, Longs]], contracts: dict[int, Contract], rejected: int
) -> Recording:
    pieces = pieces or [(empty_events(0), np.zeros(0, np.int64), np.zeros(0, np.int64))]
    events = np.concatenate([piece[0] for piece in pieces])
    instrument = np.concatenate([piece[1] for piece in pieces])
    underlying = np.concatenate([piece[2] for piece in pieces])
    quote = np.isin(events["kind"], (OPTION_QUOTE, QUOTE))
    quoted = instrument[quote]
    late = _late_share(events["ts_event_ns"][quote], quoted)
    order = np.argsort(events["ts_event_ns"], kind="stable")
    events, instrument, underlying, quote = events[order], instrument[order], underlying[order], quote[order]
    trade = np.isin(events["kind"], (OPTION_TRADE, TRADE))
    good = (events["kind"] == QUOTE) & (events["bid"] > 0.0) & (events["bid"] <= events["ask"])
    spot = good | ((events["kind"] == INDEX_VALUE) & (instrument == underlying))
    mid = np.where(events["kind"] == INDEX_VALUE, events["price"], 0.5 * (events["bid"] + events["ask"]))
    return Recording(
        events[trade], instrument[trade], underlying[trade], events[quote], instrument[quote], late,
        events["ts_event_ns"][spot], underlying[spot], mid[spot], contracts, rejected,
    )  # fmt: skip


def _late_share(time_ns: Longs, instrument: Longs) -> float | None:
    """Share of quotes older than one of the same instrument that came before them."""
    if len(time_ns) == 0:
        return None
    late = 0
    for code in np.unique(instrument):
        own = time_ns[instrument == code]
        late += int(np.count_nonzero(own < np.maximum.accumulate(own)))
    return late / len(time_ns)


def before(time_ns: Longs, group: Longs, of_ns: Longs, of_group: Longs, *, same_instant: bool = False) -> Longs:
    """For each (time, group) the row of the last of the others strictly before it in its group; -1 where none.

    ``of_ns`` never falls. With ``same_instant`` others of the same time count too.
    """
    answer = np.full(len(time_ns), -1, np.int64)
    order = np.argsort(of_group, kind="stable")
    sorted_groups = of_group[order]
    for code in np.unique(group):
        rows = order[np.searchsorted(sorted_groups, code) : np.searchsorted(sorted_groups, code, side="right")]
        mine = np.flatnonzero(group == code)
        place = np.searchsorted(of_ns[rows], time_ns[mine], side="right" if same_instant else "left") - 1
        found = place >= 0
        answer[mine[found]] = rows[place[found]]
    return answer


def aligned(recording: Recording, lag_ns: int = 0, *, same_instant: bool = False) -> tuple[TradeColumns, Longs]:
    """The trades with the quote in force before each (``lag_ns`` earlier still), and its age in ns, -1 where none."""
    trades = recording.trades
    time_ns = np.ascontiguousarray(trades["ts_event_ns"])
    found = before(
        time_ns - lag_ns,
        recording.instrument,
        np.ascontiguousarray(recording.quotes["ts_event_ns"]),
        recording.quoted,
        same_instant=same_instant,
    )
    carries = (trades["flags"] & CARRIES_QUOTE) != 0
    known = found >= 0
    quotes: dict[str, Floats] = {}
    for name in _QUOTE_FIELDS:
        column = np.full(len(trades), np.nan)
        column[known] = recording.quotes[name][found[known]]
        quotes[name] = np.where(carries, trades[name], column)
    quotes["ask"][quotes["ask"] == 0.0] = np.nan  # nobody offers
    age_ns = np.full(len(trades), -1, np.int64)
    age_ns[known] = time_ns[known] - recording.quotes["ts_event_ns"][found[known]]
    age_ns[carries] = 0
    price = np.ascontiguousarray(trades["price"])
    instruments = recording.instruments
    previous, following = np.empty(len(price)), np.empty(len(price))
    previous_prices(price, recording.instrument, instruments, previous)
    next_prices(price, recording.instrument, instruments, following)
    columns = TradeColumns(
        price,
        np.ascontiguousarray(trades["size"]),
        **quotes,
        **{name: np.ascontiguousarray(trades[name]) for name in _VENUE_FIELDS},
        previous_price=previous,
        next_price=following,
    )
    return columns, age_ns
