"""Splits and other corporate actions: what dealers hold in money does not change, and no bad record half applies."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_records import START_NS, batch, contract, open_interest, positions, step, trade
from dhpe.columns import Batch
from dhpe.edge.decode import decode
from dhpe.engine import Engine
from dhpe.numerics.state import NS_PER_S
from dhpe.parameters import Parameters
from dhpe.underlying import Underlying

STRIKES = (50, 100, 200)
DAY_2 = START_NS + 86_400 * NS_PER_S
WIDE = Parameters(panel_half_width_log=5e-3)


def quote(price: float, ts_event_ns: int) -> dict[str, object]:
    """The stock's best quote."""
    return {"kind": "quote", "bid": price - 0.01, "bid_size": 300, "ask": price + 0.01, "ask_size": 500,
            "ts_event_ns": ts_event_ns}  # fmt: skip


def series(symbol: str, **more: object) -> dict[str, object]:
    """What becomes of one series."""
    return {"symbol": symbol} | more


def adjustment(shares: float, *changed: dict[str, object]) -> dict[str, object]:
    """A corporate action on the second day."""
    return {"kind": "adjustment", "ts_event_ns": DAY_2, "shares": shares, "series": list(changed)}


def whole_split(ratio: int = 2, strikes: tuple[float, ...] = STRIKES) -> dict[str, object]:
    """Two contracts of each at half the strike: the new symbol of one series is the old one of another."""
    return adjustment(
        ratio,
        *(
            series(
                f"{right}{strike:g}", new_symbol=f"{right}{strike / ratio:g}", strike=strike / ratio, contracts=ratio
            )
            for right in "CP"
            for strike in strikes
        ),
    )


def market(engine: Engine, spot: float = 100.0) -> None:
    """A chain with positions, vols and a few minutes of prices."""
    step(engine, *(contract(f"{right}{strike}", right, float(strike)) for right in "CP" for strike in STRIKES))
    step(
        engine,
        quote(spot, START_NS),
        *(open_interest(k * strike, f"{right}{strike}") for right, k in (("C", 1), ("P", 2)) for strike in STRIKES),
    )
    premiums = {50: (51.0, 0.3), 100: (6.0, 5.0), 200: (0.2, 99.0)}
    now_ns = START_NS
    for place in range(60):
        now_ns += NS_PER_S
        if place == 50:
            step(engine, *(trade(7 + strike, "buy", f"C{strike}", ts_event_ns=now_ns) for strike in STRIKES))
        step(engine, quote(spot + math.sin(place) / 10, now_ns), *(
            {"kind": "option_quote", "symbol": f"{right}{strike}", "bid": price - 0.05, "bid_size": 9,
             "ask": price + 0.05, "ask_size": 8, "ts_event_ns": now_ns}
            for strike in STRIKES for right, price in zip("CP", premiums[strike], strict=True)
        ))  # fmt: skip


def of(engine: Engine) -> Underlying:
    """The one underlying."""
    return engine.underlyings["XYZ"]


def fields(engine: Engine) -> np.ndarray:
    """The fields at the present spot and time."""
    of(engine).refresh()
    return of(engine).market["fields"].copy()


def holdings(engine: Engine) -> dict[str, dict[str, Any]]:
    """All that the books know of each living series, and its price memory."""
    book = of(engine).book
    names = [name for name in book.state.contracts.dtype.names if name not in ("anchors", "pair")]
    rows = {symbol: book.state.contracts[book.row(symbol)] for symbol in book.symbols}
    return {symbol: {name: row[name].copy() for name in names} for symbol, row in rows.items() if row["active"]}


def same(left: dict[str, dict[str, Any]], right: dict[str, dict[str, Any]]) -> None:
    """Equal, NaN for NaN."""
    assert left.keys() == right.keys()
    for symbol, facts in left.items():
        for name, value in facts.items():
            np.testing.assert_equal(right[symbol][name], value, err_msg=f"{symbol} {name}")


