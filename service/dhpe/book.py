"""Contracts as columns and the three dealer books of one underlying (MODEL.md section 3).

``naive`` is the last open interest with dealers long calls and short puts. ``flow`` and ``weighted`` start there,
carry through every classified trade, and are clipped to the open interest at each new print. A print speaks of the
close before its trading date: trades of that date (by UTC day, which holds a session of every large exchange) stand
on top of it, whether it comes before the open or after. docs/books.md says it at length.
"""

import math
from typing import Final

import numpy as np

from dhpe.adjustment import adjusted_rows, refusal_of
from dhpe.columns import Adjustment, Contract, DealerPosition, OpenInterest, Rates
from dhpe.numerics.option_trades import clipped, forget_waiting, grains
from dhpe.numerics.panel_arrays import panel_arrays
from dhpe.numerics.parity import FORWARD_DEFAULT
from dhpe.numerics.revalue import ContractState
from dhpe.numerics.state import (
    CONTRACT,
    EXPIRY,
    FLOW,
    MARKET,
    NAIVE,
    NAN_IS_UNKNOWN,
    OPEN_INTEREST_LATE,
    OPEN_INTEREST_REVISED,
    POSITION_CLIPPED,
    SERIES_ADJUSTED,
    SLOT_ASKED,
    SLOT_NEVER,
    WEIGHTED,
)
from dhpe.open_interest import learn_opening
from dhpe.parameters import Parameters

_FIRST_CAPACITY: Final = 64
_NEVER: Final = np.iinfo(np.int64).max
_CONTRACT_FACTS: Final = ("right", "strike", "multiplier", "american", "settles_ns")


def _unknown_row(columns: np.dtype[np.void]) -> np.ndarray:
    row = np.zeros((), columns)
    for name in NAN_IS_UNKNOWN.intersection(columns.names or ()):
        row[name] = np.nan
    return row


_NEW_CONTRACT: Final = _unknown_row(CONTRACT)
_NEW_EXPIRY: Final = _unknown_row(EXPIRY)


def _grown(rows: np.ndarray, capacity: int) -> np.ndarray:
    larger = np.zeros((capacity, *rows.shape[1:]), rows.dtype)
    larger[: len(rows)] = rows
    return larger


def new_market() -> np.ndarray:
    """One row of MARKET before the first record."""
    market = np.zeros(1, MARKET)
    for slot in (
        "revalue_slot", "surface_slot", "landscape_slot", "pressure_slot", "bar_slot", "liquidity_slot",
        "option_quote_age_ns", "underlying_quote_age_ns",
    ):  # fmt: skip
        market[slot] = SLOT_NEVER
    market["next_settlement_ns"] = _NEVER
    return market


