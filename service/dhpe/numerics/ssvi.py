"""SSVI slices: total variance over log moneyness without static arbitrage.

w(k) = theta/2 (1 + rho phi k + sqrt((phi k + rho)^2 + 1 - rho^2)), k = ln(K/F) (Gatheral and Jacquier 2014, MODEL.md
section 6). With psi = theta phi a slice is also (theta, right, left), right = psi (1 + rho), left = psi (1 - rho):
twice the slopes of the wings. In these three the conditions are nearly linear.

Butterfly (Gatheral and Jacquier 2014, theorem 4.2): max(right, left) < 4 and psi max(right, left) <= 4 theta.
Calendar between neighbouring slices, each with its own rho and phi (eSSVI: Hendriks and Martini 2019, proposition 3.5;
Corbetta, Cohort, Laachir and Martini 2019): theta, right and left do not fall, which is |rho2 psi2 - rho1 psi1| <=
psi2 - psi1, necessary; together with phi that does not rise they suffice. With one rho and phi a law of theta it is the
condition of Gatheral and Jacquier's theorem 4.1.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import borrowing_kernel, kernel

BY_EXPIRY: Final = 0
"""Each expiry has its own rho and phi, kept between its neighbours."""
POWER_LAW: Final = 1
"""phi = eta theta^-gamma (1 + theta)^(gamma - 1)."""
HESTON_LIKE: Final = 2
"""phi = (1 - (1 - e^-y)/y)/y, y = lambda theta; never above a half, so that it suits no short smile."""
PHI_LAWS: Final = ("by_expiry", "power_law", "heston_like")

THETA: Final = 0
RIGHT: Final = 1
LEFT: Final = 2

WING_MAX: Final = 4.0 * (1.0 - 1e-9)
WING_FLOOR: Final = 1e-9
RHO_MAX: Final = 0.999
SCALE_MIN: Final = 1e-3
SCALE_MAX: Final = 1e4
POWER_MIN: Final = 1e-3
POWER_MAX: Final = 0.5
SMALL: Final = 1e-2

GRID_DEVIATIONS: Final = 10.0
GRID_STEPS: Final = 80
ROUND_OFF: Final = 1e-10


@borrowing_kernel
def total_variance(theta: float, rho: float, phi: float, k: float) -> float:
    """w(k); theta at k = 0."""
    x = phi * k
    return 0.5 * theta * (1.0 + rho * x + math.sqrt(x * x + 2.0 * rho * x + 1.0))


@kernel
def power_law(theta: float, eta: float, gamma: float) -> float:
    """phi(theta) of the power law."""
    return eta * math.exp(-gamma * math.log(theta) + (gamma - 1.0) * math.log1p(theta))


@kernel
def heston_like(y: float) -> tuple[float, float]:
    """(phi, d phi / d y) at y = lambda theta; a series where the differences would cancel."""
    if y < SMALL:
        value = 0.5 + y * (-1.0 / 6.0 + y * (1.0 / 24.0 + y * (-1.0 / 120.0 + y / 720.0)))
        return value, -1.0 / 6.0 + y * (1.0 / 12.0 + y * (-1.0 / 40.0 + y / 180.0))
    lost = -math.expm1(-y)
    return (1.0 - lost / y) / y, (2.0 * lost / y - 1.0 - math.exp(-y)) / (y * y)


@kernel
def phi_of(theta: float, shape: NDArray[np.float64], law: int) -> float:
    """Curvature phi of a law with ``shape`` (rho, eta or lambda, gamma)."""
    if law == POWER_LAW:
        return power_law(theta, shape[1], shape[2])
    return heston_like(shape[1] * theta)[0]


@kernel
def bound_shape(shape: NDArray[np.float64], law: int) -> None:
    """Bring (rho, eta or lambda, gamma) in place to where no theta has butterfly arbitrage.

    eta (1 + |rho|) <= 2 with gamma <= 1/2; lambda >= (1 + |rho|)/4 (Gatheral and Jacquier 2014, section 4).
    """
    shape[0] = min(max(shape[0], -RHO_MAX), RHO_MAX)
    reach = 1.0 + abs(shape[0])
    if law == POWER_LAW:
        shape[1] = min(max(shape[1], SCALE_MIN), 2.0 / reach)
        shape[2] = min(max(shape[2], POWER_MIN), POWER_MAX)
    else:
        shape[1] = min(max(shape[1], 0.25 * reach), SCALE_MAX)


@kernel
def bound_slice(part: NDArray[np.float64]) -> None:
    """Shorten the wings of (theta, right, left) in place until no butterfly arbitrage is left."""
    part[RIGHT] = max(part[RIGHT], WING_FLOOR)
    part[LEFT] = max(part[LEFT], WING_FLOOR)
    steep = max(part[RIGHT], part[LEFT])
    psi = 0.5 * (part[RIGHT] + part[LEFT])
    factor = min(WING_MAX / steep, math.sqrt(WING_MAX * part[THETA] / (psi * steep)))
    if factor < 1.0:
        part[RIGHT] = max(part[RIGHT] * factor, WING_FLOOR)
        part[LEFT] = max(part[LEFT] * factor, WING_FLOOR)


@kernel
def _inside(earlier: NDArray[np.float64], part: NDArray[np.float64], share: float) -> bool:
    right = earlier[RIGHT] + share * (part[RIGHT] - earlier[RIGHT])
    left = earlier[LEFT] + share * (part[LEFT] - earlier[LEFT])
    steep = max(right, left)
    calendar = (right + left) * earlier[THETA] <= (earlier[RIGHT] + earlier[LEFT]) * part[THETA]
    return calendar and steep <= WING_MAX and 0.5 * (right + left) * steep <= WING_MAX * part[THETA]


@kernel
def follow(earlier: NDArray[np.float64], part: NDArray[np.float64]) -> None:
    """Bring a later slice in place to where it has no calendar arbitrage with an earlier one, nor a butterfly.

    No coordinate falls; then its wings go towards the earlier ones until phi does not rise. The earlier wings
    themselves are always allowed, so that there is an answer.
    """
    for column in range(3):
        part[column] = max(part[column], earlier[column])
    if _inside(earlier, part, 1.0):
        return
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        if _inside(earlier, part, middle):
            low = middle
        else:
            high = middle
    part[RIGHT] = earlier[RIGHT] + low * (part[RIGHT] - earlier[RIGHT])
    part[LEFT] = earlier[LEFT] + low * (part[LEFT] - earlier[LEFT])


@kernel
def density_factor(theta: float, rho: float, phi: float, k: float) -> float:
    """Durrleman's g(k): not negative where there is no butterfly arbitrage (Gatheral and Jacquier 2014, lemma 2.2)."""
    x = phi * k
    root = math.sqrt(x * x + 2.0 * rho * x + 1.0)
    w = 0.5 * theta * (1.0 + rho * x + root)
    slope = 0.5 * theta * phi * (rho + (x + rho) / root)
    bend = 0.5 * theta * phi * phi * (1.0 - rho * rho) / (root * root * root)
    first = 1.0 - 0.5 * k * slope / w
    return first * first - 0.25 * slope * slope * (1.0 / w + 0.25) + 0.5 * bend


