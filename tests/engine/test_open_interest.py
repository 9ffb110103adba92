"""Open interest during the day: learnt at the prints, bounded, and never a matter of the dealers' books."""

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from book_records import START_NS, contract, open_interest, positions, step, trade
from dhpe.engine import Engine
from dhpe.numerics.state import NS_PER_DAY
from dhpe.open_interest import DATE_KEEP, OpenInterest, opening_share, read_open_interest, series_estimate
from dhpe.parameters import Parameters

DATES = ("2026-09-21", "2026-09-22", "2026-09-23", "2026-09-24")
CHAINS = ("2026-08-18", "2026-08-19", "2026-08-20")


def now(engine: Engine) -> OpenInterest:
    """The sums over the one underlying."""
    return read_open_interest(engine.underlyings["XYZ"].book.state, engine.parameters)


def of_series(engine: Engine, symbol: str) -> tuple[float, float]:
    """Estimate and standard error of one series."""
    book = engine.underlyings["XYZ"].book
    share = opening_share(engine.underlyings["XYZ"].market, engine.parameters)
    return series_estimate(book.state.contracts[book.row(symbol)], share)


def chain(count: int) -> list[dict[str, object]]:
    """Calls at many strikes."""
    return [contract(f"C{place}", "C", 50.0 + place) for place in range(count)]


def traded(day: int, place: int, size: float, **more: object) -> dict[str, object]:
    """A trade of unknown side on the day."""
    record = trade(size, "buy", f"C{place}", ts_event_ns=START_NS + day * NS_PER_DAY, **more)
    del record["side"]
    return record


def test_the_estimate_is_the_print_and_a_share_of_the_volume_since() -> None:
    """(2p - 1) of it by the setting; all of its error is common until something has been measured."""
    engine = Engine(Parameters(opening_share=0.75, opening_share_standard_error=0.1))
    step(engine, *chain(2), open_interest(100, "C0"), open_interest(40, "C1"), traded(0, 0, 30), traded(0, 1, 10))
    found = now(engine)
    assert (found.printed, found.estimate, found.missing) == (140, 160, 0)
    assert found.standard_error == pytest.approx(0.2 * 40)
    assert of_series(engine, "C0") == (115, pytest.approx(6))
    step(engine, traded(0, 0, 30, sequence=1), traded(0, 0, 1, cancels=1))
    assert now(engine) == found


def test_the_estimate_keeps_to_what_is_possible() -> None:
    """No change above the volume, no open interest below 0, whatever the share."""
    for share in (0.0, 0.3, 1.0):
        engine = Engine(Parameters(opening_share=share))
        step(engine, *chain(2), open_interest(10, "C0"), open_interest(500, "C1"), traded(0, 0, 90), traded(0, 1, 20))
        for symbol, before, volume in (("C0", 10, 90), ("C1", 500, 20)):
            estimate, error = of_series(engine, symbol)
            assert max(0, before - volume) <= estimate <= before + volume
            assert 0 < error <= volume


def test_a_new_print_takes_the_place_of_the_estimate() -> None:
    """The volume begins anew; what the date had already traded when its print came late goes on counting."""
    engine = Engine(Parameters(opening_share=1.0))
    step(engine, *chain(1), open_interest(100, "C0"), traded(0, 0, 30), traded(1, 0, 7))
    assert now(engine).estimate == 137
    step(engine, open_interest(130, "C0", DATES[1]))
    assert (now(engine).printed, now(engine).estimate) == (130, 137)
    step(engine, open_interest(137, "C0", DATES[2]))
    assert (now(engine).printed, now(engine).estimate) == (137, 137)


def simulated(days: int, series: int, share: float) -> tuple[list[list[dict[str, object]]], list[list[float]]]:
    """Days of trades whose sides open with probability ``share``, and the true open interest at each day's start."""
    random = np.random.default_rng(20240805)
    held = np.full(series, 5000.0)
    truth, records = [held.tolist()], []
    for day in range(days):
        sizes = random.integers(1, 60, (series, 6))
        opening = random.random((series, 6, 2)) < share
        held = held + (sizes * (opening.sum(axis=2) - 1)).sum(axis=1)
        truth.append(held.tolist())
        records.append([traded(day, place, int(size)) for place in range(series) for size in sizes[place]])
    return records, truth


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_the_share_of_a_simulated_market_is_found(share: float) -> None:
    """Within its error; the estimate at the close is within three of its own errors of the truth, and near it."""
    series = 120
    records, truth = simulated(3, series, share)
    engine = Engine(Parameters())
    step(engine, *chain(series))
    for day, trades in enumerate(records):
        step(engine, *(open_interest(truth[day][place], f"C{place}", DATES[day]) for place in range(series)))
        step(engine, *trades)
        found = now(engine)
        if day == 0:
            assert found.share.source == "setting"
            continue
        assert found.share.source == "estimate"
        assert abs(found.share.value - share) < 3 * found.share.standard_error < 0.06
        true = sum(truth[day + 1])
        assert abs(found.estimate - true) < 3 * found.standard_error
        blind = abs(found.printed - true)
        assert share == 0.5 or abs(found.estimate - true) < 0.25 * blind
        errors = [(of_series(engine, f"C{place}")) for place in range(series)]
        inside = [abs(got - want) <= 1.645 * error for (got, error), want in zip(errors, truth[day + 1], strict=True)]
        assert 0.8 < np.mean(inside) < 0.98


