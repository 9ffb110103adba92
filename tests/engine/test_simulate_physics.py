"""The simulated market obeys the model: what it knows to be true can be measured in its records."""

import math
from itertools import islice

import numpy as np
import pytest

from dhpe.columns import DEPTH, INDEX_VALUE, OPTION_QUOTE, OPTION_TRADE, QUOTE, TRADE
from dhpe.numerics.black import gamma_vanna_charm, price
from dhpe.simulate import CALM, CYCLE, SimulationSettings, Truth, simulate_with_truth
from dhpe.simulate.chain import NS_PER_YEAR

START_NS = 1_786_459_800 * 1_000_000_000
MULTIPLIER = 50.0
FOREVER = (CALM._replace(duration_s=1e6, pull_per_s=0.0),)


def tape(settings: SimulationSettings, chunks: int) -> tuple[np.ndarray, np.ndarray, list[Truth]]:
    """Mid at the end of each chunk, signed flow in USD within it, and the truth."""
    mids, flows, truths = [], [], []
    for batch, sides, (truth,) in islice(simulate_with_truth(settings, START_NS), chunks):
        events = batch.events
        trade = events["kind"] == TRADE
        last = events[events["kind"] == QUOTE][-1]
        mids.append(0.5 * (last["bid"] + last["ask"]))
        flows.append((sides[trade] * events["price"][trade] * events["size"][trade]).sum() * MULTIPLIER)
        truths.append(truth)
    return np.array(mids), np.array(flows), truths


def calm(gain: float, chunk_ms: int, seed: int) -> SimulationSettings:
    """A market without story and without options trading, at one feedback gain."""
    return SimulationSettings(
        seed=seed, phases=FOREVER, chunk_ms=chunk_ms, calm_gain=gain, option_quotes_per_s=0.0, option_trades_per_s=0.0
    )


def test_a_plain_regression_of_returns_on_flow_finds_the_true_lambda():
    """Kyle (1985): 10 s bars, ordinary least squares with intercept, within its own error."""
    mids, flows, truths = tape(calm(-0.12, 10_000, seed=11), 80)
    returns, flow = np.diff(np.log(mids)), flows[1:]
    x = flow - flow.mean()
    estimate = (x * returns).sum() / (x * x).sum()
    residual = returns - returns.mean() - estimate * x
    error = math.sqrt((x * x * residual * residual).sum()) / (x * x).sum()
    true = np.mean([truth.kyle_lambda for truth in truths])
    assert abs(estimate - true) < 3.0 * error
    assert error < 0.15 * true


def test_short_gamma_amplifies_and_long_gamma_damps():
    """Second by second the variance is that of a flat book times A squared, A = 1 / (1 - gain)."""
    variances = {}
    for gain in (-0.5, 1e-6, 0.5):
        mids, _, truths = tape(calm(gain, 1000, seed=5), 200)
        variances[gain] = np.diff(np.log([truth.spot for truth in truths])).var()
        assert np.mean([truth.feedback_gain for truth in truths]) == pytest.approx(gain, abs=0.15)
        assert len(mids) == 200
    damped, flat, amplified = variances.values()
    assert damped < 0.7 * flat
    assert amplified > 1.9 * flat