@kernel
def _earlier(expiries: NDArray[np.void], count: int, row: int) -> int:
    """The last fitted expiry before that of ``row``, -1 none."""
    found = -1
    for other in range(count):
        settles_ns = expiries[other]["settles_ns"]
        if settles_ns >= expiries[row]["settles_ns"] or not expiries[other]["atm_total_variance"] > 0.0:
            continue
        if found < 0 or settles_ns > expiries[found]["settles_ns"]:
            found = other
    return found


@kernel
def count_violations(expiries: NDArray[np.void], count: int, out: NDArray[np.int64]) -> None:
    """Count, for each expiry, the grid points with a negative density or less variance than the expiry before.

    The grid goes ten at-the-money deviations either way in steps of a quarter. ``out`` is (count,), 0 where unfitted.
    """
    for row in range(count):
        out[row] = 0
        expiry = expiries[row]
        theta, rho, phi = expiry["atm_total_variance"], expiry["ssvi_rho"], expiry["curvature"]
        if not theta > 0.0:
            continue
        before = _earlier(expiries, count, row)
        for step in range(-GRID_STEPS // 2, GRID_STEPS // 2 + 1):
            k = math.sqrt(theta) * GRID_DEVIATIONS * step / (GRID_STEPS // 2)
            if density_factor(theta, rho, phi, k) < -ROUND_OFF:
                out[row] += 1
            if before >= 0:
                near = expiries[before]
                least = total_variance(near["atm_total_variance"], near["ssvi_rho"], near["curvature"], k)
                if total_variance(theta, rho, phi, k) < least * (1.0 - ROUND_OFF):
                    out[row] += 1
