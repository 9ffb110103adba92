"""The three decay winds against textbook deltas, contract by contract, and against each other."""

import math

import pytest

from dhpe.columns import empty_batch
from dhpe.engine import Engine
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from naive import plain_delta
from option_chain import MULTIPLIER, SETTLES_NS, START_NS, batch, contracts, option_quotes, spot_quote

SECOND_NS = 1_000_000_000
YEAR_S = 365 * 86_400
SPOT, VOL, POSITION, KYLE_LAMBDA = 100.0, 0.20, -500.0, 1e-9
STRIKES = (94.0, 97.0, 99.5, 102.0, 106.0)


def state(left_s: float, horizon_s: float, share: float = 1.0, weight: float = 1.0) -> Pressure:
    """What the engine publishes ``left_s`` seconds before the settlement of a flat chain."""
    now_ns = SETTLES_NS - int(left_s * SECOND_NS)
    at = {"ts_event_ns": now_ns}
    records = [
        spot_quote(SPOT, **at),
        *(record | at for record in contracts(STRIKES, POSITION)),
        *option_quotes(STRIKES, SPOT, now_ns, lambda _: VOL, **at),
        {"kind": "clock", "ts_event_ns": now_ns + SECOND_NS},
    ]
    parameters = Parameters(
        kyle_lambda=KYLE_LAMBDA,
        kyle_lambda_standard_error=0.0,
        spot_vol_beta=0.0,
        spot_vol_beta_standard_error=0.0,
        decay_wind_horizon_s=horizon_s,
        dealer_share=share,
        charm_weight=weight,
    )
    result = Engine(parameters).step(empty_batch(), batch(records))
    return [output for output in result.outputs if isinstance(output, Pressure)][-1]


def delta_shares(left_s: float) -> float:
    """Shares that the whole book is long through its options."""
    total = 0.0
    for strike in STRIKES:
        for right in (1, -1):
            total += plain_delta((SPOT, strike, left_s / YEAR_S, 0.0, 0.0, VOL, right))
    return total * POSITION * MULTIPLIER


@pytest.mark.parametrize("days", [0.5, 2, 10])
def test_the_repriced_wind_is_the_exact_change_of_delta(days: float) -> None:
    """Minus kappa times the change of the dealers' delta in USD over the hour, at constant spot and vol."""
    found = state(days * 86_400, 3600.0)
    left_s = days * 86_400 - 1.0
    change_usd = (delta_shares(left_s - 3600.0) - delta_shares(left_s)) * SPOT
    assert found.decay_wind_repriced == pytest.approx(-SPOT * KYLE_LAMBDA * change_usd, rel=2e-3)


def test_the_linear_wind_is_charm_times_the_horizon() -> None:
    """-kappa Phi_charm H / (365 * 86400), the charm by a difference of a second on either side."""
    found = state(10 * 86_400, 3600.0)
    left_s = 10 * 86_400 - 1.0
    charm = (delta_shares(left_s - 1.0) - delta_shares(left_s + 1.0)) / 2 * YEAR_S * SPOT
    assert found.charm_field == pytest.approx(charm, rel=2e-3)
    assert found.decay_wind == pytest.approx(-SPOT * KYLE_LAMBDA * charm * 3600 / YEAR_S, rel=2e-3)
    assert found.decay_wind == pytest.approx(found.decay_wind_repriced, rel=0.02)


def test_the_amplified_wind_is_the_amplification_times_the_repriced_one() -> None:
    """Short gamma: more than the repriced one."""
    found = state(2 * 86_400, 3600.0)
    assert found.amplification is not None
    assert found.amplification > 1
    assert found.decay_wind_repriced is not None
    assert found.decay_wind_amplified == pytest.approx(found.amplification * found.decay_wind_repriced, rel=1e-12)


def test_the_horizon_ends_at_the_settlement_and_charm_overstates_the_last_hour() -> None:
    """Half an hour before it: 1799 s are left, and charm times them is more than the deltas can still change."""
    found = state(1800.0, 3600.0)
    assert found.decay_wind_horizon_s == 1799.0
    change_usd = (delta_shares(0.0) - delta_shares(1799.0)) * SPOT
    assert found.decay_wind_repriced == pytest.approx(-SPOT * KYLE_LAMBDA * change_usd, rel=2e-3)
    assert found.decay_wind is not None
    assert math.isfinite(found.decay_wind)
    assert START_NS < SETTLES_NS


def test_share_and_weight_scale_every_wind_and_no_field() -> None:
    """The share takes the amplification with it, the charm weight does not."""
    plain, half = state(2 * 86_400, 3600.0), state(2 * 86_400, 3600.0, share=0.5)
    light = state(2 * 86_400, 3600.0, weight=0.25)
    assert plain.charm_field == half.charm_field == light.charm_field
    assert half.decay_wind == pytest.approx(0.5 * plain.decay_wind)
    assert half.decay_wind_repriced == pytest.approx(0.5 * plain.decay_wind_repriced)
    assert half.feedback_gain == pytest.approx(0.5 * plain.feedback_gain)
    assert light.decay_wind_amplified == pytest.approx(0.25 * plain.decay_wind_amplified)
    assert light.amplification == plain.amplification
    assert (plain.charm_weight, light.charm_weight) == (1.0, 0.25)
