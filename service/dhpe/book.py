"""Contracts as columns and the three dealer books of one underlying (MODEL.md section 3).

``naive`` is the last open interest with dealers long calls and short puts. ``flow`` and ``weighted`` start there,
carry through every classified trade, and are clipped to the open interest at each new print.
"""

import math
from typing import Final

import numpy as np

from dhpe.columns import Contract, DealerPosition, OpenInterest, Rates
from dhpe.numerics.option_trades import forget_waiting
from dhpe.numerics.panel_arrays import panel_arrays
from dhpe.numerics.revalue import ContractState
from dhpe.numerics.state import (
    CONTRACT,
    EXPIRY,
    FLOW,
    MARKET,
    NAIVE,
    OPEN_INTEREST_REVISED,
    POSITION_CLIPPED,
    WEIGHTED,
)
from dhpe.parameters import Parameters

_FIRST_CAPACITY: Final = 64
_NEVER: Final = np.iinfo(np.int64).max
_CONTRACT_FACTS: Final = ("right", "strike", "multiplier", "american", "settles_ns")


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
        market[slot] = -1
    market["next_settlement_ns"] = _NEVER
    return market


class Book:
    """The contracts of one underlying. Methods return a reject reason and a sentence, or ``None`` when applied."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._rows: dict[str, int] = {}
        self._strikes: dict[tuple[int, float, int], int] = {}
        self._expiries: dict[int, int] = {}
        self.rate = parameters.rate
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
        self.state.market["panel_valid"] = 0
        self.state.market["fields_valid"] = 0

    def _expiry(self, settles_ns: int) -> int:
        row = self._expiries.get(settles_ns)
        if row is not None:
            return row
        row = len(self._expiries)
        expiry = self.state.expiries[row]
        expiry["settles_ns"] = settles_ns
        expiry["rate"] = self.rate
        expiry["carry"] = self.rate - self.dividend_yield
        for unknown in (
            "given_forward",
            "given_forward_spot",
            "given_discount",
            "atm_vol",
            "skew_slope",
            "skew_slope_standard_error",
            "atm_total_variance",
            "ssvi_rho",
            "curvature",
            "fit_tau",
            "phi_scale",
            "phi_power",
            "beta_standard_error",
        ):
            expiry[unknown] = np.nan
        self._expiries[settles_ns] = row
        self.state.market["expiries"] = row + 1
        return row

    def add(self, fact: Contract) -> tuple[str, str] | None:
        """List a contract. The same definition again changes nothing; another one for the same symbol is refused."""
        market = self.state.market[0]
        row = self._rows.get(fact.symbol)
        if row is not None:
            known = self.state.contracts[row]
            if all(known[name] == getattr(fact, name) for name in _CONTRACT_FACTS):
                return None
            return "contract_conflict", f"{fact.symbol} is already listed with another definition"
        if fact.settles_ns <= market["ts_ns"]:
            return "expired_contract", f"{fact.symbol} settled before the present event time"
        if len(self) >= len(self.state.contracts):
            self._reserve(2 * len(self.state.contracts))
            market = self.state.market[0]
        row = len(self)
        contract = self.state.contracts[row]
        for name in _CONTRACT_FACTS:
            contract[name] = getattr(fact, name)
        contract["log_strike"] = math.log(fact.strike)
        contract["expiry"] = self._expiry(fact.settles_ns)
        contract["active"] = 1
        contract["vol"] = np.nan
        contract["quote_spot"] = np.nan
        contract["open_interest"] = np.nan
        other = self._strikes.get((fact.settles_ns, fact.strike, -fact.right), -1)
        contract["pair"] = other
        if other >= 0:
            self.state.contracts["pair"][other] = row
        self._strikes[fact.settles_ns, fact.strike, fact.right] = row
        self._rows[fact.symbol] = row
        market["contracts"] = row + 1
        market["next_settlement_ns"] = min(market["next_settlement_ns"], fact.settles_ns)
        self._stale()
        return None

    def open_interest(self, fact: OpenInterest) -> tuple[str, str] | None:
        """Take a print of open interest: reset ``naive``, clip the flow books, count what was clipped."""
        row = self.row(fact.symbol)
        if row < 0:
            return _unknown(fact.symbol)
        contract = self.state.contracts[row]
        market = self.state.market[0]
        date = int(fact.trading_date.replace("-", ""))
        if date < contract["open_interest_date"]:
            return "open_interest_older", f"{fact.symbol} already has open interest of a later trading date"
        if date == contract["open_interest_date"]:
            if fact.open_interest == contract["open_interest"]:
                return None
            market["flags"][OPEN_INTEREST_REVISED] += 1
        self._reconcile(contract, fact.open_interest)
        contract["open_interest"] = fact.open_interest
        contract["open_interest_date"] = date
        self._stale()
        return None

    def _reconcile(self, contract: np.void, open_interest: float) -> None:
        market = self.state.market[0]
        naive = float(contract["right"]) * open_interest
        first = np.isnan(contract["open_interest"]) and not contract["anchored"]
        position = contract["position"]
        position[NAIVE] = naive
        for book in (FLOW, WEIGHTED):
            if first:
                # Trades before the first print came after yesterday's close: they stand on top of it.
                position[book] += naive
            elif self._parameters.flow_anchor == "naive":
                position[book] = naive
                _leave_trades_behind(contract)
            else:
                carried = float(position[book])
                kept = min(max(carried, -open_interest), open_interest)
                if kept != carried:
                    market["flags"][POSITION_CLIPPED] += 1
                    market["clipped_contracts"] += abs(carried - kept)
                position[book] = kept

    def dealer_position(self, fact: DealerPosition) -> tuple[str, str] | None:
        """Re-anchor the flow books to a reported position."""
        row = self.row(fact.symbol)
        if row < 0:
            return _unknown(fact.symbol)
        contract = self.state.contracts[row]
        contract["position"][FLOW] = fact.position
        contract["position"][WEIGHTED] = fact.position
        contract["anchored"] = 1
        _leave_trades_behind(contract)
        self._stale()
        return None

    def rates(self, fact: Rates) -> tuple[str, str] | None:
        """Take rates for all expiries, or the forward and discount of one."""
        market = self.state.market[0]
        if fact.settles_ns == 0:
            self.rate = fact.rate
            self.dividend_yield = 0.0 if np.isnan(fact.dividend_yield) else fact.dividend_yield
            count = int(market["expiries"])
            self.state.expiries["rate"][:count] = self.rate
            self.state.expiries["carry"][:count] = self.rate - self.dividend_yield
        else:
            row = self._expiries.get(fact.settles_ns)
            if row is None:
                return "unknown_expiry", f"no contract settles at {fact.settles_ns}"
            expiry = self.state.expiries[row]
            expiry["given_forward"] = fact.forward
            expiry["given_ts_ns"] = market["ts_ns"]
            expiry["given_forward_spot"] = market["spot"] if market["spot"] > 0 else np.nan
            expiry["given_discount"] = fact.discount
        market["surface_slot"] = -1
        self._stale()
        return None


def _leave_trades_behind(contract: np.void) -> None:
    """The position was replaced: trades before it no longer move it, neither by waiting nor by their cancel."""
    contract["anchors"] += 1
    forget_waiting(contract)


def _unknown(symbol: str) -> tuple[str, str]:
    return "unknown_contract", f"{symbol} is not defined: send its contract record first"