def test_a_whole_split_doubles_contracts_and_halves_strikes() -> None:
    """Positions, open interest and volume go to the series that takes its place, though its symbol was another's."""
    engine = Engine(WIDE)
    market(engine)
    before = positions(engine, "C200"), positions(engine, "P100")
    result = step(engine, whole_split())
    assert result.rejects == []
    assert result.flags["series_adjusted"] == 6
    assert positions(engine, "C100") == [2 * held for held in before[0]] == [400, -14, -14]
    assert positions(engine, "P50") == [2 * held for held in before[1]]
    row = of(engine).book.state.contracts[of(engine).book.row("C100")]
    assert (row["open_interest"], row["volume"], row["strike"], row["multiplier"]) == (400, 414, 100.0, 100.0)
    assert row["pair"] == of(engine).book.row("P100")


@pytest.mark.parametrize(
    ("action", "shares"),
    [
        (whole_split(), 2.0),
        (whole_split(20), 20.0),
        (adjustment(1.5, *(series(f"{r}{k}", new_symbol=f"{r}{k}X", strike=k / 1.5, multiplier=150)
                           for r in "CP" for k in STRIKES)), 1.5),
        (adjustment(0.1, *(series(f"{r}{k}", new_symbol=f"1{r}{k}", strike=10.0 * k, multiplier=10)
                           for r in "CP" for k in STRIKES)), 0.1),
        (adjustment(1.0, *(series(f"{r}{k}", new_symbol=f"Z{r}{k}") for r in "CP" for k in STRIKES)), 1.0),
    ],
    ids=["two_for_one", "twenty_for_one", "three_for_two", "one_for_ten", "symbols_alone"],
)  # fmt: skip
def test_what_dealers_must_hedge_in_money_is_the_same_before_and_after(action: dict[str, Any], shares: float) -> None:
    """Positions times M S² Γ, M S Vanna and M S Charm are sums of money: new shares change none of them."""
    split, left = Engine(WIDE), Engine(WIDE)
    for engine in (split, left):
        market(engine)
    step(split, action, quote(100.3 / shares, DAY_2))
    step(left, quote(100.3, DAY_2))
    np.testing.assert_allclose(fields(split), fields(left), rtol=1e-9)
    assert np.abs(fields(left)[0]).min() > 0


def test_a_split_is_no_move_of_the_market() -> None:
    """Neither the regime's bars nor the impact regression see prices halve; spot and quotes stand on new shares."""
    engine = Engine(WIDE)
    market(engine)
    spot = float(of(engine).market["spot"])
    step(engine, whole_split() | {"ts_event_ns": START_NS + 61 * NS_PER_S})
    assert of(engine).market["spot"] == spot / 2
    assert of(engine).tape.instruments["quote"]["ask"][0] == pytest.approx((spot + 0.01) / 2)
    outputs = []
    for place in range(62, 120):
        now_ns = START_NS + place * NS_PER_S
        outputs += step(engine, quote((100.0 + math.sin(place) / 10) / 2, now_ns)).outputs
    assert np.abs(of(engine).tape.returns).max() < 0.005
    assert {output.regime for output in outputs if hasattr(output, "regime")} == {"normal"}


UNTOUCHED = set(
    # money, returns, vols, counts, shares and times, which new shares leave as they are
    "vix vvix fields liquidity_flow liquidity_volume liquidity_pressure clipped_contracts opening_sums "
    "open_interest_totals option_late_share underlying_late_share option_quote_age_ns underlying_quote_age_ns "
    "vol fit_ratio sweep.probability multiplier "
    "rate carry basis given_discount atm_vol skew_slope skew_slope_standard_error atm_total_variance ssvi_rho "
    "curvature fit_tau phi_scale phi_power beta beta_standard_error vanna_weight".split()
)


