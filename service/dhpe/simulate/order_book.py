"""The simulated order book: it breathes in a calm market, is cancelled in a crash, and fills again afterwards."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import BUY

LEVELS: Final = 10
TICK: Final = 0.25
TOUCH_CONTRACTS: Final = 120.0
"""A calm touch. With the contract's multiplier and the spread it sets the price impact: see ``calm_lambda``."""
CONTRACT_MULTIPLIER: Final = 50.0
_MEAN_TOUCH_SHARE: Final = 0.77  # what trades leave of it on average until it is filled again
_PROFILE: Final = 1.0 + 0.25 * np.arange(LEVELS)  # the book thickens behind the touch
_HYSTERESIS_TICKS: Final = 0.7  # a quote stands until the fair price has clearly left it


def calm_lambda(mid: float) -> float:
    """Kyle's lambda, log return per USD, as a calm book shows it: half the spread over the money at the mean touch."""
    return (0.5 * TICK / mid) / (_MEAN_TOUCH_SHARE * TOUCH_CONTRACTS * mid * CONTRACT_MULTIPLIER)


class OrderBook:
    """Ten levels on either side of one instrument; prices in ticks, sizes in whole contracts."""

    def __init__(self, fair: float, generator: np.random.Generator) -> None:
        """Open the book around ``fair`` at its calm depth."""
        self._generator = generator
        self.bid_ticks = round(fair / TICK - 0.5)
        self.spread_ticks = 1
        self.bids = np.round(TOUCH_CONTRACTS * _PROFILE)
        self.asks = self.bids.copy()

    @property
    def bid(self) -> float:
        """The best bid."""
        return self.bid_ticks * TICK

    @property
    def ask(self) -> float:
        """The best ask."""
        return (self.bid_ticks + self.spread_ticks) * TICK

    @property
    def mid(self) -> float:
        """Half way between them."""
        return (self.bid_ticks + 0.5 * self.spread_ticks) * TICK

    def fill(self, side: int, contracts: float) -> None:
        """Take ``contracts`` from the touch that an aggressor on ``side`` meets; one is left, the rest is hidden."""
        sizes = self.asks if side == BUY else self.bids
        sizes[0] = max(1.0, sizes[0] - contracts)

    def pull(self) -> None:
        """Cancel the best bid before anybody can sell to it; the sellers step down behind it."""
        self.bids = _shifted(self.bids, -1)
        self.asks = np.concatenate([self.asks[:1], self.asks])[:LEVELS]
        self.bid_ticks -= 1

    def move(self, fair: float, spread_ticks: int) -> bool:
        """Follow the fair price; old levels keep their orders. True where a best price has changed."""
        wanted = fair / TICK - 0.5 * spread_ticks
        if spread_ticks == self.spread_ticks and abs(wanted - self.bid_ticks) <= _HYSTERESIS_TICKS:
            return False
        bid_ticks = round(wanted)
        bids_up = bid_ticks - self.bid_ticks
        asks_up = bids_up + spread_ticks - self.spread_ticks
        self.bids = _shifted(self.bids, bids_up)
        self.asks = _shifted(self.asks, -asks_up)
        self.bid_ticks, self.spread_ticks = bid_ticks, spread_ticks
        return bool(bids_up or asks_up)

    def breathe(self, bid_depth: float, ask_depth: float, refill: float) -> None:
        """Bring the share ``refill`` of what is missing; take away at once what the depth no longer allows."""
        self.bids = self._toward(self.bids, bid_depth, refill)
        self.asks = self._toward(self.asks, ask_depth, refill)

    def _toward(self, sizes: NDArray[np.float64], depth: float, refill: float) -> NDArray[np.float64]:
        noise = 1.0 + 0.12 * self._generator.standard_normal(LEVELS)
        target = TOUCH_CONTRACTS * depth * _PROFILE * np.clip(noise, 0.5, 1.5)
        share = np.where(target < sizes, 0.6, min(refill, 1.0))
        return np.maximum(1.0, np.round(sizes + share * (target - sizes)))

    def levels(self) -> NDArray[np.float64]:
        """(20, 2) prices and sizes: the bids, then the asks, each from the best on."""
        ladder = np.arange(LEVELS)
        prices = np.concatenate(
            [self.bid_ticks - ladder, self.bid_ticks + self.spread_ticks + ladder], dtype=np.float64, casting="unsafe"
        )
        return np.stack([prices * TICK, np.concatenate([self.bids, self.asks])], axis=1)


def _shifted(sizes: NDArray[np.float64], improved: int) -> NDArray[np.float64]:
    """Sizes after the best price improved by so many ticks (new levels in front start with one contract)."""
    fresh = np.ones(min(abs(improved), LEVELS))
    if improved >= 0:
        return np.concatenate([fresh, sizes])[:LEVELS]
    # The levels in front are gone; deep ones come into sight with the size of the last.
    return np.concatenate([sizes[len(fresh) :], fresh * sizes[-1]])
