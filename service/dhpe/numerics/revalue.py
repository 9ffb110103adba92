"""From quotes to the vol of a strike: one vol per (expiry, strike, settlement), used for both rights.

The out-of-the-money side by the forward gives it; the other side only where that one has no bid; else the fitted
smile (MODEL.md section 9). A quote is inverted at the spot of its own time and on the true time to settlement, as an
American one where the contract is. Every contract without a vol of its own quotes has the reason in ``vol_reason``.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.american import invert_american
from dhpe.numerics.implied_vol import CROSSED, NO_ASK, NO_BID, NO_QUOTE, NO_TIME, SOLVED, VOL_OUT_OF_RANGE, WIDE, invert
from dhpe.numerics.jit import kernel
from dhpe.numerics.panel import put_on, take_off
from dhpe.numerics.panel_arrays import PanelArrays, PanelRules
from dhpe.numerics.panel_units import field_tau, unit_fields
from dhpe.numerics.parity import forward_ratio
from dhpe.numerics.smile import smile_vol
from dhpe.numerics.state import NS_PER_YEAR, VOL_NONE, VOL_OWN_QUOTE, VOL_PAIR_QUOTE, VOL_SURFACE, VOL_UNSOLVED
from dhpe.numerics.sticky_delta import fit_ratio


class ContractState(NamedTuple):
    """The rows of one underlying's contracts and what hangs on them."""

    market: NDArray[np.void]  # (1,) of state.MARKET
    contracts: NDArray[np.void]  # (capacity,) of state.CONTRACT
    expiries: NDArray[np.void]  # (capacity,) of state.EXPIRY
    dirty: NDArray[np.int32]  # (capacity,): rows with a quote that is not yet in their vol
    panel: PanelArrays


@kernel
def mark_dirty(row: int, state: ContractState) -> None:
    """Remember that a contract has a new quote."""
    contract = state.contracts[row]
    if contract["dirty"] == 0:
        contract["dirty"] = 1
        state.dirty[state.market[0]["dirty_rows"]] = row
        state.market[0]["dirty_rows"] += 1


@kernel
def market_reason(contract: Any, spread_max: float) -> int:
    """Why the quote of a contract has no usable mid; ``SOLVED`` where it has one. ``spread_max`` is a share of it."""
    quote = contract["quote"]
    bid, ask = quote["bid"], quote["ask"]
    if quote["ts_ns"] <= 0:
        return NO_QUOTE
    if not bid > 0.0:
        return NO_BID
    if not (ask > 0.0 and math.isfinite(ask)):
        return NO_ASK
    if ask < bid:
        return CROSSED
    return WIDE if ask - bid > spread_max * 0.5 * (bid + ask) else SOLVED


@kernel
def _quoted_vol(row: int, state: ContractState) -> tuple[float, int]:
    """Vol of a contract's own mid at the spot and time of its quote, and the reason code where there is none."""
    contract = state.contracts[row]
    quote = contract["quote"]
    expiry = state.expiries[contract["expiry"]]
    tau = (contract["settles_ns"] - quote["ts_ns"]) / NS_PER_YEAR
    if tau <= 0.0:
        return math.nan, NO_TIME
    spot = contract["quote_spot"] if contract["quote_spot"] > 0.0 else state.market[0]["spot"]
    mid = 0.5 * (quote["bid"] + quote["ask"])
    if contract["american"] == 1:
        ahead = spot * math.exp(expiry["basis"])
        yielded = expiry["rate"] - expiry["carry"]
        return invert_american(mid, ahead, contract["strike"], tau, expiry["rate"], yielded, contract["right"])
    forward = spot * math.exp(expiry["basis"] + expiry["carry"] * tau)
    return invert(mid, forward, contract["strike"], tau, math.exp(-expiry["rate"] * tau), contract["right"])


@kernel
def _choose_vol(row: int, state: ContractState, spread_max: float) -> tuple[float, int, int]:
    """(vol, row that gave it or -1, reason code of the out-of-the-money side)."""
    contracts = state.contracts
    contract = contracts[row]
    expiry = state.expiries[contract["expiry"]]
    market = state.market[0]
    forward = market["spot"] * forward_ratio(expiry, market["ts_ns"])
    wanted = -1 if contract["strike"] < forward else 1
    first = row if contract["right"] == wanted or contract["pair"] < 0 else contract["pair"]
    second = contracts[first]["pair"]
    reason = SOLVED
    for candidate in (first, second):
        if candidate < 0:
            continue
        code = market_reason(contracts[candidate], spread_max)
        if code == SOLVED:
            vol, code = _quoted_vol(candidate, state)
            if code == SOLVED:
                return vol, candidate, SOLVED
        if reason == SOLVED:
            reason = code
    log_moneyness = math.log(contract["strike"] / forward)
    return smile_vol(expiry, log_moneyness), -1, reason


