"""Single records and what follows from them: spot, quality, flow, gain, and what is refused."""

import math
from typing import Any

import msgspec
import pytest

from dhpe.alerts import alert_id
from dhpe.columns import Batch, empty_batch
from dhpe.edge.decode import decode
from dhpe.engine import Engine, StepResult
from dhpe.numerics.state import NS_PER_S
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from same_state import differences

START_NS = 1_790_000_000 * NS_PER_S
SETTLES_NS = START_NS + 30 * 86_400 * NS_PER_S
EVERY_TICK = Parameters(pressure_interval_ms=0, revalue_interval_ms=1)
MS = 1_000_000


def batch(records: list[dict[str, Any]]) -> Batch:
    """Records through the wire's own door, one message and one millisecond each."""
    messages = [
        (
            place,
            None,
            msgspec.json.encode({"underlying": "XYZ", "ts_event_ns": START_NS + place * MS} | record),
            None,
            None,
        )
        for place, record in enumerate(records)
    ]
    decoded = decode(messages, "ticks")
    assert decoded.rejects == []
    return decoded.batch


def run(records: list[dict[str, Any]], parameters: Parameters = EVERY_TICK) -> StepResult:
    """One step of a new engine."""
    return Engine(parameters).step(empty_batch(), batch(records))


def last(result: StepResult) -> Pressure:
    """The last published state."""
    return [output for output in result.outputs if isinstance(output, Pressure)][-1]


def quote(bid: float, ask: float, **more: Any) -> dict[str, Any]:
    """A best quote of the underlying, a hundred on each side."""
    return {"kind": "quote", "bid": bid, "bid_size": 100, "ask": ask, "ask_size": 100} | more


def chain(position: float, strikes: tuple[float, ...] = (95.0, 100.0, 105.0)) -> list[dict[str, Any]]:
    """Calls and puts at 20 points of vol around a spot of 100, dealers holding ``position`` of each."""
    records: list[dict[str, Any]] = [quote(99.95, 100.05)]
    for strike in strikes:
        for right in "CP":
            symbol = f"{right}{strike:g}"
            records.append(
                {
                    "kind": "contract",
                    "symbol": symbol,
                    "right": right,
                    "strike": strike,
                    "multiplier": 100,
                    "exercise": "european",
                    "settles_ns": SETTLES_NS,
                }
            )
            records.append({"kind": "dealer_position", "symbol": symbol, "position": position})
            mid = price(100.0, strike, 30 / 365, 0.20, 1 if right == "C" else -1)
            records.append(
                {
                    "kind": "option_quote",
                    "symbol": symbol,
                    "bid": mid - 0.01,
                    "bid_size": 5,
                    "ask": mid + 0.01,
                    "ask_size": 5,
                }
            )
    return [*records, {"kind": "clock", "ts_event_ns": START_NS + 1000 * MS}]


def price(spot: float, strike: float, tau: float, vol: float, right: int) -> float:
    """Black-Scholes without rates."""
    deviation = vol * math.sqrt(tau)
    d1 = math.log(spot / strike) / deviation + deviation / 2
    share = 0.5 * math.erfc(-right * d1 / math.sqrt(2))
    cash = 0.5 * math.erfc(-right * (d1 - deviation) / math.sqrt(2))
    return right * (spot * share - strike * cash)


def test_before_anything_is_known_every_number_is_null_with_a_reason() -> None:
    """Never 0, never a guess."""
    state = last(run([{"kind": "clock"}]))
    assert state.quality.status == "stale"
    assert {"no_contracts", "spot_unknown", "lambda_unknown", "beta_unknown"} <= set(state.quality.reasons)
    for name in ("spot", "gamma_field", "feedback_gain", "amplification", "kyle_lambda", "gamma_flip", "dealer_risk"):
        assert getattr(state, name) is None