class Book:
    """The contracts of one underlying. Methods return a reject reason and a sentence, or ``None`` when applied."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._rows: dict[str, int] = {}
        self._strikes: dict[tuple[int, float, int], int] = {}
        self._expiries: dict[int, int] = {}
        self.rate = math.nan if parameters.rate is None else parameters.rate
        self.dividend_yield = parameters.dividend_yield
        self.state = ContractState(
            market=new_market(),
            contracts=np.zeros(0, CONTRACT),
            expiries=np.zeros(0, EXPIRY),
            dirty=np.zeros(0, np.int32),
            panel=panel_arrays(0, parameters.panel_nodes),
        )
        self._reserve(_FIRST_CAPACITY)

    def __len__(self) -> int:
        return int(self.state.market["contracts"][0])

    @property
    def symbols(self) -> list[str]:
        """Symbols in the order of their rows."""
        return list(self._rows)

    def row(self, symbol: str) -> int:
        """The row of a contract, -1 where it is unknown."""
        return self._rows.get(symbol, -1)

    @property
    def _told_rate(self) -> float:
        """The rate for expiries that no fit has seen: what was told, else none."""
        return 0.0 if math.isnan(self.rate) else self.rate

    def _reserve(self, capacity: int) -> None:
        state = self.state
        panel = panel_arrays(capacity, self._parameters.panel_nodes)
        self.state = ContractState(
            market=state.market,
            contracts=_grown(state.contracts, capacity),
            expiries=_grown(state.expiries, capacity),
            dirty=_grown(state.dirty, capacity),
            panel=panel,
        )
        self._stale()

    def _stale(self) -> None:
        """Reference data moved: the next evaluation builds the panel anew."""
        self.state.market["open_interest_valid"] = 0
        self.state.market["panel_valid"] = 0
        self.state.market["fields_valid"] = 0

    def _expiry(self, settles_ns: int) -> int:
        row = self._expiries.get(settles_ns)
        if row is not None:
            return row
        row = len(self._expiries)
        self.state.expiries[row] = _NEW_EXPIRY
        expiry = self.state.expiries[row]
        expiry["settles_ns"] = settles_ns
        expiry["rate"] = self._told_rate
        expiry["carry"] = self._told_rate - self.dividend_yield
        self._expiries[settles_ns] = row
        self.state.market["expiries"] = row + 1
        return row

    def add(self, fact: Contract) -> tuple[str, str] | None:
        """List a contract. The same definition again changes nothing; another one for the same symbol is refused."""
        market = self.state.market[0]
        row = self._rows.get(fact.symbol)
        if row is not None and not self.state.contracts[row]["retired"]:
            known = self.state.contracts[row]
            if all(known[name] == getattr(fact, name) for name in _CONTRACT_FACTS):
                return None
            return "contract_conflict", f"{fact.symbol} is already listed with another definition"
        if fact.settles_ns <= market["ts_ns"]:
            return "expired_contract", f"{fact.symbol} settled before the present event time"
        if fact.symbol not in self._rows and len(self) >= self._parameters.contracts_max:
            return "too_many_contracts", f"{fact.symbol} is one contract more than an underlying may have"
        row = self._place(fact.symbol)
        anchors = int(self.state.contracts["anchors"][row])
        self.state.contracts[row] = _NEW_CONTRACT
        contract = self.state.contracts[row]
        contract["anchors"] = anchors + 1  # trades in a retired series of this symbol are not its own
        for name in _CONTRACT_FACTS:
            contract[name] = getattr(fact, name)
        contract["log_strike"] = math.log(fact.strike)
        contract["expiry"] = self._expiry(fact.settles_ns)
        contract["active"] = 1
        self._pair(row)
        self.state.market["next_settlement_ns"] = min(self.state.market[0]["next_settlement_ns"], fact.settles_ns)
        self._stale()
        return None

    def _place(self, symbol: str) -> int:
        """The row of a symbol, a new one where it has none."""
        row = self._rows.get(symbol)
        if row is None:
            row = len(self)
            if row >= len(self.state.contracts):
                self._reserve(2 * len(self.state.contracts))
            self._rows[symbol] = row
            self.state.market["contracts"] = row + 1
        return row

    def _pair(self, row: int) -> None:
        """Let the two rights at one strike and settlement find each other."""
        contract = self.state.contracts[row]
        place = int(contract["settles_ns"]), float(contract["strike"])
        other = self._strikes.get((*place, -int(contract["right"])), -1)
        contract["pair"] = other
        if other >= 0:
            self.state.contracts["pair"][other] = row
        self._strikes[*place, int(contract["right"])] = row

    def adjust(self, fact: Adjustment) -> tuple[str, str] | None:
        """Carry the holdings of each series named to the series that takes its place: all of them, or none."""
        refusal = refusal_of(fact, self._rows, self.state.contracts)
        if refusal is not None:
            return refusal
        moved = adjusted_rows(fact, self._rows, self.state.contracts)
        sources = {self._rows[series.symbol] for series in fact.series}
        places = [self._place(series.new_symbol) for series in fact.series]
        contracts, market = self.state.contracts, self.state.market[0]
        for place, contract in zip(places, moved, strict=True):
            contract["anchors"] = max(contract["anchors"], contracts[place]["anchors"]) + 1  # no cancel reaches across
            contracts[place] = contract
        for row in sources.difference(places):
            contracts[row]["active"] = 0
            contracts[row]["retired"] = 1
            contracts[row]["dirty"] = 0
            contracts[row]["settles_ns"] = market["ts_ns"]
        self._strikes.clear()
        for row in np.flatnonzero(contracts["active"][: len(self)]).tolist():
            self._pair(row)
        waiting = np.flatnonzero(contracts["dirty"][: len(self)])
        self.state.dirty[: len(waiting)] = waiting
        market["dirty_rows"] = len(waiting)
        market["flags"][SERIES_ADJUSTED] += len(moved)
        self._stale()
        return None

    def open_interest(self, fact: OpenInterest) -> tuple[str, str] | None:
        """Take a print of open interest: reset ``naive``, clip the flow books, count what was clipped."""
        row = self.row(fact.symbol)
        if row < 0:
            return _unknown(fact.symbol)
        contract = self.state.contracts[row]
        if not contract["active"]:
            return _settled(fact.symbol)
        market = self.state.market[0]
        date = int(fact.trading_date.replace("-", ""))
        open_interest = grains(fact.open_interest)
        late = bool(contract["day"] >= np.datetime64(fact.trading_date, "D").astype(np.int64))
        if date < contract["open_interest_date"]:
            return "open_interest_older", f"{fact.symbol} already has open interest of a later trading date"
        if date == contract["open_interest_date"]:
            if open_interest == contract["open_interest"]:
                return None
            market["flags"][OPEN_INTEREST_REVISED] += 1
            learns = date == market["opening_date"]
            if learns:
                _learn(contract, date, -1, market)
            self._revise(contract, open_interest)
        else:
            market["flags"][OPEN_INTEREST_LATE] += late
            contract["earlier_open_interest"] = contract["open_interest"]
            contract["earlier_volume"] = contract["volume"] - (contract["day_volume"] if late else 0.0)
            contract["volume"] = contract["day_volume"] if late else 0.0
            learns = True
            self._reconcile(contract, open_interest, late)
        contract["open_interest"] = open_interest
        contract["open_interest_date"] = date
        if learns:
            _learn(contract, date, 1, market)
        self._stale()
        return None

    def _reconcile(self, contract: np.void, open_interest: float, late: bool) -> None:
        """Begin a trading date: bound what was carried into it. Trades of that date, where it is late, stay on top."""
        first = np.isnan(contract["open_interest"]) and not contract["anchored"]
        position, carried = contract["position"], contract["carried"]
        contract["position"][NAIVE] = contract["right"] * open_interest
        for book in (FLOW, WEIGHTED):
            # What was traded before a series' first print is as good as traded after it: nothing older is known.
            moved = position[book] if first else contract["day_moves"][book] if late else 0.0
            anew = first or self._parameters.flow_anchor == "naive"
            carried[book] = np.nan if anew else position[book] - moved
            position[book] = self._hold(contract, book, open_interest) + moved
        if not first:
            contract["prints"] += 1
            contract["kept_day"] = contract["day"] if late else -1
            if self._parameters.flow_anchor == "naive" and not late:
                forget_waiting(contract)

    def _revise(self, contract: np.void, open_interest: float) -> None:
        """Bound anew what was carried into the trading date; what was traded since stays on top."""
        contract["position"][NAIVE] = contract["right"] * open_interest
        for book in (FLOW, WEIGHTED):
            held = float(contract["held"][book])
            contract["position"][book] += self._hold(contract, book, open_interest) - held

    def _hold(self, contract: np.void, book: int, open_interest: float) -> float:
        """What a book holds of the carried position at a print; counts what the print cuts off."""
        carried = float(contract["carried"][book])
        naive = float(contract["right"]) * open_interest
        held = naive if np.isnan(carried) else float(clipped(carried, open_interest))
        if held != carried and not np.isnan(carried):
            market = self.state.market[0]
            market["flags"][POSITION_CLIPPED] += 1
            market["clipped_contracts"] += abs(carried - held)
        contract["held"][book] = held
        return held

    def dealer_position(self, fact: DealerPosition) -> tuple[str, str] | None:
        """Re-anchor the flow books to a reported position."""
        row = self.row(fact.symbol)
        if row < 0:
            return _unknown(fact.symbol)
        contract = self.state.contracts[row]
        if not contract["active"]:
            return _settled(fact.symbol)
        # The position was replaced: trades before it no longer move it, neither by waiting nor by their cancel.
        for book in (FLOW, WEIGHTED):
            for amount in ("position", "carried", "held"):
                contract[amount][book] = grains(fact.position)
            contract["day_moves"][book] = 0.0
        contract["anchored"] = 1
        contract["anchors"] += 1
        forget_waiting(contract)
        self._stale()
        return None

    def rates(self, fact: Rates) -> tuple[str, str] | None:
        """Take rates for all expiries, or the forward and discount of one."""
        market = self.state.market[0]
        if fact.settles_ns == 0:
            # What the record does not say stays as it was.
            self.rate = self.rate if math.isnan(fact.rate) else fact.rate
            self.dividend_yield = self.dividend_yield if math.isnan(fact.dividend_yield) else fact.dividend_yield
            expiries = self.state.expiries[: int(market["expiries"])]
            unfitted = expiries["forward_source"] == FORWARD_DEFAULT
            expiries["rate"][unfitted] = self._told_rate
            expiries["carry"][unfitted] = self._told_rate - self.dividend_yield
        else:
            row = self._expiries.get(fact.settles_ns)
            if row is None:
                return "unknown_expiry", f"no contract settles at {fact.settles_ns}"
            expiry = self.state.expiries[row]
            expiry["given_forward"] = fact.forward
            expiry["given_ts_ns"] = market["ts_ns"]
            expiry["given_forward_spot"] = market["spot"] if market["spot"] > 0 else np.nan
            expiry["given_discount"] = fact.discount
        if market["surface_slot"] != SLOT_NEVER:
            market["surface_slot"] = SLOT_ASKED
        self._stale()
        return None


def _learn(contract: np.void, date: int, times: int, market: np.void) -> None:
    """Let the opening share learn from a print that followed another one, or forget it before it is revised."""
    change = float(contract["open_interest"] - contract["earlier_open_interest"])
    if not np.isnan(change):
        learn_opening(change, float(contract["earlier_volume"]), date, times, market)


def _settled(symbol: str) -> tuple[str, str]:
    return "expired_contract", f"{symbol} has settled, or an adjustment has put another series in its place"


def _unknown(symbol: str) -> tuple[str, str]:
    return "unknown_contract", f"{symbol} is not defined: send its contract record first"
