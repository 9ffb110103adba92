"""The panel against the full recomputation, its slow and obvious twin."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dhpe.book import Book
from dhpe.columns import Contract, OpenInterest
from dhpe.numerics import panel
from dhpe.numerics.black import gamma_vanna_charm
from dhpe.numerics.panel_arrays import PanelRules
from dhpe.numerics.panel_check import largest_error
from dhpe.numerics.panel_units import SLOPE_MAX, unit_fields, write_terms, write_units
from dhpe.numerics.revalue import ContractState
from dhpe.numerics.state import NS_PER_S, NS_PER_YEAR
from dhpe.parameters import Parameters
from slow_book import slow_fields

START_NS = 1_700_000_000 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S
RULES = PanelRules(
    half_width=5e-4,
    window_ns=NS_PER_S,
    tau_floor_ns=300 * NS_PER_S,
    hot_tau_ns=3600 * NS_PER_S,
    hot_width=6.0,
    rebuild_events=100_000,
    spread_max=1.9,
)


def a_book(contracts: int, seed: int, nearest_ns: int = 2 * 3600 * NS_PER_S) -> Book:
    """A book of held contracts around 5000 over four expiries, every vol known."""
    random = np.random.default_rng(seed)
    book = Book(Parameters(rate=0.045, dividend_yield=0.013))
    settlements = [START_NS + nearest_ns, START_NS + 7 * DAY_NS, START_NS + 30 * DAY_NS, START_NS + 200 * DAY_NS]
    for number in range(contracts):
        right = 1 if number % 2 == 0 else -1
        strike = 5000.0 + 5.0 * (number // 8 - contracts // 16)
        book.add(Contract(f"X{number}", right, strike, 100.0, False, settlements[(number // 2) % 4]))
        book.open_interest(OpenInterest(f"X{number}", "2023-11-14", float(random.integers(1, 5000))))
    rows = book.state.contracts[: len(book)]
    rows["vol"] = random.uniform(0.1, 0.4, len(book))
    rows["position"] += random.normal(0.0, 500.0, rows["position"].shape)
    book.state.expiries["beta"][:4] = random.uniform(-1.0, 0.0, 4)
    book.state.market["spot"] = 5000.0
    book.state.market["ts_ns"] = START_NS
    return book


def rebuild(book: Book) -> None:
    """Build the panel around the book's spot and time."""
    state = book.state
    panel.rebuild(state.market[0], state.contracts, state.expiries, state.panel, RULES)


def evaluated(state: ContractState) -> np.ndarray:
    """The fields as the panel says them."""
    panel.evaluate(state.market[0], state.contracts, state.expiries, state.panel, RULES.tau_floor_ns)
    return state.market["fields"][0].copy()


def error(book: Book) -> float:
    """Largest error of the panel's fields relative to the gross field."""
    net, gross = slow_fields(book, RULES.tau_floor_ns)
    return float((np.abs(evaluated(book.state) - net) / gross).max())


@settings(max_examples=40)
@given(shift=st.floats(-4.99e-4, 4.99e-4), late=st.integers(0, NS_PER_S - 1), seed=st.integers(0, 5))
def test_a_spot_tick_gives_the_fields_of_the_full_recomputation(shift: float, late: int, seed: int) -> None:
    """Anywhere in the window the panel is within 1e-7 of the gross field."""
    book = a_book(400, seed)
    rebuild(book)
    market = book.state.market[0]
    market["spot"] *= math.exp(shift)
    market["ts_ns"] += late
    assert error(book) < 1e-7


def test_contracts_near_expiry_and_the_money_are_summed_exactly() -> None:
    """Five minutes before a settlement the panel alone would be off by 3e-4; the hot set keeps it exact."""
    book = a_book(400, 1, nearest_ns=330 * NS_PER_S)
    rebuild(book)
    market = book.state.market[0]
    assert 0 < market["hot_rows"] < 400
    market["spot"] *= math.exp(4e-4)
    market["ts_ns"] += NS_PER_S // 2
    assert error(book) < 1e-7


