"""Liquidity against the same time of earlier days: the day under way never enters its own baseline."""

import pytest

from dhpe.columns import empty_batch
from dhpe.engine import Engine
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from dhpe.usual_liquidity import DAYS, Ratios, UsualLiquidity
from option_chain import NAME, batch, spot_quote

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
MONDAY_NS = 20_000 * DAY_NS
BAR_NS = 10 * SECOND_NS


def half_hour(usual: UsualLiquidity, day: int, bucket: int, kyle_lambda: float | None, volume: float) -> None:
    """Three bars in one half hour of a day."""
    for bar in (1, 2, 180):
        usual.observe(MONDAY_NS + day * DAY_NS + bucket * 1800 * SECOND_NS + bar * BAR_NS, kyle_lambda, volume)


def test_the_first_day_has_nothing_to_be_held_against() -> None:
    """However long it is."""
    usual = UsualLiquidity()
    for bucket in range(48):
        half_hour(usual, 0, bucket, 1e-12, 5e6)
        assert usual.ratios(1e-12) == (None, None)


def test_now_is_held_against_the_same_half_hour_of_earlier_days() -> None:
    """The mean of the days' means; other half hours and today do not matter."""
    usual = UsualLiquidity()
    for day, impact in enumerate((1e-12, 3e-12)):
        half_hour(usual, day, 27, impact, 1e6 * (day + 1))
        half_hour(usual, day, 28, 9e-12, 9e6)
    half_hour(usual, 2, 27, 7e-12, 6e6)
    assert usual.ratios(4e-12) == (pytest.approx(2.0), pytest.approx(4.0))
    half_hour(usual, 2, 27, 100.0, 6e6)
    assert usual.ratios(4e-12) == (pytest.approx(2.0), pytest.approx(4.0))


def test_what_is_unknown_or_never_traded_has_no_ratio() -> None:
    """No impact today, no impact before, no volume before: null, never 0 and never infinite."""
    usual = UsualLiquidity()
    half_hour(usual, 0, 3, None, 0.0)
    half_hour(usual, 1, 3, 1e-12, 5.0)
    assert usual.ratios(1e-12) == (None, None)
    assert usual.ratios(None) == Ratios(None, None)


def test_days_older_than_twenty_are_forgotten() -> None:
    """The twenty-first takes the place of the first."""
    usual = UsualLiquidity()
    half_hour(usual, 0, 10, 1.0, 1e9)
    for day in range(1, DAYS + 1):
        half_hour(usual, day, 10, 2.0, 3.0)
    half_hour(usual, DAYS + 1, 10, 2.0, 3.0)
    assert usual.ratios(2.0) == (pytest.approx(1.0), pytest.approx(1.0))


def test_the_engine_publishes_both_ratios_from_the_second_day_on() -> None:
    """Twice the volume at twice the spread and the same depth: both are 2, however the records are cut."""
    records = []
    for day in (0, 1):
        for bar in range(1, 40):
            at = {"ts_event_ns": MONDAY_NS + day * DAY_NS + bar * BAR_NS}
            spread = {"bid": 99.95 - 0.05 * day, "ask": 100.05 + 0.05 * day}
            size = 10.0 * (day + 1)
            records.append(spot_quote(100.0, **at) | spread)
            records.append({"kind": "trade", "price": 100.0, "size": size, "side": "buy"} | at)
    whole = batch(records)
    engine = Engine(Parameters(liquidity_samples_min=1e9))
    outputs = []
    for first in range(0, len(whole.events), 7):
        outputs += engine.step(empty_batch(), whole._replace(events=whole.events[first : first + 7])).outputs
    states = [output for output in outputs if isinstance(output, Pressure)]
    assert states[30].kyle_lambda_to_usual is None
    assert states[-1].underlying == NAME
    assert states[-1].kyle_lambda_source == "depth"
    assert states[-1].volume_to_usual == pytest.approx(2.0)
    assert states[-1].kyle_lambda_to_usual == pytest.approx(2.0, rel=0.05)
