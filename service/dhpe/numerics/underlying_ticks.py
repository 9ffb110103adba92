"""Records of the underlying itself: its spot, order book, trade flow, and the bars of both."""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import SNAPSHOT
from dhpe.numerics.jit import kernel
from dhpe.numerics.order_book import ASK, BID, set_level
from dhpe.numerics.quotes import UNDERLYING_SPREAD_MAX, flag_quote, is_late, keep_quote, late_share, wide
from dhpe.numerics.state import BETA_VANNA, GAMMA, LATE_QUOTE, SPOT_NONE, SPOT_QUOTE, SPOT_TRADE, TRADE_MEMORY

_MEAN_WEIGHT = 0.1  # of a new bar in the running means of spread and touch size: about the last ten bars
NO_TRADES: Final = np.zeros(0, TRADE_MEMORY)


class TapeState(NamedTuple):
    """What the underlying's own records leave behind."""

    instruments: NDArray[np.void]  # (capacity,) of state.INSTRUMENT
    depth: NDArray[np.float64]  # (2, LEVELS, 2): bids, asks
    depth_counts: NDArray[np.int64]  # (2,)
    returns: NDArray[np.float64]  # (liquidity bars,) ring: log returns of the mid
    flows: NDArray[np.float64]  # (liquidity bars,) ring: signed flow, USD
    volumes: NDArray[np.float64]  # (liquidity bars,) ring: volume, USD
    pressures: NDArray[np.float64]  # (liquidity bars,) ring: hedge pressure as a bar began, USD per unit log return
    trades: NDArray[np.void] = NO_TRADES  # (0 or TRADE_SLOTS,) of state.TRADE_MEMORY: option trades by sequence


class PressureWeights(NamedTuple):
    """How the hedge pressure follows from the fields: the book, and dealer share times the weights of both terms."""

    book: int
    gamma: float
    beta_vanna: float


@kernel
def set_spot(price: float, source: int, ts_event_ns: int, market: Any, max_age_ns: int) -> None:
    """Move the spot, unless a better source (quote before trade before index) still speaks (MODEL.md section 9)."""
    better = market["spot_source"] != SPOT_NONE and market["spot_source"] < source
    if better and ts_event_ns - market["spot_ns"] <= max_age_ns:
        return
    market["spot"] = price
    market["spot_source"] = source
    market["spot_ns"] = max(ts_event_ns, market["spot_ns"])
    market["bar_high"] = max(market["bar_high"], price)
    market["bar_low"] = min(market["bar_low"], price)
    market["bar_close"] = price


@kernel
def _breathe(bid: float, bid_size: float, instrument: Any, market: Any) -> None:
    """What left the best bid and what came back between two quotes, by trading and by cancelling."""
    before = instrument["quote"]
    if before["ts_ns"] == 0:
        return
    gone = 0.0
    if bid == before["bid"]:
        if bid_size < before["bid_size"]:
            gone = before["bid_size"] - bid_size
        else:
            market["bid_refilled"] += bid_size - before["bid_size"]
    elif bid < before["bid"]:
        gone = before["bid_size"]
    else:
        market["bid_refilled"] += bid_size
    traded = min(gone, instrument["sold_at_bid"])
    market["bid_depleted"] += gone
    market["bid_traded"] += traded
    market["bid_cancelled"] += gone - traded
    instrument["sold_at_bid"] = 0.0


@kernel
def _take_quote(
    ts_event_ns: int, best: tuple[float, float, float, float], instrument: Any, market: Any, max_age_ns: int
) -> None:
    """Apply a best quote (bid, bid size, ask, ask size) of one instrument."""
    bid, bid_size, ask, ask_size = best
    flag_quote(bid, ask, UNDERLYING_SPREAD_MAX, market)
    late = is_late(ts_event_ns, instrument)
    market["underlying_late_share"] = late_share(market["underlying_late_share"], late, bid, ask, instrument["quote"])
    if late:
        market["flags"][LATE_QUOTE] += 1
    if instrument["hedge"] == 0 and ts_event_ns >= instrument["quote"]["ts_ns"]:
        _breathe(bid, bid_size, instrument, market)
        if 0.0 < bid <= ask and not wide(bid, ask, UNDERLYING_SPREAD_MAX):
            set_spot(0.5 * (bid + ask), SPOT_QUOTE, ts_event_ns, market, max_age_ns)
            market["spread"] = ask - bid
            market["bid_size"] = bid_size
            market["spread_sum"] += ask - bid
            market["touch_sum"] += 0.5 * (bid_size + ask_size)
            market["touch_quotes"] += 1
    keep_quote(ts_event_ns, best, instrument)