def test_short_gamma_trends_and_long_gamma_reverts():
    """Hedgers answer a move: the variance ratio of 1 s to 50 ms is above 1 when short gamma, below when long."""
    ratios = []
    for gain in (-0.5, 0.5):
        _, _, truths = tape(calm(gain, 50, seed=6), 4000)
        moves = np.diff(np.log([truth.spot for truth in truths]))
        slow = moves[: len(moves) // 20 * 20].reshape(-1, 20).sum(axis=1)
        ratios.append(slow.var() / (20.0 * moves.var()))
    assert ratios[0] < 0.6
    assert ratios[1] > 1.6


def test_true_fields_are_the_sum_of_the_greeks_over_the_true_book():
    """Contract by contract with the engine's own kernel (MODEL.md section 2); charm but for its dividend term."""
    settings = SimulationSettings(seed=3, chunk_ms=50)
    truth = next(simulate_with_truth(settings, START_NS)).truths[0]
    sums = np.zeros(3)
    for contract, position, vol in zip(truth.contracts, truth.dealer_position, truth.contract_vols, strict=True):
        tau = (contract.settles_ns - truth.ts_event_ns) / NS_PER_YEAR
        market = (truth.spot, contract.strike, tau, settings.rate, settings.dividend_yield, vol, contract.right)
        greeks = np.array(gamma_vanna_charm(*market))
        sums += greeks * position * contract.multiplier * np.array([truth.spot**2, truth.spot, truth.spot])
    assert truth.greeks.gamma_field == pytest.approx(sums[0], rel=1e-9)
    assert truth.greeks.vanna_field == pytest.approx(sums[1], rel=1e-9)
    assert truth.greeks.charm_field == pytest.approx(sums[2], rel=0.03)
    assert truth.feedback_gain == pytest.approx(truth.kyle_lambda * truth.greeks.hedge_pressure)


def test_option_quotes_hold_the_true_price_between_tick_grid_prices():
    """The bid is on the grid at or below the model's price at the true vol, the ask at or above it."""
    settings = SimulationSettings(seed=3, chunk_ms=50)
    batch, _, (truth,) = next(simulate_with_truth(settings, START_NS))
    places = {contract.symbol: place for place, contract in enumerate(truth.contracts)}
    quotes = batch.events[batch.events["kind"] == OPTION_QUOTE]
    assert len(quotes) == len(truth.contracts)
    for quote in quotes:
        place = places[batch.names[quote["name"]]]
        contract = truth.contracts[place]
        tau = (contract.settles_ns - START_NS) / NS_PER_YEAR
        vol = float(truth.contract_vols[place])
        rates = (settings.rate, settings.dividend_yield)
        fair = price(settings.spot, contract.strike, tau, *rates, vol, contract.right)
        assert quote["bid"] - 0.3 <= fair <= quote["ask"] + 0.3  # the truth is that of 50 ms later
        assert quote["bid"] < quote["ask"]
        assert quote["bid_size"] > 0.0 or quote["bid"] == 0.0
        for side in ("bid", "ask"):
            assert abs(quote[side] / 0.05 - round(quote[side] / 0.05)) < 1e-6


def test_trades_happen_at_the_quote_that_stood_strictly_before():
    """Buyers pay the ask, sellers take the bid, so strictly-before Lee-Ready can be right on the underlying."""
    standing: dict[str, tuple[int, float, float]] = {}
    counts = {TRADE: 0, OPTION_TRADE: 0}
    for batch, sides, _ in islice(simulate_with_truth(SimulationSettings(seed=3, chunk_ms=1000), START_NS), 50):
        for event, side in zip(batch.events, sides, strict=True):
            kind, name = int(event["kind"]), batch.names[event["name"]]
            if kind in (QUOTE, OPTION_QUOTE):
                assert event["bid"] < event["ask"]
                standing[name] = (int(event["ts_event_ns"]), float(event["bid"]), float(event["ask"]))
            elif kind in counts:
                quoted_ns, bid, ask = standing[name]
                assert quoted_ns < event["ts_event_ns"]
                touched = ask if side > 0 else bid
                assert event["price"] == touched if kind == TRADE else abs(event["price"] - touched) < 0.11
                counts[kind] += 1
    assert min(counts.values()) > 800


def test_the_best_levels_of_the_depth_are_the_quote():
    """Quote and depth show the same book."""
    quote = None
    checked = 0
    for batch, _, _ in islice(simulate_with_truth(SimulationSettings(seed=3, chunk_ms=1000), START_NS), 50):
        for event in batch.events:
            if event["kind"] == QUOTE:
                quote = event
            elif event["kind"] == DEPTH:
                start, bids, asks = (int(event[name]) for name in ("levels_start", "bid_levels", "ask_levels"))
                levels = batch.levels[start : start + bids + asks]
                assert levels[0].tolist() == [quote["bid"], quote["bid_size"]]
                assert levels[bids].tolist() == [quote["ask"], quote["ask_size"]]
                assert (np.diff(levels[:bids, 0]) < 0).all()
                assert (np.diff(levels[bids:, 0]) > 0).all()
                assert (levels[:, 1] >= 1).all()
                checked += 1
    assert checked == 500


def test_the_crash_has_the_shape_of_the_seeds():
    """Falling spot with rising vol in the crash, new lows without new highs of vol in the burnout, then back."""
    spots: dict[str, list[float]] = {phase.name: [] for phase in CYCLE}
    vols: dict[str, list[float]] = {phase.name: [] for phase in CYCLE}
    gains: dict[str, list[float]] = {phase.name: [] for phase in CYCLE}
    settings = SimulationSettings(seed=4, chunk_ms=1000, option_quotes_per_s=0.0)
    for _, _, (truth,) in islice(simulate_with_truth(settings, START_NS), 105):
        spots[truth.phase].append(truth.spot)
        vols[truth.phase].append(truth.vix)
        gains[truth.phase].append(truth.feedback_gain)
    crash = np.corrcoef(np.diff(spots["crash"]), np.diff(vols["crash"]))[0, 1]
    assert crash < -0.85
    assert vols["crash"][-1] - vols["crash"][0] > 10.0
    assert min(spots["burnout"]) < min(spots["crash"])
    assert vols["burnout"][-1] < vols["crash"][-1] + 1.0
    assert vols["phase_transition"][-1] < 0.8 * vols["phase_transition"][0]
    assert spots["recovery"][-1] > 0.985 * settings.spot
    assert -0.2 < np.mean(gains["calm"]) < -0.05
    assert 0.3 < max(gains["crash"]) <= 0.7 + 1e-9


def test_vix_is_published_in_hundredths():
    """As the real index is."""
    batch = next(simulate_with_truth(SimulationSettings(seed=3, chunk_ms=1000), START_NS)).batch
    values = batch.events["price"][batch.events["kind"] == INDEX_VALUE]
    assert np.allclose(values * 100.0, np.round(values * 100.0), atol=1e-8)