@pytest.mark.parametrize(
    ("records", "spot", "source"),
    [
        ([quote(99, 101)], 100.0, "quote"),
        ([quote(99, 101), quote(102, 101)], 100.0, "quote"),  # a crossed quote is no spot
        ([quote(99, 101), {"kind": "trade", "price": 105, "size": 1}], 100.0, "quote"),
        ([{"kind": "trade", "price": 105, "size": 1}], 105.0, "trade"),
        ([{"kind": "index_value", "name": "XYZ", "value": 98}], 98.0, "index"),
        ([{"kind": "index_value", "name": "VIX", "value": 18}], None, None),
        ([{"kind": "depth", "bids": [[99, 1]], "asks": [[100, 1]], "snapshot": True}], 99.5, "quote"),
        ([quote(99, 101), {"kind": "clock", "ts_event_ns": START_NS + 61 * NS_PER_S}], None, None),
        (
            [quote(99, 101), {"kind": "trade", "price": 105, "size": 1, "ts_event_ns": START_NS + 61 * NS_PER_S}],
            105.0,
            "trade",
        ),
    ],
    ids=["quote", "crossed", "quote_wins", "trade", "index", "other_index", "depth", "stale", "old_quote_gives_way"],
)
def test_spot_is_the_best_source_that_still_speaks(
    records: list[dict[str, Any]], spot: float | None, source: str | None
) -> None:
    """Mid of the last uncrossed quote, else trade, else index value; null when too old (MODEL.md section 9)."""
    state = last(run(records))
    assert (state.spot, state.spot_source) == (spot, source)
    assert (state.quality.status == "stale") == (spot is None)


@pytest.mark.parametrize(
    ("position", "risk"),
    [(-5e5, "amplifying"), (5e5, "dampening"), (-1e9, "critical")],
    ids=["short", "long", "too_short"],
)
def test_the_sign_table(position: float, risk: str) -> None:
    """Short dealers amplify, long ones damp, and past a gain of 1 there is no amplification (MODEL.md section 4)."""
    parameters = Parameters(
        pressure_interval_ms=0,
        kyle_lambda=1e-12,
        kyle_lambda_standard_error=1e-13,
        spot_vol_beta=0.0,
        spot_vol_beta_standard_error=0.0,
    )
    state = last(run(chain(position), parameters))
    assert state.gamma_field is not None
    assert state.feedback_gain is not None
    assert math.copysign(1, state.gamma_field) == math.copysign(1, position)
    assert state.feedback_gain == pytest.approx(-1e-12 * state.gamma_field, rel=1e-12)
    assert state.dealer_risk == risk
    if risk == "critical":
        assert state.amplification is None
        assert state.feedback_gain > 1
        assert "gain_reaches_one" in state.quality.reasons
    else:
        assert state.amplification == pytest.approx(1 / (1 - state.feedback_gain), rel=1e-12)
        assert state.amplification_low is not None
        assert state.amplification_high is not None
        assert state.amplification_low < state.amplification < state.amplification_high


def test_units_are_those_of_the_model() -> None:
    """One call at the money by hand: gamma S^2 M n, and each scaled number from its field."""
    state = last(run(chain(10.0, strikes=(100.0,))))
    deviation = 0.20 * math.sqrt((SETTLES_NS - START_NS) / (365 * 86_400 * NS_PER_S))
    density = math.exp(-((deviation / 2) ** 2) / 2) / math.sqrt(2 * math.pi)
    gamma_field = 2 * 10 * 100 * 100.0 * density / deviation
    assert state.gamma_field == pytest.approx(gamma_field, rel=1e-3)
    assert state.gamma_usd_per_1pct == pytest.approx(0.01 * state.gamma_field, rel=1e-12)
    assert state.gamma_usd_per_point == pytest.approx(state.gamma_field / 100.0, rel=1e-12)
    assert state.vanna_field is not None
    assert state.vanna_usd_per_vol_point == pytest.approx(0.01 * state.vanna_field, rel=1e-12)
    assert state.charm_field is not None
    assert state.charm_usd_per_minute == pytest.approx(state.charm_field / 525_600, rel=1e-12)


def test_an_implausible_gain_on_an_unanchored_book_is_said() -> None:
    """|gain| > 0.8 without a dealer_position: degraded, and the number stays visible."""
    records = [
        record | {"kind": "open_interest", "trading_date": "2026-09-21", "open_interest": 5e8}
        if record["kind"] == "dealer_position"
        else record
        for record in chain(0.0, strikes=(100.0,))
        if record.get("symbol") != "P100"
    ]
    for record in records:
        record.pop("position", None)
    state = last(run(records, Parameters(pressure_interval_ms=0, kyle_lambda=1e-12)))
    assert state.feedback_gain is not None
    assert abs(state.feedback_gain) > 0.8
    assert state.quality.status == "degraded"
    assert "gain_implausible" in state.quality.reasons


def test_what_is_refused_is_named_and_the_rest_goes_on() -> None:
    """Unknown contract and repeated sequence: each its reason, place and neighbour untouched."""
    trade = {"kind": "trade", "price": 100, "size": 1, "source": "feed", "sequence": 7}
    result = run([quote(99, 101), {"kind": "option_trade", "symbol": "NO", "price": 1, "size": 1}, trade, trade])
    assert [(reject.offset, reject.reason) for reject in result.rejects] == [(3, "duplicate"), (1, "unknown_contract")]
    assert len(result.labels) == 1
    assert last(result).spot == 100.0