@kernel
def apply_underlying_quote(event: Any, row: int, market: Any, tape: TapeState, max_age_ns: int) -> None:
    """Apply a ``quote`` record of instrument ``row``."""
    if tape.instruments[row]["hedge"] == 0:
        market["touch_from_quotes"] = 1
    best = (event["bid"], event["bid_size"], event["ask"], event["ask_size"])
    _take_quote(event["ts_event_ns"], best, tape.instruments[row], market, max_age_ns)


@kernel
def apply_underlying_trade(event: Any, side: int, instrument: Any, market: Any, max_age_ns: int) -> None:
    """Add a trade to the open liquidity bar, USD = price * size * multiplier (inverse: size * multiplier)."""
    usd = event["size"] * instrument["multiplier"]
    if instrument["inverse"] == 0:
        usd *= event["price"]
    market["liquidity_flow"] += side * usd
    market["liquidity_volume"] += usd
    if side < 0:
        instrument["sold_at_bid"] += event["size"]
    if instrument["hedge"] == 0:
        set_spot(event["price"], SPOT_TRADE, event["ts_event_ns"], market, max_age_ns)


@kernel
def apply_depth(
    event: Any, row: int, market: Any, tape: TapeState, levels: NDArray[np.float64], max_age_ns: int
) -> None:
    """Apply a ``depth`` record; its best levels serve as the quote while the instrument has no other."""
    if event["flags"] & SNAPSHOT:
        tape.depth_counts[BID] = 0
        tape.depth_counts[ASK] = 0
    middle = event["levels_start"] + event["bid_levels"]
    for place in range(event["levels_start"], middle + event["ask_levels"]):
        side = BID if place < middle else ASK
        tape.depth_counts[side] = set_level(
            tape.depth[side], tape.depth_counts[side], side, levels[place, 0], levels[place, 1]
        )
    instrument = tape.instruments[row]
    if tape.depth_counts[BID] > 0 and tape.depth_counts[ASK] > 0 and market["touch_from_quotes"] == 0:
        bid, ask = tape.depth[BID, 0], tape.depth[ASK, 0]
        _take_quote(event["ts_event_ns"], (bid[0], bid[1], ask[0], ask[1]), instrument, market, max_age_ns)


@kernel
def _push_bar(log_return: float, flow: float, volume: float, pressure: float, market: Any, tape: TapeState) -> None:
    head = market["liquidity_head"]
    tape.returns[head] = log_return
    tape.flows[head] = flow
    tape.volumes[head] = volume
    tape.pressures[head] = pressure
    market["liquidity_head"] = (head + 1) % tape.returns.shape[0]
    market["liquidity_count"] = min(market["liquidity_count"] + 1, tape.returns.shape[0])


@kernel
def close_liquidity_bars(slot: int, market: Any, tape: TapeState, weights: PressureWeights) -> None:
    """Close the open bar when event time has left it; bars without a record count, with zero return and flow."""
    if slot <= market["liquidity_slot"]:
        return
    if market["liquidity_mid"] > 0.0:
        _push_bar(
            math.log(market["spot"] / market["liquidity_mid"]),
            market["liquidity_flow"],
            market["liquidity_volume"],
            market["liquidity_pressure"],
            market,
            tape,
        )
        empty = min(slot - market["liquidity_slot"] - 1, tape.returns.shape[0])
        for _ in range(empty):
            _push_bar(0.0, 0.0, 0.0, 0.0, market, tape)
    if market["touch_quotes"] > 0:
        spread = market["spread_sum"] / market["touch_quotes"]
        touch = market["touch_sum"] / market["touch_quotes"]
        weight = _MEAN_WEIGHT if market["touch_mean"] > 0.0 else 1.0
        market["spread_mean"] += weight * (spread - market["spread_mean"])
        market["touch_mean"] += weight * (touch - market["touch_mean"])
    market["liquidity_slot"] = slot
    market["liquidity_mid"] = market["spot"]
    # The fields as last evaluated: what the dealers hold as the bar begins, known before anything in it happens.
    fields = market["fields"]
    gamma, beta_vanna = fields[GAMMA, weights.book], fields[BETA_VANNA, weights.book]
    market["liquidity_pressure"] = -(weights.gamma * gamma + weights.beta_vanna * beta_vanna)
    market["liquidity_flow"] = 0.0
    market["liquidity_volume"] = 0.0
    market["spread_sum"] = 0.0
    market["touch_sum"] = 0.0
    market["touch_quotes"] = 0
