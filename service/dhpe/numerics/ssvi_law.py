"""One SSVI surface with one rho and phi a law of theta, fitted to all expiries of an underlying together.

Levenberg-Marquardt on ln theta of each expiry and three numbers of shape. The matrix is an arrow: each theta meets only
its own quotes and the shape, so the thetas are eliminated and a 3 x 3 system is left, however many expiries there are.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dhpe.numerics.jit import kernel
from dhpe.numerics.ssvi import POWER_LAW, RHO_MAX, bound_shape, heston_like, phi_of, power_law
from dhpe.numerics.ssvi_fit import (
    DAMPING_MAX,
    DAMPING_MIN,
    DAMPING_START,
    GAIN_DONE,
    ITERATIONS_MAX,
    RIDGE,
    STEP_DONE,
    STEP_MAX,
    Quotes,
    solve,
)

RHO_STEP: Final = 0.3
POWER_STEP: Final = 0.1
"""At most in one iteration."""


@kernel
def _tie(rho: float, law: int) -> float:
    """Change of ln scale per rho while the scale keeps its share of the bound, which moves with rho."""
    tie = math.copysign(1.0, rho) / (1.0 + abs(rho))
    return -tie if law == POWER_LAW else tie


@kernel
def _phi_slopes(theta: float, shape: NDArray[np.float64], law: int, slopes: NDArray[np.float64]) -> float:
    """phi; ``slopes`` (3,) receives d ln phi by ln theta, by the logarithm of the scale, and by gamma."""
    if law == POWER_LAW:
        slopes[0] = -shape[2] + (shape[2] - 1.0) * theta / (1.0 + theta)
        slopes[1] = 1.0
        slopes[2] = math.log1p(theta) - math.log(theta)
        return power_law(theta, shape[1], shape[2])
    y = shape[1] * theta
    phi, by_y = heston_like(y)
    slopes[0] = y * by_y / phi
    slopes[1] = slopes[0]
    slopes[2] = 0.0
    return phi


@kernel
def _equations(
    quotes: Quotes,
    taus: NDArray[np.float64],
    thetas: NDArray[np.float64],
    shape: NDArray[np.float64],
    law: int,
    arms: NDArray[np.float64],
    core: NDArray[np.float64],
) -> float:
    """Write the arrow: ``arms`` (n, 5) = (theta theta, theta shape x 3, minus gradient), ``core`` (3, 4) the shape."""
    core[:] = 0.0
    arms[:] = 0.0
    by_phi, by = np.empty(3), np.empty(3)
    squares = 0.0
    rho = shape[0]
    tie = _tie(rho, law)
    for place in range(taus.shape[0]):
        theta, tau = thetas[place], taus[place]
        phi = _phi_slopes(theta, shape, law, by_phi)
        arm = arms[place]
        for at in range(quotes.start[place], quotes.start[place + 1]):
            x = phi * quotes.k[at]
            root = math.sqrt(x * x + 2.0 * rho * x + 1.0)
            fitted = math.sqrt(0.5 * theta * (1.0 + rho * x + root) / tau)
            scale = 0.25 * theta / (fitted * tau)
            by_log_phi = scale * x * (rho + (x + rho) / root)
            by_theta = 0.5 * fitted + by_log_phi * by_phi[0]
            by[1] = by_log_phi * by_phi[1]
            by[0] = scale * x * (1.0 + 1.0 / root) + by[1] * tie
            by[2] = by_log_phi * by_phi[2]
            miss, weight = fitted - quotes.vol[at], quotes.weight[at]
            squares += weight * miss * miss
            arm[0] += weight * by_theta * by_theta
            arm[4] -= weight * by_theta * miss
            for row in range(3):
                arm[1 + row] += weight * by_theta * by[row]
                core[row, 3] -= weight * by[row] * miss
                for column in range(3):
                    core[row, column] += weight * by[row] * by[column]
    return squares


@kernel
def _freeze(shape: NDArray[np.float64], law: int, core: NDArray[np.float64], free: NDArray[np.float64]) -> None:
    """Mark with 0 the numbers of shape that stand at a bound and would go on through it."""
    probe = np.empty(3)
    for row in range(3):
        for column in range(3):
            probe[column] = shape[column]
        push = 1e-9 if core[row, 3] > 0.0 else -1e-9
        probe[row] += push * max(abs(shape[row]), 1e-3)
        wanted = probe[row]
        bound_shape(probe, law)
        free[row] = 1.0 if probe[row] == wanted else 0.0


@kernel
def _step(
    arms: NDArray[np.float64],
    core: NDArray[np.float64],
    free: NDArray[np.float64],
    damping: float,
    system: NDArray[np.float64],
) -> bool:
    """Solve for the move of the shape, into the last column of ``system`` (3, 4)."""
    for row in range(3):
        for column in range(4):
            system[row, column] = core[row, column]
        system[row, row] = (1.0 + damping) * core[row, row] + RIDGE
    for place in range(arms.shape[0]):
        arm = arms[place]
        if arm[0] > 0.0:
            for row in range(3):
                factor = arm[1 + row] / (arm[0] * (1.0 + damping))
                for column in range(3):
                    system[row, column] -= factor * arm[1 + column]
                system[row, 3] -= factor * arm[4]
    for row in range(3):
        for column in range(3):
            if row != column:
                system[row, column] *= free[row] * free[column]
        if free[row] == 0.0:
            system[row, row] = 1.0
            system[row, 3] = 0.0
    return solve(system)


@kernel
def _move_shape(
    shape: NDArray[np.float64], law: int, system: NDArray[np.float64], trial: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Write the shape after a step, inside its bounds, into ``trial``; what of the step was done."""
    trial[0] = min(max(shape[0] + min(max(system[0, 3], -RHO_STEP), RHO_STEP), -RHO_MAX), RHO_MAX)
    carried = math.log((1.0 + abs(trial[0])) / (1.0 + abs(shape[0])))
    if law == POWER_LAW:
        carried = -carried
    trial[1] = shape[1] * math.exp(min(max(system[1, 3], -STEP_MAX), STEP_MAX) + carried)
    trial[2] = shape[2] + min(max(system[2, 3], -POWER_STEP), POWER_STEP)
    bound_shape(trial, law)
    return trial[0] - shape[0], math.log(trial[1] / shape[1]) - carried, trial[2] - shape[2]


