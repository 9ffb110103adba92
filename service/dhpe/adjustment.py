"""Corporate actions: what becomes of the series of an underlying, and of every price and size that is remembered.

The clearing house's practice (OCC By-Laws, Article VI, section 11): a whole split of 2 for 1 makes two contracts of
each, at half the strike; any other split, and a reverse one, leaves contracts and strike and changes the shares that
a contract delivers; a special dividend lowers the strike. Here a strike and a premium are prices of one share, so
what the exchange still writes as 50 for 100 of 150 shares is a strike of 50 / 1.5 and a multiplier of 150.
docs/books.md has the table.

The new symbol of one series is often the old one of another (2 for 1: 200 becomes 100 while 100 becomes 50). So one
record speaks of all series, and all of them move at once or not at all.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import Adjustment
from dhpe.numerics.option_trades import grains
from dhpe.numerics.state import SLOT_NEVER
from dhpe.numerics.underlying_ticks import TapeState

_CONTRACT_AMOUNTS = (
    "open_interest",
    "position",
    "carried",
    "held",
    "day_moves",
    "volume",
    "day_volume",
    "earlier_open_interest",
    "earlier_volume",
    "waiting_size",
    "waiting_weight",
    "waiting_buy_extra",
)
_MARKET_PRICES = (
    "spot",
    "surface_spot",
    "landscape_spot",
    "bar_open",
    "bar_high",
    "bar_low",
    "bar_close",
    "joint_spot",
    "liquidity_mid",
    "spread",
    "spread_sum",
    "spread_mean",
)
_MARKET_SIZES = ("bid_size", "bid_depleted", "bid_refilled", "bid_cancelled", "bid_traded", "touch_sum", "touch_mean")


def refusal_of(fact: Adjustment, row_of: Mapping[str, int], contracts: NDArray[np.void]) -> tuple[str, str] | None:
    """Why an adjustment cannot be applied: a reject reason and a sentence; ``None`` where it can."""
    sources = {series.symbol for series in fact.series}
    places = {series.new_symbol for series in fact.series}
    for series in fact.series:
        row = row_of.get(series.symbol, -1)
        if row < 0 or contracts[row]["retired"]:
            return "unknown_contract", f"{series.symbol} is not defined: nothing was adjusted"
        if not contracts[row]["active"]:
            return "expired_contract", f"{series.symbol} has settled: nothing was adjusted"
        taken = row_of.get(series.new_symbol, -1)
        if taken >= 0 and series.new_symbol not in sources and _holds(contracts[taken]):
            return "symbol_in_use", f"{series.new_symbol} is another series and holds contracts: nothing was adjusted"
    if fact.shares != 1.0:
        for symbol, row in row_of.items():
            if contracts[row]["active"] and symbol not in sources and symbol not in places:
                return "incomplete_adjustment", f"a split speaks of all series; {symbol} is missing"
    return None


def _holds(contract: np.void) -> bool:
    """Whether anything but its definition and quotes is known of a series."""
    if not contract["active"]:
        return False
    traded = contract["volume"] > 0.0 or contract["anchored"] or not np.isnan(contract["open_interest"])
    return bool(traded or contract["position"].any())


def adjusted_rows(fact: Adjustment, row_of: Mapping[str, int], contracts: NDArray[np.void]) -> list[np.void]:
    """The rows of the series in the order of the record, on their new terms."""
    return [
        _adjusted(contracts[row_of[series.symbol]], series.strike, series.multiplier, series.contracts, fact.shares)
        for series in fact.series
    ]


def _adjusted(contract: np.void, strike: float, multiplier: float, ratio: float, shares: float) -> np.void:
    row: np.void = contract.copy()
    if not np.isnan(strike):
        row["strike"] = strike
        row["log_strike"] = math.log(strike)
    if not np.isnan(multiplier):
        row["multiplier"] = multiplier
    for name in _CONTRACT_AMOUNTS:
        if row[name].ndim == 0:
            row[name] = _times(float(row[name]), ratio)
        else:
            row[name] = [_times(amount, ratio) for amount in row[name].tolist()]
    row["quote_spot"] /= shares
    _rescale_quotes(row, 1.0 / shares, ratio)
    return row


def _times(amount: float, ratio: float) -> float:
    return amount if math.isnan(amount) else float(grains(amount * ratio))


def _rescale_quotes(row: np.void, price: float, size: float) -> None:
    for name in ("quote", "earlier_quote"):
        for side in ("bid", "ask"):
            row[name][side] *= price
            row[name][f"{side}_size"] *= size
    row["tick"]["price"] *= price
    row["tick"]["previous_price"] *= price


def rescale(market: np.void, expiries: NDArray[np.void], tape: TapeState, shares: float) -> None:
    """Put every remembered price and size of the underlying on new shares, ``shares`` of them for each old one.

    Returns, money and vols stay as they are, and so does the surface, which stands on moneyness.
    """
    for name in _MARKET_PRICES:
        market[name] /= shares
    for name in _MARKET_SIZES:
        market[name] *= shares
    market["landscape_slot"] = SLOT_NEVER
    expiries["given_forward"] /= shares
    expiries["given_forward_spot"] /= shares
    for instrument in tape.instruments:
        _rescale_quotes(instrument, 1.0 / shares, shares)
        instrument["sold_at_bid"] *= shares
    tape.depth[:, :, 0] /= shares
    tape.depth[:, :, 1] *= shares