@kernel
def _ratio(contract: Any, vol: float, giver: int, state: ContractState) -> float:
    """The ratio to the fit of a vol that was found at the spot of the quote of ``giver``, -1 the present spot."""
    market = state.market[0]
    spot = state.contracts[giver]["quote_spot"] if giver >= 0 else market["spot"]
    expiry = state.expiries[contract["expiry"]]
    return fit_ratio(vol, contract["log_strike"], expiry, spot if spot > 0.0 else market["spot"], market["ts_ns"])


@kernel
def _set_vol(row: int, vol: float, giver: int, reason: int, state: ContractState, rules: PanelRules) -> None:
    contract = state.contracts[row]
    contract["vol_reason"] = reason
    if giver == row:
        contract["vol_source"] = VOL_OWN_QUOTE
    elif giver >= 0:
        contract["vol_source"] = VOL_PAIR_QUOTE
    else:
        contract["vol_source"] = VOL_SURFACE if vol > 0.0 else VOL_NONE
    ratio = _ratio(contract, vol, giver, state) if rules.by_delta else 0.0
    if vol == contract["vol"] and ratio == contract["fit_ratio"]:
        return
    market = state.market[0]
    take_off(row, market, state.contracts, state.expiries, state.panel)
    contract["vol"] = vol
    contract["fit_ratio"] = ratio
    put_on(row, market, state.contracts, state.expiries, state.panel, rules)
    market["fields_valid"] = 0


@kernel
def revalue(row: int, state: ContractState, rules: PanelRules) -> None:
    """Bring the newest quotes of one strike into the vol of both its contracts."""
    contract = state.contracts[row]
    pair = contract["pair"]
    newly_quoted = contract["dirty"] == 1 or (pair >= 0 and state.contracts[pair]["dirty"] == 1)
    contract["dirty"] = 0
    if pair >= 0:
        state.contracts[pair]["dirty"] = 0
    if contract["active"] == 0:
        return
    vol, giver, reason = _choose_vol(row, state, rules.spread_max)
    if newly_quoted and SOLVED < reason <= VOL_OUT_OF_RANGE:
        state.market[0]["flags"][VOL_UNSOLVED] += 1
    _set_vol(row, vol, giver, reason, state, rules)
    if pair >= 0:
        _set_vol(pair, vol, giver, reason, state, rules)


@kernel
def revalue_dirty(state: ContractState, rules: PanelRules) -> None:
    """Bring every waiting quote into its vol. Without a spot the quotes go on waiting."""
    market = state.market[0]
    if not market["spot"] > 0.0:
        return
    for place in range(market["dirty_rows"]):
        row = state.dirty[place]
        if state.contracts[row]["dirty"] == 1:
            revalue(row, state, rules)
    market["dirty_rows"] = 0


@kernel
def fill_from_smile(state: ContractState, rules: PanelRules) -> None:
    """Give every contract without a usable quote the vol of its expiry's new fit."""
    for row in range(state.market[0]["contracts"]):
        contract = state.contracts[row]
        if contract["active"] == 1 and contract["vol_source"] in (VOL_NONE, VOL_SURFACE):
            revalue(row, state, rules)


@kernel
def weigh_expiries(book: int, state: ContractState, rules: PanelRules) -> None:
    """Sum |position * vanna * S * M| by expiry: the weights of the published mean beta."""
    market = state.market[0]
    for row in range(market["expiries"]):
        state.expiries[row]["vanna_weight"] = 0.0
    for row in range(market["contracts"]):
        contract = state.contracts[row]
        if contract["active"] == 0 or not contract["vol"] > 0.0 or contract["position"][book] == 0.0:
            continue
        expiry = state.expiries[contract["expiry"]]
        tau = field_tau(contract["settles_ns"], market["ts_ns"], rules.tau_floor_ns)
        _, vanna, _ = unit_fields(math.log(market["spot"]), contract, expiry, tau)
        expiry["vanna_weight"] += abs(contract["position"][book] * vanna)