def test_odd_quotes_are_taken_with_a_flag() -> None:
    """Crossed, locked and bid-less quotes are facts of the market."""
    result = run([quote(99, 101), quote(102, 101), quote(101, 101)])
    assert result.flags == {"crossed_quote": 1, "locked_quote": 1}


def test_a_clock_for_everybody_reaches_every_underlying() -> None:
    """One record moves the event time of all underlyings of the partition."""
    records = [quote(99, 101), quote(49, 51) | {"underlying": "ABC"}, {"kind": "clock", "underlying": "*"}]
    states = [output for output in run(records).outputs if isinstance(output, Pressure)]
    assert {state.underlying: state.ts_event_ns for state in states} == dict.fromkeys(("XYZ", "ABC"), START_NS + 2 * MS)


def test_underlyings_do_not_touch_each_other() -> None:
    """The outputs of one are the same bytes whether the other is there or not."""
    alone = chain(-1e5)
    other = [record | {"underlying": "ABC"} for record in chain(7e4, strikes=(90.0, 100.0))]
    mixed = sorted(
        [record | {"ts_event_ns": START_NS + place * MS} for place, record in enumerate(alone)]
        + [record | {"ts_event_ns": START_NS + place * MS} for place, record in enumerate(other)],
        key=lambda record: record["ts_event_ns"],
    )

    def of_xyz(result: StepResult) -> list[bytes]:
        return [
            msgspec.json.encode(msgspec.structs.replace(output, offsets=None))  # type: ignore[arg-type]
            for output in result.outputs
            if output.underlying == "XYZ"
        ]

    assert of_xyz(run(mixed)) == of_xyz(run([r | {"ts_event_ns": START_NS + p * MS} for p, r in enumerate(alone)]))


def test_the_impact_regression_finds_a_known_lambda() -> None:
    """Ten-second bars whose return is lambda times the signed flow, plus noise."""
    records: list[dict[str, Any]] = []
    log_spot, kyle_lambda = math.log(100.0), 2e-9
    for bar in range(200):
        size = 1000.0 * ((bar * 7919) % 13 - 6)
        log_spot += kyle_lambda * size * 100.0 + 1e-5 * ((bar * 104729) % 7 - 3)
        mid = math.exp(log_spot)
        ts_ns = START_NS + bar * 10 * NS_PER_S
        if size:
            side = "buy" if size > 0 else "sell"
            records.append({"kind": "trade", "price": 100.0, "size": abs(size), "side": side, "ts_event_ns": ts_ns})
        records.append(quote(mid - 0.01, mid + 0.01, ts_event_ns=ts_ns + NS_PER_S))
    state = last(run(records, Parameters()))
    assert state.kyle_lambda_source == "regression"
    assert state.kyle_lambda is not None
    assert state.kyle_lambda_standard_error is not None
    assert abs(state.kyle_lambda - kyle_lambda) < 3 * state.kyle_lambda_standard_error
    assert state.impact_intensity == pytest.approx(state.kyle_lambda * state.spot, rel=1e-12)


def test_alert_ids_depend_on_the_market_alone() -> None:
    """Offsets and partitions are not in the id, so any log of the same records gives the same ids."""
    assert alert_id("SPX", "bulldozer", 1, 2) == alert_id("SPX", "bulldozer", 1, 2)
    assert (
        len({alert_id("SPX", "bulldozer", 1, 2), alert_id("SPX", "bulldozer", 1, 3), alert_id("SPX", "normal", 1, 2)})
        == 3
    )


@pytest.mark.parametrize("first_kind", ["quote", "depth"])
def test_instruments_are_listed_as_they_are_mentioned_however_the_records_are_cut(first_kind: str) -> None:
    """A decoder names a trade's instrument before a quote's: that order is the batch's own and must not be seen."""
    first = (
        quote(99.9, 100.1) if first_kind == "quote" else {"kind": "depth", "bids": [[99.9, 1]], "asks": [[100.1, 1]]}
    )
    whole = batch([first | {"instrument": "ES"}, {"kind": "trade", "price": 100, "size": 1, "instrument": "SPY"}])
    one, two = Engine(EVERY_TICK), Engine(EVERY_TICK)
    one.step(empty_batch(), whole)
    for row in range(2):
        two.step(empty_batch(), whole._replace(events=whole.events[row : row + 1]))
    assert list(differences(one, two)) == []