def test_every_number_of_the_state_is_rescaled_or_needs_none() -> None:
    """A price or a size that a later hand adds to the state, and forgets here, would halve under no split."""
    engine = Engine(WIDE)
    market(engine)
    underlying = of(engine)
    state, tape = underlying.book.state, underlying.tape
    tables = {"market": state.market, "contracts": state.contracts, "expiries": state.expiries,
              "instruments": tape.instruments}  # fmt: skip

    def numbers(rows: np.ndarray, path: str = "") -> Iterator[tuple[str, np.ndarray]]:
        for name in rows.dtype.names or ():
            if rows[name].dtype.names:
                yield from numbers(rows[name], f"{name}.")
            elif rows[name].dtype == np.float64:
                yield path + name, rows[name]

    for rows in tables.values():
        for _, column in numbers(rows):
            column[...] = 3.0
    before = {(table, name): column.copy() for table, rows in tables.items() for name, column in numbers(rows)}
    assert step(engine, whole_split()).rejects == []
    contracts = of(engine).book.state.contracts
    tables["contracts"] = contracts[contracts["active"] == 1]
    for table, rows in tables.items():
        for name, column in numbers(rows):
            if name not in UNTOUCHED:
                changed = (column != before[table, name][: len(column)]).any()
                assert changed, f"{table}: {name} is neither rescaled nor known to need no rescaling"


@given(st.sampled_from([2, 4, 5, 20]))
def test_a_split_and_its_reverse_leave_everything_as_it_was(ratio: int) -> None:
    """Positions, open interest, strikes and remembered prices, to the bit where a division by the ratio is exact."""
    engine = Engine(WIDE)
    market(engine)
    step(engine, whole_split(ratio))
    step(engine, adjustment(
        1 / ratio,
        *(series(f"{r}{k / ratio:g}", new_symbol=f"{r}{k}", strike=float(k), contracts=1 / ratio)
          for r in "CP" for k in STRIKES),
    ))  # fmt: skip
    untouched = Engine(WIDE)
    market(untouched)
    after, before = holdings(engine), holdings(untouched)
    if ratio in (2, 4):
        same(before, after)
    for symbol, facts in before.items():
        for name in ("position", "carried", "held", "open_interest", "volume", "strike", "multiplier", "prints"):
            np.testing.assert_equal(after[symbol][name], facts[name])
    assert of(engine).market["spot"] == pytest.approx(of(untouched).market["spot"], rel=1e-15)


def test_trading_goes_on_in_the_new_series() -> None:
    """Old symbols that became none are refused, until they are listed anew; a cancel does not reach across."""
    engine = Engine(WIDE)
    market(engine)
    step(engine, trade(5, "buy", "C200", sequence=9, ts_event_ns=START_NS + 61 * NS_PER_S))
    step(engine, whole_split(), quote(50.0, DAY_2))
    after = {"ts_event_ns": DAY_2 + 1}
    held = positions(engine, "C100")
    result = step(
        engine,
        trade(1, "buy", "C200", **after),
        trade(3, "sell", "C100", **after),
        trade(5, "buy", "C100", cancels=9, **after),
    )
    assert [reject.reason for reject in result.rejects] == ["expired_contract"]
    assert positions(engine, "C100") == [held[0], held[1] + 3, held[2] + 3]
    assert result.flags["cancel_of_unknown_trade"] == 1
    again = contract("C200", strike=200.0)
    result = step(engine, again, open_interest(11, "C200", "2026-09-22"), trade(1, "buy", "C200", **after))
    assert result.rejects == []
    assert positions(engine, "C200") == [11, 10, 10]
    assert positions(engine, "C100") == [held[0], held[1] + 3, held[2] + 3]


def test_the_next_print_speaks_of_the_new_contracts() -> None:
    """What was carried is compared with it on the same terms, and so is the volume that made the change."""
    engine = Engine(Parameters())
    market(engine)
    step(engine, whole_split())
    result = step(engine, open_interest(400, "C100", "2026-09-22"))
    assert "open_interest_beyond_volume" not in result.flags
    assert positions(engine, "C100") == [400, -14, -14]


