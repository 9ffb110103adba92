"""Open interest now: the last prints, what the trades since may have made of them, and how far to trust that.

A trade of V contracts adds V where both sides open, takes V off where both close, and changes nothing where one side
hands its position to the other. If each side opens with probability p, the opening share, the expected change is
(2p - 1) V (the accounting identity of open interest). p is learnt at each print: over the series whose change since
the print before can have come from the trades seen, |change| <= volume, the change per contract traded is the ratio
of sums r = sum(change) / sum(volume), and p = (1 + r) / 2. Its standard error is that of a ratio of sums over series
(Cochran 1977, section 6.3); the scatter of single series around it stands beside it, as a share of their volume.
A trading date counts ``DATE_KEEP`` times as much as the next. Nothing here ever touches a dealer's position.
"""

import math
from typing import Final, Literal, NamedTuple

import numpy as np

from dhpe.numerics import open_interest
from dhpe.numerics.revalue import ContractState
from dhpe.numerics.state import FLOW, OPEN_INTEREST_BEYOND_VOLUME
from dhpe.parameters import Parameters

DATE_KEEP: Final = 0.9
SERIES_MIN: Final = 30
"""Series with volume and two prints before their ratio counts."""


class OpeningShare(NamedTuple):
    """Probability that a side of a trade opens; ``scatter`` is that of single series, as a share of their volume."""

    value: float
    standard_error: float
    source: Literal["estimate", "setting"]
    scatter: float

    @property
    def ratio(self) -> float:
        """Change of open interest per contract traded."""
        return 2.0 * self.value - 1.0


class OpenInterest(NamedTuple):
    """Sums over the series that have not settled; ``None`` where no series has had a print."""

    printed: float | None
    estimate: float | None
    standard_error: float | None
    missing: int
    share: OpeningShare
    clipped_series: tuple[int, int]  # of the flow and the weighted book
    clipped_contracts: tuple[float, float]


def learn_opening(change: float, volume: float, date: int, times: int, market: np.void) -> None:
    """Take one series' change of open interest between two prints and the volume that was traded between them.

    ``times`` is 1, or -1 to forget what an earlier print of the same trading date had said.
    """
    sums = market["opening_sums"]
    if date > market["opening_date"]:
        sums[:2] *= DATE_KEEP
        sums[2:] *= DATE_KEEP * DATE_KEEP
        market["opening_date"] = date
    if abs(change) > volume:
        # Exercise, an adjustment, or trades that never came here: it says nothing of those that did.
        market["flags"][OPEN_INTEREST_BEYOND_VOLUME] += max(times, 0)
    elif volume > 0.0:
        market["opening_series"] += times
        learnt = (change, volume, change * change, change * volume, volume * volume)
        for place, amount in enumerate(learnt):
            sums[place] += times * amount


def opening_share(market: np.void, parameters: Parameters) -> OpeningShare:
    """The measured share where it is surer than the setting, else the setting."""
    if market["opening_series"] >= SERIES_MIN:
        change, volume, change_squared, change_volume, volume_squared = market["opening_sums"].tolist()
        ratio = change / volume
        squares = max(change_squared - 2.0 * ratio * change_volume + ratio * ratio * volume_squared, 0.0)
        error = 0.5 * math.sqrt(squares) / volume
        if error < parameters.opening_share_standard_error:
            return OpeningShare(0.5 + 0.5 * ratio, error, "estimate", math.sqrt(squares / volume_squared))
    return OpeningShare(parameters.opening_share, parameters.opening_share_standard_error, "setting", 0.0)


def series_estimate(contract: np.void, share: OpeningShare) -> tuple[float, float]:
    """Estimate and standard error of one series; NaN where it has had no print. The error is at most its volume."""
    volume = float(contract["volume"])
    error = min(math.hypot(2.0 * share.standard_error, share.scatter), 1.0) * volume
    return float(open_interest.estimate(contract["open_interest"], volume, share.ratio)), error


def read_open_interest(state: ContractState, parameters: Parameters) -> OpenInterest:
    """Sums over all series. The error of the share is common to them; the scatter of each is its own."""
    market = state.market[0]
    share = opening_share(market, parameters)
    if market["open_interest_valid"] == 0:
        open_interest.total_open_interest(market, state.contracts, share.ratio)
    totals = market["open_interest_totals"].tolist()
    known = totals[open_interest.PRINTED] > 0
    common = 2.0 * share.standard_error * totals[open_interest.COMMON_ERROR]
    own = share.scatter * math.sqrt(totals[open_interest.OWN_SQUARES])
    first, excess = open_interest.CLIPPED, open_interest.EXCESS
    return OpenInterest(
        printed=totals[open_interest.OPEN_INTEREST] if known else None,
        estimate=totals[open_interest.ESTIMATE] if known else None,
        standard_error=math.hypot(common, own) if known else None,
        missing=int(totals[open_interest.MISSING]),
        share=share,
        clipped_series=(int(totals[first]), int(totals[first + 1])),
        clipped_contracts=(totals[excess], totals[excess + 1]),
    )


def clipped(found: OpenInterest, book: int) -> tuple[int, float]:
    """Series and contracts of one book that a print has cut off; the naive book is never cut."""
    place = book - FLOW
    return (found.clipped_series[place], found.clipped_contracts[place]) if place >= 0 else (0, 0.0)