@settings(max_examples=25)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 399), st.sampled_from(["vol", "trade"]), st.floats(0.05, 1.0)), min_size=1, max_size=60
    )
)
def test_option_events_leave_what_a_rebuild_would_give(events: list[tuple[int, str, float]]) -> None:
    """Incremental equals recompute: vols and positions moved one by one, against the panel built anew."""
    book = a_book(400, 2)
    rebuild(book)
    state = book.state
    market = state.market[0]
    for row, kind, amount in events:
        if kind == "vol":
            panel.take_off(row, market, state.contracts, state.expiries, state.panel)
            state.contracts["vol"][row] = amount
            panel.put_on(row, market, state.contracts, state.expiries, state.panel, RULES)
        else:
            panel.move_position(row, 2, 1000.0 * amount, market, state.contracts, state.expiries, state.panel)
    kept = evaluated(state)
    rebuild(book)
    assert np.abs(kept - evaluated(state)).max() <= 1e-12 * slow_fields(book, RULES.tau_floor_ns)[1].max()


@pytest.mark.parametrize("right", [1, -1])
def test_one_contract_has_the_greeks_of_black_scholes(right: int) -> None:
    """unit_fields is gamma S^2 M, vanna S M, charm S M of the closed forms (MODEL.md section 2)."""
    book = Book(Parameters(rate=0.045, dividend_yield=0.013))
    settles_ns = START_NS + round(0.05 * NS_PER_YEAR)
    book.add(Contract("X", right, 5050.0, 100.0, False, settles_ns))
    contract = book.state.contracts[0]
    contract["vol"] = 0.15
    gamma, vanna, charm = gamma_vanna_charm(5000.0, 5050.0, 0.05, 0.045, 0.013, 0.15, right)
    units = unit_fields(math.log(5000.0), contract, book.state.expiries[0], 0.05)
    assert units == pytest.approx((gamma * 5000.0**2 * 100, vanna * 5000.0 * 100, charm * 5000.0 * 100), rel=1e-12)


def test_a_tick_at_a_node_reads_the_node() -> None:
    """At a Chebyshev node the node's own value is the answer: nothing is divided by a distance of zero."""
    book = a_book(64, 3)
    rebuild(book)
    assert np.isfinite(evaluated(book.state)).all()
    for node in book.state.panel.grid["nodes"][0]:
        book.state.market["spot"] = math.exp(book.state.panel.windows["center"][0] + RULES.half_width * node)
        assert error(book) < 1e-7


def self_check(book: Book) -> float:
    """The exported error of the panel."""
    state = book.state
    return float(
        largest_error(state.market[0], state.contracts, state.expiries, state.panel, RULES.tau_floor_ns),
    )


def test_the_self_check_finds_an_error_that_was_put_in() -> None:
    """The figure that is exported is the true one: tiny for a sound panel, large for a wrong node."""
    book = a_book(64, 4)
    rebuild(book)
    state = book.state
    evaluated(state)
    assert self_check(book) < 1e-7
    np.testing.assert_allclose(state.panel.grid["exact"][0], slow_fields(book, RULES.tau_floor_ns)[0], rtol=1e-9)
    state.panel.windows["sums"][0, :, :, 0] *= 1.01
    evaluated(state)
    assert self_check(book) > 1e-4


@given(
    deviations=st.floats(-12.0, 12.0),
    vol=st.floats(0.05, 2.0),
    days=st.floats(0.01, 700.0),
    right=st.sampled_from([-1, 1]),
)
def test_the_series_along_a_window_is_the_closed_form_at_every_node(
    deviations: float, vol: float, days: float, right: int
) -> None:
    """To 1e-12 of the peak over strikes, on both sides of where the series gives way to node by node."""
    book = Book(Parameters(rate=0.045, dividend_yield=0.013))
    tau = days / 365.0
    strike = 5000.0 * math.exp(deviations * vol * math.sqrt(tau))
    book.add(Contract("X", right, strike, 100.0, False, START_NS + round(tau * NS_PER_YEAR)))
    state = book.state
    state.contracts["vol"][0] = vol
    window, terms, grid = state.panel.windows[0], state.panel.terms[0], state.panel.grid[0]
    window["center"], window["half_width"] = math.log(5000.0), RULES.half_width
    window["start_ns"], window["end_ns"] = START_NS, START_NS + NS_PER_S
    write_terms(window, state.expiries, 1, RULES.tau_floor_ns, terms)
    write_units(state.contracts[0], state.expiries[0], (terms[0, 0], terms[0, 1]), window, grid)
    for instant in range(2):
        tau_there = float(terms[0, instant]["tau"])
        deviation = vol * math.sqrt(tau_there)
        value = 5000.0 * 100.0 * math.exp(0.032 * tau_there)
        peak = np.array([value / deviation, value / vol, value * (1 / tau_there + 1 / deviation + 1)])
        for node, x in enumerate(grid["nodes"]):
            log_spot = math.log(5000.0) + RULES.half_width * x
            exact = np.array(unit_fields(log_spot, state.contracts[0], state.expiries[0], tau_there))
            assert (np.abs(grid["units"][instant, :, node] - exact) <= 1e-12 * peak).all()
    assert SLOPE_MAX < 0.1


