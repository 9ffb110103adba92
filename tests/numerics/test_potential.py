"""The potential against a dense solve, scipy's banded solver and its own other half."""

import math

import numpy as np
import pytest
from scipy.linalg import solve_banded

from dhpe.numerics.potential import amihud_profile, decay_per_step, force, green_potential, tridiagonal_potential

STEP = 1e-3
LENGTH = 0.01
LAMBDA = 8e-13
SCREENING = 1.0 / (LAMBDA * LENGTH**2)


def a_source(points: int = 201, seed: int = 3) -> np.ndarray:
    """Hedge pressures of both signs in the size of an index book, USD per unit log return."""
    print("seed", seed)  # noqa: T201
    generator = np.random.default_rng(seed)
    return 1e11 * np.convolve(generator.standard_normal(points + 8), np.ones(9) / 9, mode="valid")


def solved(source: np.ndarray, lambdas: np.ndarray) -> np.ndarray:
    """The kernel's potential."""
    out, work = np.empty(len(source)), np.empty(len(source))
    tridiagonal_potential(source, lambdas, STEP, SCREENING, work, out)
    return out


@pytest.mark.parametrize("points", [2, 3, 64, 201])
@pytest.mark.parametrize("length", [2e-4, 0.01, 0.2])
def test_transform_and_direct_solve_agree_to_round_off_where_lambda_is_constant(points: int, length: int) -> None:
    """The discrete kernel is the exact inverse of the discrete equation, ends included, as MODEL.md section 5 says."""
    source = a_source(points)
    out, work = np.empty(points), np.empty(points)
    tridiagonal_potential(source, np.full(points, LAMBDA), STEP, 1.0 / (LAMBDA * length**2), work, out)
    found = green_potential(source, STEP, LAMBDA, length)
    assert np.abs(found - out).max() <= 1e-11 * np.abs(out).max()


def test_a_single_charge_decays_by_the_screening_length() -> None:
    """Its potential is lambda h^2/(2 sinh mu) e^(-mu|j|); the continuous kernel is O(m^2 h^2) away."""
    source = np.zeros(201)
    source[100] = 1.0
    found = green_potential(source, STEP, LAMBDA, LENGTH)
    mu = decay_per_step(STEP, LENGTH)
    steps = np.abs(np.arange(201) - 100)
    exact = LAMBDA * STEP**2 / (2 * math.sinh(mu)) * np.exp(-mu * steps)
    assert found == pytest.approx(exact, rel=1e-9, abs=1e-15 * exact.max())
    continuous = STEP * LAMBDA * LENGTH / 2 * np.exp(-steps * STEP / LENGTH)
    assert np.abs(found - continuous).max() <= (STEP / LENGTH) ** 2 * continuous.max()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lambda_that_varies_is_solved_as_by_scipy(seed: int) -> None:
    """Against LAPACK's banded solver on the same conservative differences, written with numpy."""
    generator = np.random.default_rng(seed)
    lambdas = LAMBDA * np.exp(generator.standard_normal(201))
    between = 2.0 / (lambdas[:-1] + lambdas[1:]) / STEP**2
    diagonal = np.full(201, SCREENING)
    diagonal[:-1] += between
    diagonal[1:] += between
    for end in (0, -1):
        mu = 2 * np.arcsinh(0.5 * STEP * np.sqrt(SCREENING * lambdas[end]))
        diagonal[end] += (1 - np.exp(-mu)) / (lambdas[end] * STEP**2)
    bands = np.zeros((3, 201))
    bands[0, 1:], bands[1], bands[2, :-1] = -between, diagonal, -between
    source = a_source(seed=seed)
    expected = solve_banded((1, 1), bands, source)
    assert np.abs(solved(source, lambdas) - expected).max() <= 1e-12 * np.abs(expected).max()


def test_the_ends_are_free_space() -> None:
    """A wider grid with the same lambda and no source out there changes nothing inside."""
    source = a_source()
    lambdas = LAMBDA * np.exp(np.random.default_rng(4).standard_normal(201))
    wide = solved(np.pad(source, 800), np.pad(lambdas, 800, mode="edge"))
    inside = solved(source, lambdas)
    assert np.abs(wide[800:-800] - inside).max() <= 1e-11 * np.abs(inside).max()


def test_the_force_is_the_fall_of_the_potential() -> None:
    """Central differences inside, one-sided at the ends: numpy's gradient with the other sign."""
    values = a_source()
    out = np.empty(201)
    force(values, STEP, out)
    assert out == pytest.approx(-np.gradient(values, STEP), rel=1e-12, abs=1e-6)


def test_illiquidity_is_collected_at_the_price_where_each_bar_ended() -> None:
    """Three bars of a ring that has gone round: two end at the middle bin, one a step below; one without volume."""
    returns = np.array([STEP, 0.0, -STEP, 0.0])
    volumes = np.array([2e6, 0.0, 1e6, 5e6])
    grid = math.log(5000.0) + STEP * np.arange(-2, 3)
    out, bars = np.empty(5), np.empty(5, np.int64)
    # newest first: row 0 rose to the middle; before it row 3 (no return), row 2 (fell), row 1 without volume
    amihud_profile(returns, volumes, 1, 4, math.log(5000.0), grid, out, bars)
    assert bars.tolist() == [0, 2, 1, 0, 0]
    assert out[2] == pytest.approx(STEP / 2e6)
    assert out[1] == pytest.approx((0.0 + STEP / 1e6) / 2)
    assert np.isnan(out[[0, 3, 4]]).all()
