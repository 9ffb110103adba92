"""Market makers who quote the simulated chain on its tick grid, and the customers who trade with them."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import BUY, OPTION_QUOTE, OPTION_TRADE, SELL
from dhpe.numerics.black import price
from dhpe.simulate.chain import NS_PER_YEAR, Chain, Floats, contract_vols
from dhpe.simulate.records import Recorder
from dhpe.simulate.scenario import STEP_MS, STEP_S

_FINE_TICK: Final = 0.05  # below 3.00, as SPX options are quoted
_COARSE_TICK: Final = 0.10
_FINE_BELOW: Final = 3.0
_MEAN_TRADE: Final = 8.0
_INSIDE_SHARE: Final = 0.15  # of trades, in spreads wider than two ticks, better than the quote
_NS_PER_MS: Final = 1_000_000


class OptionState(NamedTuple):
    """What the option market sees of the world in one step."""

    now_ns: int
    spot: float
    atm_vols: Floats
    spread: float  # multiple of a calm spread
    put_buying: float
    activity: float  # multiple of a calm day's trading


class OptionMarket:
    """Quotes and trades of one chain, and the dealers' true position that the trades leave behind."""

    def __init__(self, chain: Chain, recorder: Recorder, quotes_per_s: float, trades_per_s: float) -> None:
        """Nothing is quoted before ``quote_all``."""
        count = len(chain.contracts)
        self.position = chain.dealer_position.copy()
        self._chain = chain
        self._recorder = recorder
        self._names = recorder.names_at([contract.symbol for contract in chain.contracts])
        self._bid, self._ask = np.zeros(count), np.full(count, np.nan)
        self._quotes_per_s, self._trades_per_s = quotes_per_s, trades_per_s

    def quote_all(self, state: OptionState, generator: np.random.Generator) -> None:
        """Quote the whole chain, as at the open."""
        self._quote(np.arange(len(self._chain.contracts)), state, generator)

    def quote(self, state: OptionState, generator: np.random.Generator) -> None:
        """Renew some of the quotes, more near the money."""
        weight = self._attention(state)
        chosen = generator.random(len(weight)) < weight * (self._quotes_per_s * state.activity * STEP_S)
        self._quote(np.flatnonzero(chosen), state, generator)

    def _attention(self, state: OptionState) -> Floats:
        """Share of the market's activity in each contract; 0 in the settled ones."""
        alive = (self._chain.settles_ns >= state.now_ns + STEP_MS * _NS_PER_MS)[self._chain.expiry]
        weight = (np.exp(-np.abs(self._chain.strike / state.spot - 1.0) / 0.02) + 0.15) * alive
        return weight / max(float(weight.sum()), 1e-9)

    def _quote(self, chosen: NDArray[np.int64], state: OptionState, generator: np.random.Generator) -> None:
        chain, count = self._chain, len(chosen)
        if count == 0:
            return
        vols = contract_vols(chain, state.spot, state.now_ns, state.atm_vols)
        fair = np.array(
            [
                price(
                    state.spot, chain.strike[i], (chain.settles_ns[chain.expiry[i]] - state.now_ns) / NS_PER_YEAR,
                    chain.rate, chain.dividend_yield, vols[i], int(chain.right[i]),
                )
                for i in chosen
            ]
        )  # fmt: skip
        tick = np.where(fair < _FINE_BELOW, _FINE_TICK, _COARSE_TICK)
        half = 0.5 * state.spread * (0.06 + 0.015 * np.minimum(fair, 60.0))
        bid = np.round(np.maximum(np.floor((fair - half) / tick), 0.0) * tick, 2)
        ask = np.round(np.maximum(np.ceil((fair + half) / tick), 1.0) * tick, 2)
        rows = self._recorder.rows(count, OPTION_QUOTE)
        rows["ts_event_ns"] = state.now_ns + np.sort(generator.integers(28 * _NS_PER_MS, 45 * _NS_PER_MS, count))
        rows["name"] = self._names[chosen]
        rows["bid"], rows["ask"] = bid, ask
        rows["bid_size"] = np.where(bid > 0.0, generator.integers(5, 120, count), 0.0)
        rows["ask_size"] = generator.integers(5, 120, count)
        self._bid[chosen], self._ask[chosen] = bid, ask

    def trade(self, state: OptionState, generator: np.random.Generator) -> None:
        """Trade on the standing quotes; dealers take the other side."""
        share = self._attention(state)
        count = int(generator.poisson(self._trades_per_s * state.activity * STEP_S))
        chosen = np.searchsorted(np.cumsum(share), generator.random(count), side="right").clip(max=len(share) - 1)
        # Customers buy the puts below and sell the calls above: the side that leaves dealers short puts, long calls.
        usual = np.where(self._chain.right[chosen] < 0, BUY, SELL)
        # Who already holds much of a series closes it sooner: positions stay bounded through the hours.
        grown = self._chain.right * (self.position - self._chain.dealer_position) / self._chain.open_interest
        side = np.where(generator.random(count) < state.put_buying - grown[chosen], usual, -usual)
        inside = generator.random(count) < _INSIDE_SHARE
        size = generator.geometric(1.0 / _MEAN_TRADE, count).astype(np.float64)
        bid, ask = self._bid[chosen], self._ask[chosen]
        tick = np.where(ask < _FINE_BELOW, _FINE_TICK, _COARSE_TICK)
        better = np.where(inside & (ask - bid > 2.5 * tick), tick, 0.0)
        paid = np.round(np.where(side == BUY, ask - better, bid + better), 2)
        kept = (paid > 0.0) & (share[chosen] > 0.0)
        if not kept.any():
            return
        chosen, side, size, paid = chosen[kept], side[kept], size[kept], paid[kept]
        rows = self._recorder.rows(len(chosen), OPTION_TRADE)
        rows["ts_event_ns"] = state.now_ns + np.sort(generator.integers(_NS_PER_MS, 20 * _NS_PER_MS, len(chosen)))
        rows["name"] = self._names[chosen]
        rows["price"], rows["size"] = paid, size
        self._recorder.true_sides(side.astype(np.int8))
        np.subtract.at(self.position, chosen, side * size)
