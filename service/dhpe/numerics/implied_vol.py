"""Implied vol from a price, on the engine's own clock.

The solver is the Let's Be Rational kernel of ``vanilla-option-pricers`` (Jaeckel 2015), which takes the intrinsic value
off by put-call parity and inverts the out-of-the-money side. What this door adds is a reason for every price
that has no vol: no NaN is silent.
"""

import math
from typing import Final

from dhpe.numerics.jit import compiled_when_called, compiler_on, kernel

with compiler_on() as plain:
    with compiled_when_called():
        from vanilla_option_pricers import infer_bsm_implied_vol

    if plain:
        # Compiled at its first call, which our plain kernels would make too late.
        infer_bsm_implied_vol(100.0, 1.0, 100.0, 5.0, 1.0, "C", 1e-12, 1e-3, 20.0, 20)

SOLVED: Final = 0
BAD_INPUT: Final = 1
NO_TIME: Final = 2
BELOW_INTRINSIC: Final = 3
ABOVE_MAXIMUM: Final = 4
VOL_OUT_OF_RANGE: Final = 5
NO_BID: Final = 6
"""Set by the caller: a quote without a bid has no usable mid."""
CROSSED: Final = 7
"""Set by the caller: bid above ask."""
WIDE: Final = 8
"""Set by the caller: the spread is too large a part of the mid."""
NO_ASK: Final = 9
"""Set by the caller: nobody offers."""
NO_QUOTE: Final = 10
"""Set by the caller: there has been no quote."""

REASON_NAMES: Final = (
    "solved",
    "bad_input",
    "no_time",
    "below_intrinsic",
    "above_maximum",
    "vol_out_of_range",
    "zero_bid",
    "crossed_quote",
    "wide_quote",
    "no_ask",
    "no_quote",
)

VOL_MIN: Final = 1e-3
VOL_MAX: Final = 20.0
TOLERANCE: Final = 1e-12
ITERATIONS_MAX: Final = 20
ROUND_OFF: Final = 1e-13
"""Time value below this share of the price is round-off of the subtraction of the intrinsic value."""


@kernel
def invert(mid: float, forward: float, strike: float, tau: float, discount: float, right: int) -> tuple[float, int]:
    """(vol, reason): vol is NaN unless the reason is ``SOLVED``.

    mid, forward and strike in the underlying's currency, tau in years, discount = exp(-rate * tau), right +1 or -1.
    """
    finite = math.isfinite(mid) and math.isfinite(forward) and math.isfinite(strike) and math.isfinite(discount)
    if not finite or math.isnan(tau) or mid <= 0.0 or forward <= 0.0 or strike <= 0.0 or discount <= 0.0:
        return math.nan, BAD_INPUT
    if tau <= 0.0:
        return math.nan, NO_TIME
    intrinsic = discount * max(right * (forward - strike), 0.0)
    if mid - intrinsic <= ROUND_OFF * mid:
        return math.nan, BELOW_INTRINSIC
    if mid >= discount * (forward if right > 0 else strike):
        return math.nan, ABOVE_MAXIMUM
    name = "C" if right > 0 else "P"
    vol = infer_bsm_implied_vol(forward, tau, strike, mid, discount, name, TOLERANCE, VOL_MIN, VOL_MAX, ITERATIONS_MAX)
    if math.isnan(vol):
        return math.nan, VOL_OUT_OF_RANGE
    return vol, SOLVED