@kernel
def fit_law(
    quotes: Quotes, taus: NDArray[np.float64], thetas: NDArray[np.float64], shape: NDArray[np.float64], law: int
) -> None:
    """Move thetas (n,) and shape (rho, eta or lambda, gamma) in place to the least squares inside the bounds.

    The scale moves as a share of its bound, so that the bounds are those of a box.
    """
    count = taus.shape[0]
    arms, core, system, free = np.empty((count, 5)), np.empty((3, 4)), np.empty((3, 4)), np.ones(3)
    trial, trial_shape = np.empty(count), np.empty(3)
    bound_shape(shape, law)
    damping = DAMPING_START
    squares = _equations(quotes, taus, thetas, shape, law, arms, core)
    for _ in range(ITERATIONS_MAX):
        _freeze(shape, law, core, free)
        if not _step(arms, core, free, damping, system):
            return
        moved = _move_shape(shape, law, system, trial_shape)
        furthest = max(abs(moved[0]), abs(moved[1]), abs(moved[2]))
        for place in range(count):
            arm = arms[place]
            push = arm[4] - arm[1] * moved[0] - arm[2] * moved[1] - arm[3] * moved[2]
            move = push / (arm[0] * (1.0 + damping)) if arm[0] > 0.0 else 0.0
            furthest = max(furthest, abs(move))
            trial[place] = thetas[place] * math.exp(min(max(move, -STEP_MAX), STEP_MAX))
        reached = _equations(quotes, taus, trial, trial_shape, law, arms, core)
        gain = squares - reached
        if gain >= 0.0:
            squares = reached
            thetas[:] = trial
            shape[:] = trial_shape
            damping = max(0.1 * damping, DAMPING_MIN)
        else:
            damping *= 10.0
            _equations(quotes, taus, thetas, shape, law, arms, core)
        if 0.0 <= gain <= GAIN_DONE * squares or furthest < STEP_DONE or damping > DAMPING_MAX:
            return


@kernel
def law_slice(theta: float, shape: NDArray[np.float64], law: int, out: NDArray[np.float64]) -> None:
    """(theta, right, left) of a law at theta, into ``out`` (3,)."""
    psi = theta * phi_of(theta, shape, law)
    out[0] = theta
    out[1] = psi * (1.0 + shape[0])
    out[2] = psi * (1.0 - shape[0])
