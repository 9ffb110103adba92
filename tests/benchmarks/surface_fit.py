"""`make bench`: a warm refit of the surface, 6 expiries of 40 quotes, beside fast-vollib's calibrator in the same run.

The vols of a true surface with noise; from one fit to the next all of them move, so that a warm start has work to do.
Both are judged by the same measure: the vega-weighted error in vol points against the quotes.
"""

import math
import statistics
import time
from collections.abc import Callable

import numpy as np
from fast_vollib.surface import SurfaceObservations
from fast_vollib.surface.fitting.parametric import SSVICalibrator
from numpy.typing import NDArray

from chains import NS_PER_DAY, SESSION_NS, Chain, Option, build
from dhpe.numerics.smile import BetaRule, fit_smiles, smile_vol
from dhpe.numerics.ssvi import BY_EXPIRY, POWER_LAW, power_law
from naive import ssvi

SPOT = 5000.0
DAYS = (7, 14, 30, 60, 120, 250)
QUOTES = 40
RHO, ETA, GAMMA, LEVEL = -0.6, 1.1, 0.45, 0.16
NOISE = 0.01
RULE = BetaRule(1.5, 0.5, math.nan, math.nan)
OURS, THEIRS = 60, 5


def quotes(seed: int) -> tuple[NDArray[np.float64], ...]:
    """(k, vol, tau) of a noisy power law surface, two deviations either way; its level is drawn with the seed."""
    generator = np.random.default_rng(seed)
    level = LEVEL * (1 + 0.02 * generator.standard_normal())
    found = []
    for days in DAYS:
        tau = days / 365
        theta = level**2 * tau
        k = np.linspace(-2, 2, QUOTES) * LEVEL * math.sqrt(tau)
        vol = np.sqrt(ssvi(theta, RHO, power_law(theta, ETA, GAMMA), k) / tau)
        found.append((k, vol * (1 + NOISE * generator.standard_normal(QUOTES)), np.full(QUOTES, tau)))
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))


def chain_of(columns: tuple[NDArray[np.float64], ...]) -> Chain:
    """The same as contracts."""
    return build(
        [
            Option(SESSION_NS + round(tau * 365) * NS_PER_DAY, SPOT * math.exp(k), 1 if k >= 0 else -1, 1, 1.1, vol=vol)
            for k, vol, tau in zip(*columns, strict=True)
        ],
        SESSION_NS,
    )


def weighted_error(columns: tuple[NDArray[np.float64], ...], fitted: NDArray[np.float64]) -> float:
    """Vega-weighted root mean square error in vol points."""
    k, vol, tau = columns
    weight = np.exp(-((k / (LEVEL * np.sqrt(tau))) ** 2) / 2)
    return 100 * math.sqrt(np.average((fitted - vol) ** 2, weights=weight))


def refit(law: int) -> tuple[float, float]:
    """(median seconds of a warm refit, its error)."""
    sets = [quotes(seed) for seed in range(4)]
    chain = chain_of(sets[0])
    count, expiries = chain.sizes

    def fit() -> None:
        fit_smiles(chain.contracts, count, chain.expiries, expiries, SPOT, SESSION_NS, RULE, law)

    fit()
    taken = []
    for turn in range(OURS):
        chain.contracts["vol"] = sets[turn % len(sets)][1]
        taken.append(seconds_of(fit))
    columns = sets[(OURS - 1) % len(sets)]
    found = [smile_vol(chain.expiries[row["expiry"]], k) for row, k in zip(chain.contracts, columns[0], strict=True)]
    return statistics.median(taken), weighted_error(columns, np.array(found))


def calibrate() -> tuple[float, float]:
    """(median seconds, error) of the other one, with the weights that its squares in total variance need."""
    columns = quotes(3)
    k, vol, tau = columns
    weight = np.exp(-((k / (LEVEL * np.sqrt(tau))) ** 2) / 2) / (2 * vol * tau) ** 2
    observations = SurfaceObservations(k=k, T=tau, iv=vol, weight=weight)
    calibrator = SSVICalibrator()
    surface = calibrator.fit(observations)
    taken = [seconds_of(lambda: calibrator.fit(observations)) for _ in range(THEIRS)]
    return statistics.median(taken), weighted_error(columns, np.sqrt(surface.total_variance(k, tau) / tau))


def seconds_of(action: Callable[[], object]) -> float:
    """What one call takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def main() -> None:
    """Measure, then print."""
    peer_s, peer_error = calibrate()
    print("| surface, 6 expiries of 40 quotes | one fit | error, vol points | against fast-vollib |\n|---|---|---|---|")
    print(f"| fast-vollib, power law | {1e3 * peer_s:.0f} ms | {peer_error:.3f} | |")
    for name, law in (("power law", POWER_LAW), ("each expiry its own", BY_EXPIRY)):
        ours_s, error = refit(law)
        print(f"| warm refit, {name} | {1e6 * ours_s:.0f} µs | {error:.3f} | {peer_s / ours_s:,.0f} times faster |")


if __name__ == "__main__":
    main()