def prepare(book: Book, slices: int) -> None:
    """Let ``slices`` records pass."""
    state = book.state
    for _ in range(slices):
        panel.prepare_next(state.market[0], state.contracts, state.expiries, state.panel, RULES)


@pytest.mark.parametrize(("move", "late_ns"), [(4e-4, 0), (-4e-4, 0), (0.0, 6 * NS_PER_S // 10)])
@pytest.mark.parametrize("slices", [1, 2, 9])
def test_the_next_window_is_ready_when_the_present_one_ends(move: float, late_ns: int, slices: int) -> None:
    """Past half of the window the next is filled slice by slice, follows events meanwhile, and is taken at the exit."""
    book = a_book(400, 5, nearest_ns=3600 * NS_PER_S - 1)
    rebuild(book)
    state = book.state
    market = state.market[0]
    prepare(book, 1)
    assert not state.panel.windows["in_work"].any(), "prepared before half of the window had passed"
    market["spot"] *= math.exp(move)
    market["ts_ns"] += late_ns
    prepare(book, slices)
    assert state.panel.windows["rows"][1] == min(slices * panel.SLICE_ROWS, 400)
    for row in (3, 200, 399):
        panel.take_off(row, market, state.contracts, state.expiries, state.panel)
        state.contracts["vol"][row] *= 1.3
        panel.put_on(row, market, state.contracts, state.expiries, state.panel, RULES)
        panel.move_position(row, 1, -70.0, market, state.contracts, state.expiries, state.panel)
    assert error(book) < 1e-7
    market["spot"] *= math.exp(0.5 * move)
    market["ts_ns"] += late_ns
    assert not panel.covers(market, state.panel)
    panel.move_on(market, state.contracts, state.expiries, state.panel, RULES)
    assert market["panel_side"] == 1
    assert market["panel_rebuilds"] == 1, "the prepared window was not taken"
    assert panel.covers(market, state.panel)
    assert error(book) < 1e-7


def test_a_spot_that_jumps_over_the_prepared_window_gets_one_built_at_once() -> None:
    """Thirty per cent in one tick: the fields are right all the same."""
    book = a_book(400, 6)
    rebuild(book)
    state = book.state
    market = state.market[0]
    market["spot"] *= math.exp(4e-4)
    prepare(book, 9)
    market["spot"] *= 0.7
    panel.move_on(market, state.contracts, state.expiries, state.panel, RULES)
    assert market["panel_rebuilds"] == 2
    assert error(book) < 1e-7


def test_a_contract_that_gets_its_vol_late_near_expiry_is_hot_too() -> None:
    """A first quote five minutes before settlement does not go onto nodes that are too coarse for it."""
    book = a_book(400, 7, nearest_ns=330 * NS_PER_S)
    state = book.state
    state.contracts["vol"][200] = np.nan
    rebuild(book)
    market = state.market[0]
    before = int(state.panel.windows["hot_rows"][0])
    state.contracts["vol"][200] = 0.15
    panel.put_on(200, market, state.contracts, state.expiries, state.panel, RULES)
    assert state.panel.windows["hot_rows"][0] == before + 1
    market["spot"] *= math.exp(4e-4)
    assert error(book) < 1e-7
