"""``stickiness = "delta"`` governs the published numbers: between quotes the vols move with the forward."""

import math

import msgspec
import numpy as np
import pytest

import naive
from dhpe.columns import empty_batch
from dhpe.engine import Engine
from dhpe.numerics.panel_check import largest_error
from dhpe.numerics.smile import smile_vol
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from option_chain import MS, NAME, START_NS, YEAR_NS, batch, contracts, option_quotes, spot_quote

STRIKES = (90.0, 94.0, 97.0, 100.0, 103.0, 106.0, 110.0)


def parameters(stickiness: str) -> Parameters:
    """Every tick published, impact told."""
    return Parameters(
        pressure_interval_ms=0,
        revalue_interval_ms=1,
        kyle_lambda=1e-12,
        kyle_lambda_standard_error=1e-13,
        stickiness=stickiness,
    )


def records() -> list[dict]:
    """A skewed chain, fitted after ten seconds; then spot falls by 2 % and nobody quotes an option."""

    def vol(k: float) -> float:
        return 0.20 - 0.4 * k

    later = [quote | {"ts_event_ns": START_NS + 11_000 * MS} for quote in option_quotes(STRIKES, 100.0, START_NS, vol)]
    return [
        spot_quote(100.0),
        *contracts(STRIKES, -500.0),
        *option_quotes(STRIKES, 100.0, START_NS, vol),
        *later,
        {"kind": "clock", "ts_event_ns": START_NS + 12_000 * MS},
        *(spot_quote(100.0 - 0.2 * step, ts_event_ns=START_NS + (12_000 + 100 * step) * MS) for step in range(1, 11)),
    ]


def played(stickiness: str, pieces: int = 1) -> tuple[Engine, list[Pressure]]:
    """An engine and what it published, the records in so many steps."""
    engine, whole = Engine(parameters(stickiness)), batch(records())
    states = []
    for part in np.array_split(whole.events, pieces):
        outputs = engine.step(empty_batch(), whole._replace(events=part)).outputs
        states.extend(output for output in outputs if isinstance(output, Pressure))
    return engine, states


def slow_gamma(engine: Engine, spot: float, ts_ns: int) -> float:
    """The gamma field by the formulas alone: each vol at its strike's new distance from the forward."""
    state = engine.underlyings[NAME].book.state
    total = 0.0
    for contract in state.contracts[: len(engine.underlyings[NAME].book)]:
        expiry = state.expiries[contract["expiry"]]
        tau = (int(contract["settles_ns"]) - ts_ns) / YEAR_NS
        growth = float(expiry["basis"] + expiry["carry"] * tau)
        here, there = (contract["log_strike"] - math.log(at) - growth for at in (100.0, spot))
        vol = float(contract["vol"] * smile_vol(expiry, there) / smile_vol(expiry, here))
        own_spot = spot * math.exp(expiry["basis"])
        yielded = float(expiry["rate"] - expiry["carry"])
        terms = (own_spot, float(contract["strike"]), tau, float(expiry["rate"]), yielded, vol, 1)
        total += contract["position"][2] * naive.plain_gamma(terms) * own_spot**2 * contract["multiplier"]
    return total


def test_the_headline_follows_the_smile_as_spot_runs() -> None:
    """Tick by tick, through several windows of the panel, against the formulas; sticky strike says something else."""
    engine, states = played("delta")
    _, by_strike = played("strike")
    assert states[-1].spot == pytest.approx(98.0)
    for state in states[-10:]:
        assert state.gamma_field == pytest.approx(slow_gamma(engine, state.spot, state.ts_event_ns), rel=1e-6)
    assert states[-11].gamma_field == pytest.approx(by_strike[-11].gamma_field, rel=1e-6)
    assert abs(states[-1].gamma_field / by_strike[-1].gamma_field - 1) > 0.01


def test_the_self_check_knows_the_moving_vols() -> None:
    """The recomputation that guards the panel prices as the panel does."""
    engine, _ = played("delta")
    underlying = engine.underlyings[NAME]
    underlying.refresh()
    state = underlying.book.state
    assert largest_error(state.market[0], state.contracts, state.expiries, state.panel, 300_000 * MS) < 1e-7


def test_the_cut_into_steps_changes_no_bit() -> None:
    """As under sticky strike."""
    whole, pieces = (played("delta", count)[1] for count in (1, 40))
    assert [msgspec.json.encode(state) for state in whole] == [msgspec.json.encode(state) for state in pieces]