def test_nothing_is_learnt_before_its_print_nor_by_how_the_records_are_cut() -> None:
    """Today's trades leave today's share alone, and the sums have the same bits in one step and in many."""
    series = 40
    records, truth = simulated(3, series, 0.6)
    whole, cut = Engine(Parameters()), Engine(Parameters())
    history = chain(series)
    for day, trades in enumerate(records):
        history += [open_interest(truth[day][place], f"C{place}", DATES[day]) for place in range(series)] + trades
    step(whole, *history)
    for first in range(0, len(history), 37):
        step(cut, *history[first : first + 37])
    states = [engine.underlyings["XYZ"].market for engine in (whole, cut)]
    assert states[0]["opening_sums"].tobytes() == states[1]["opening_sums"].tobytes()
    shorter = Engine(Parameters())
    step(shorter, *history[: -len(records[-1])])
    assert now(shorter).share == now(whole).share


def test_a_revised_print_is_learnt_in_place_of_the_one_before() -> None:
    """A first print that repeats yesterday's would teach that nobody opens; older trading dates fade."""
    series = 40
    engines = Engine(Parameters()), Engine(Parameters())
    for engine, flaps in zip(engines, (False, True), strict=True):
        step(engine, *chain(series), *(open_interest(1000, f"C{place}") for place in range(series)))
        step(engine, *(traded(0, place, 10) for place in range(series)))
        if flaps:
            step(engine, *(open_interest(1000, f"C{place}", DATES[1]) for place in range(series)))
        step(engine, *(open_interest(1006, f"C{place}", DATES[1]) for place in range(series)))
        assert now(engine).share.value == pytest.approx(0.8)
        assert engine.underlyings["XYZ"].market["opening_series"] == series
        step(engine, *(traded(1, place, 10) for place in range(series)))
        step(engine, *(open_interest(1006, f"C{place}", DATES[2]) for place in range(series)))
        mean = 0.6 * DATE_KEEP / (1 + DATE_KEEP)
        assert now(engine).share.value == pytest.approx(0.5 + 0.5 * mean)


def test_changes_that_the_trades_cannot_have_made_teach_nothing() -> None:
    """Exercise, or trades that never came: counted, and left out."""
    engine = Engine(Parameters())
    step(engine, *chain(1), open_interest(100, "C0"), traded(0, 0, 5))
    result = step(engine, open_interest(60, "C0", DATES[1]))
    assert result.flags["open_interest_beyond_volume"] == 1
    assert engine.underlyings["XYZ"].market["opening_series"] == 0


def test_the_opening_share_is_no_matter_of_the_books() -> None:
    """Nobody opens or everybody: the dealers' positions are the same."""
    closing, opening = Engine(Parameters(opening_share=0.0)), Engine(Parameters(opening_share=1.0))
    for engine in (closing, opening):
        step(engine, contract(), open_interest(100), trade(30, "buy"), trade(12, "sell"))
    assert positions(closing) == positions(opening) == [100, 82, 82]


def chain_rows(folder: Path, date: str) -> dict[str, tuple[float, float]]:
    """Open interest and volume of each series, as the file has them."""
    with gzip.open(folder / f"{date}.csv.gz", "rt") as file:
        return {row["option"]: (float(row["open_interest"]), float(row["volume"])) for row in csv.DictReader(file)}


def test_one_real_day_foretells_the_open_interest_of_the_next(shared_data: Path) -> None:
    """SPX: the share of 18 August, from the print of the 19th, and the 19th's volume, against the print of the 20th."""
    files = [chain_rows(shared_data / "spx_chain", date) for date in CHAINS]
    names = sorted(name for name in files[0] if name in files[1] and name in files[2] and files[1][name][1] > 0)
    symbols = {name: f"C{place}" for place, name in enumerate(names)}
    engine = Engine(Parameters())
    step(engine, *chain(len(names)))
    for day in range(2):
        rows = files[day]
        step(engine, *(open_interest(rows[name][0], symbols[name], DATES[day]) for name in names))
        step(engine, *(traded(day, int(symbols[name][1:]), rows[name][1]) for name in names if rows[name][1] > 0))
    found = now(engine)
    change, volume = (np.array(column) for column in zip(
        *((files[1][name][0] - files[0][name][0], files[0][name][1]) for name in names), strict=True
    ))  # fmt: skip
    usable = (volume > 0) & (np.abs(change) <= volume)
    ratio = change[usable].sum() / volume[usable].sum()
    residual = change[usable] - ratio * volume[usable]
    assert found.share.source == "estimate"
    assert found.share.value == pytest.approx(0.5 + 0.5 * ratio)
    assert found.share.standard_error == pytest.approx(0.5 * math.sqrt((residual**2).sum()) / volume[usable].sum())
    assert 0.6 < found.share.value < 0.8
    true = sum(files[2][name][0] for name in names)
    assert found.estimate is not None
    assert found.printed is not None
    assert abs(found.estimate - true) < 2 * found.standard_error
    assert abs(found.estimate - true) < 0.3 * abs(found.printed - true)