def test_series_listed_ahead_give_way_and_others_do_not() -> None:
    """The exchange may list the new symbol before the record comes; one that holds contracts is another series."""
    ahead, taken = Engine(Parameters()), Engine(Parameters())
    for engine in (ahead, taken):
        market(engine)
        step(engine, contract("C25", strike=25.0), contract("P25", "P", 25.0))
    assert step(ahead, whole_split()).rejects == []
    assert positions(ahead, "C25") == [100, -14, -14]
    step(taken, open_interest(1, "C25"))
    before = holdings(taken)
    assert [reject.reason for reject in step(taken, whole_split()).rejects] == ["symbol_in_use"]
    same(before, holdings(taken))


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (adjustment(1.0, series("C50", strike=49.0), series("C51", strike=50.0)), "unknown_contract"),
        (adjustment(2.0, series("C50", strike=25.0, contracts=2)), "incomplete_adjustment"),
        (adjustment(1.0, series("C50", new_symbol="C100")), "symbol_in_use"),
    ],
    ids=["unknown", "incomplete", "in_use"],
)
def test_what_cannot_be_applied_changes_nothing_and_says_why(action: dict[str, Any], reason: str) -> None:
    """All series of the record or none, and the spot stays on the old shares."""
    engine = Engine(Parameters())
    market(engine)
    before, spot = holdings(engine), float(of(engine).market["spot"])
    result = step(engine, action)
    assert [reject.reason for reject in result.rejects] == [reason]
    same(before, holdings(engine))
    assert of(engine).market["spot"] == spot


@pytest.mark.parametrize(
    ("fields_of_it", "reason"),
    [
        ({"shares": 1.0, "series": []}, "empty_adjustment"),
        ({"shares": 0.0}, "bad_ratio"),
        ({"shares": 1e5}, "bad_ratio"),
        ({"series": [series("C50", contracts=-1)]}, "bad_ratio"),
        ({"series": [series("C50", strike=0.0)]}, "bad_strike"),
        ({"series": [series("C50", multiplier=-5.0)]}, "bad_multiplier"),
        ({"series": [series("C50", new_symbol="A"), series("C60", new_symbol="A")]}, "ambiguous_adjustment"),
        ({"series": [series("C50"), series("C50", new_symbol="A")]}, "ambiguous_adjustment"),
    ],
)
def test_what_cannot_be_true_does_not_pass_the_door(fields_of_it: dict[str, Any], reason: str) -> None:
    """Each with its reason, as a dead letter."""
    record = {"kind": "adjustment", "underlying": "XYZ", "ts_event_ns": START_NS} | fields_of_it
    decoded = decode([(0, None, msgspec.json.encode(record), None, None)], "ticks")
    assert [reject.reason for reject in decoded.rejects] == [reason]


def test_the_place_in_the_log_decides_and_not_the_cut() -> None:
    """Trades before the record are in old contracts, those after it in new ones, in one step or in many."""
    whole, cut = Engine(WIDE), Engine(WIDE)
    records = [
        trade(10, "buy", "C100", ts_event_ns=DAY_2 - 1),
        whole_split(),
        trade(10, "buy", "C100", ts_event_ns=DAY_2 + 1),
        quote(50.0, DAY_2 + 2),
    ]
    for engine in (whole, cut):
        market(engine)
    step(whole, *records)
    for record in records:
        step(cut, record)
    same(holdings(whole), holdings(cut))
    assert positions(whole, "C50") == [200, 2 * (100 - 107 - 10), 2 * (100 - 107 - 10)]
    assert positions(whole, "C100") == [400, -14 - 10, -14 - 10]


def test_a_renamed_underlying_is_another_one_until_positions_are_reported() -> None:
    """Its key is another partition's: what is to be carried over comes as dealer_position records of the new name."""
    engine = Engine(Parameters())
    market(engine)
    renamed: Batch = batch(
        *({"underlying": "NEW"} | record for record in (
            contract("N100"), open_interest(100, "N100"), {"kind": "dealer_position", "symbol": "N100", "position": -7},
        ))
    )  # fmt: skip
    assert engine.step(batch(), renamed).rejects == []
    book = engine.underlyings["NEW"].book
    assert book.state.contracts["position"][book.row("N100")].tolist() == [100, -7, -7]
    assert positions(engine, "C100") == [100, -7, -7]
