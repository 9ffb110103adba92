"""The kernels of greeks, surface, impact and landscape as plain Python: the compiler changes nothing that counts."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chains
from dhpe.landscape import landscape
from dhpe.numerics import black
from dhpe.numerics.implied_vol import invert
from dhpe.numerics.liquidity import amihud, kyle_regression
from dhpe.numerics.parity import fit_forwards
from dhpe.numerics.smile import BetaRule, fit_quality, fit_smiles
from dhpe.numerics.ssvi import BY_EXPIRY
from dhpe.parameters import Parameters
from dhpe.surface import iv_index

NOW = chains.SESSION_NS
SPOT = 5000.0
EXPIRY_NUMBERS = ("rate", "carry", "basis", "atm_vol", "skew_slope", "skew_slope_standard_error", "beta", "quotes")


# vanilla-option-pricers does not import with NUMBA_DISABLE_JIT=1 (its ufuncs are compiled at import), so that its
# solver is compiled first and the compiler is switched off for our own kernels only.
PLAIN = """
import vanilla_option_pricers
vanilla_option_pricers.infer_bsm_implied_vol(100.0, 1.0, 100.0, 5.0, 1.0, "C", 1e-12, 1e-3, 20.0, 20)
from numba.core import config
config.DISABLE_JIT = 1
import json, types, test_black_uncompiled as this
assert isinstance(this.kyle_regression, types.FunctionType)
print(json.dumps(this.results()))
"""


def results() -> dict[str, list[float]]:
    """One number or more from every kernel, on a chain of 2 x 42 options quoted a cent wide."""
    options = []
    for days in (3, 70):
        tau = days / 365
        for step in range(-10, 11):
            strike = SPOT * math.exp(0.02 * step * math.sqrt(tau))
            vol = 0.15 - 0.5 * math.log(strike / SPOT)
            for right in (1, -1):
                mid = black.price(SPOT, strike, tau, 0.04, 0.01, vol, right)
                settles_ns = NOW + days * chains.NS_PER_DAY
                options.append(chains.Option(settles_ns, strike, right, mid - 0.005, mid + 0.005, right * 10.0 + step))
    chain = chains.build(options, NOW)
    contracts, expiries = chain.sizes
    fit_forwards(chain.contracts, contracts, chain.expiries, expiries, SPOT, NOW, math.nan, 0.0)
    chains.imply_vols(chain, SPOT, NOW)
    rule = BetaRule(1.5, 0.5, math.nan, math.nan)
    fit_smiles(chain.contracts, contracts, chain.expiries, expiries, SPOT, NOW, rule, BY_EXPIRY)
    quality = np.zeros((expiries, 3))
    fit_quality(chain.contracts, contracts, chain.expiries, SPOT, NOW, quality)
    found = landscape(chain.contracts, contracts, chain.expiries, expiries, 0, SPOT, NOW, Parameters())
    terms = (SPOT, 5100.0, 0.1, 0.04, 0.01, 0.2, -1)
    greeks = [f(*terms) for f in (black.price, black.delta, black.vega, black.theta, black.volga, black.speed)]
    ring = np.sin(np.arange(80.0))
    return {
        "greeks": [*greeks, *black.gamma_vanna_charm(*terms)],
        "vol": list(invert(120.0, 5000.0, 5100.0, 0.1, 0.99, -1)),
        "expiries": [float(value) for name in EXPIRY_NUMBERS for value in chain.expiries[name]],
        "quality": [float(value) for value in quality[:, :2].ravel()],
        "landscape": [*found.gamma_flips, found.call_wall, found.put_wall, found.delta_change_usd],
        "iv_index": [iv_index(chain.expiries, expiries, NOW)],
        "impact": [*kyle_regression(ring, np.cos(np.arange(80.0) ** 2), 7, 80, 0.99), amihud(ring, ring, 3, 80)],
    }


def test_the_kernels_say_the_same_without_the_compiler(project: Path) -> None:
    """In a process of its own, equal to eight digits; so no kernel leans on what only the compiler allows."""
    paths = os.pathsep.join(str(project / folder) for folder in ("service", "tests", "tests/numerics"))
    run = subprocess.run(
        [sys.executable, "-c", PLAIN],
        env=os.environ | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    plain, compiled = json.loads(run.stdout), results()
    assert set(plain) == set(compiled)
    for name, values in compiled.items():
        assert all(math.isfinite(value) for value in values), name
        assert plain[name] == pytest.approx(values, rel=1e-8, abs=1e-12), name
