"""Do hedges move the next bar as the model says? ``dhpe backtest liquidity``: the weights w_gamma, w_vanna, w_charm.

The same-bar regression of returns on hedges is mechanical (a hedge is a multiple of the return) and proves nothing. So
the return of the NEXT bar is held against the hedges that this bar calls for, times a price impact that was estimated
from trades before it:

    r[t+1] = a + lambda[t] * (w_gamma * (-gamma_field r[t]) + w_vanna * (-vanna_field dvol[t])
                              + w_charm * (-charm_field dt)) + noise

Fields are those at the beginning of bar t, dvol is the |vanna|-weighted change of vol at a fixed strike, errors are
those of Newey and West (1987) with their lag rule. The sample is cut in two in time. A weight stays 1 unless the second
part, which took no part in choosing, puts it more than two standard errors from 1 on the side of the first, and no
error is larger than 1; then it is the first part's. With hedging inside the bar nothing is left for the next one, and
a weight near 0 says so.

At short bars the vols' answer to the price is lost in the noise of their fits. The vanna column then explains nothing,
its hedges, which follow the same returns, fall to gamma, and what stands as gamma's weight is hedge_pressure /
-gamma_field (the simulated market, whose weights are all 1, shows it to its errors). So vanna's weight is to be read
first, and where its error is large gamma's is that of both.
"""

import html
import math
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.columns import REFERENCE, Batch, Reject, empty_batch
from dhpe.engine import Engine
from dhpe.numerics.state import BOOKS, CHARM, GAMMA, NS_PER_S, NS_PER_YEAR, VANNA
from dhpe.parameters import Parameters
from dhpe.underlying import Underlying

TERMS: Final = ("gamma", "vanna", "charm")
ERRORS_TO_MOVE: Final = 2.0
ERROR_MAX: Final = 1.0
PART_BARS_MIN: Final = 60
REPORT: Final = "liquidity.html"
_FLAT: Final = 1e-9


class Snapshot(NamedTuple):
    """One underlying at the end of a bar; the surface by expiry (settles_ns: atm_vol, skew_slope, vanna_weight)."""

    slot: int
    ts_ns: int
    spot: float
    fields: tuple[float, float, float]
    kyle_lambda: float | None
    surface: dict[int, tuple[float, float, float]]


class HedgeBars(NamedTuple):
    """Rows of the regression: next return (bars,), lambda times each hedge (bars, 3), and lambda (bars,)."""

    next_return: NDArray[np.float64]
    impacts: NDArray[np.float64]
    kyle_lambda: NDArray[np.float64]


class Line(NamedTuple):
    """Coefficients and their HAC standard errors, both (columns,); NaN where a column never moved."""

    coefficients: NDArray[np.float64]
    errors: NDArray[np.float64]


class Weight(NamedTuple):
    """One weight in both parts of the sample, the weight to use, and why."""

    name: str
    first: float | None
    first_standard_error: float | None
    second: float | None
    second_standard_error: float | None
    weight: float
    reason: str


class LiquidityScore(NamedTuple):
    """What the bars of one underlying say of the weights."""

    underlying: str
    bars: int
    bar_s: float
    lags: int
    mean_kyle_lambda: float | None
    weights: list[Weight]


def newey_west_lags(samples: int) -> int:
    """The usual number of lags, 4 (n / 100)^(2/9), rounded down."""
    return math.floor(4.0 * (samples / 100.0) ** (2.0 / 9.0)) if samples > 0 else 0


def newey_west(y: NDArray[np.float64], columns: NDArray[np.float64], lags: int) -> Line:
    """Least squares of y (n,) on columns (n, k) with intercept; HAC errors, Bartlett weights, no small-sample factor.

    Columns that never move are left out of the fit and answered with NaN. They are scaled to one before the normal
    equations, since a column here is of the size of a return and another of its square.
    """
    count = columns.shape[1]
    coefficients, errors = np.full(count, np.nan), np.full(count, np.nan)
    spread = columns - columns.mean(axis=0) if len(y) else columns
    size = np.sqrt((spread**2).sum(axis=0))
    moving = size > _FLAT * np.sqrt((columns**2).sum(axis=0))
    if len(y) <= moving.sum() + 1 or not moving.any():
        return Line(coefficients, errors)
    design = np.column_stack((np.ones(len(y)), spread[:, moving] / size[moving]))
    cross = design.T @ design
    if np.linalg.matrix_rank(cross, hermitian=True) < len(cross):
        return Line(coefficients, errors)
    bread = np.linalg.inv(cross)
    fitted = bread @ design.T @ y
    scores = design * (y - design @ fitted)[:, None]
    meat = scores.T @ scores
    for lag in range(1, min(lags, len(y) - 1) + 1):
        behind = scores[lag:].T @ scores[:-lag]
        meat += (1.0 - lag / (lags + 1.0)) * (behind + behind.T)
    variance = np.diag(bread @ meat @ bread)[1:]
    coefficients[moving] = fitted[1:] / size[moving]
    errors[moving] = np.sqrt(np.maximum(variance, 0.0)) / size[moving]
    return Line(coefficients, errors)


def _snapshot(underlying: Underlying, slot: int) -> Snapshot | None:
    market = underlying.market
    if not market["spot"] > 0:
        return None
    underlying.refresh()
    book = BOOKS.index(underlying.parameters.default_book)
    share = underlying.parameters.dealer_share
    fields = market["fields"]
    expiries = underlying.book.state.expiries[: int(market["expiries"])]
    return Snapshot(
        slot,
        int(market["ts_ns"]),
        float(market["spot"]),
        (share * float(fields[GAMMA, book]), share * float(fields[VANNA, book]), share * float(fields[CHARM, book])),
        underlying.impact()[0].value,
        {
            int(row["settles_ns"]): (float(row["atm_vol"]), float(row["skew_slope"]), float(row["vanna_weight"]))
            for row in expiries
            if row["atm_vol"] > 0
        },
    )


def _pieces(batch: Batch, bar_ns: int, open_slot: int) -> Iterator[tuple[int, Batch]]:
    """(slot, records) by bars of event time; reference records stay with the bar under way."""
    events = batch.events
    hot = events["kind"] != REFERENCE
    times = np.where(hot, events["ts_event_ns"], np.int64(max(open_slot, 0)) * bar_ns)
    slots = np.maximum(np.maximum.accumulate(times) // bar_ns, open_slot)
    cuts = [0, *(np.flatnonzero(np.diff(slots)) + 1).tolist(), len(events)]
    for first, last in pairwise(cuts):
        if last > first:
            yield int(slots[first]), batch._replace(events=events[first:last])


def snapshots(batches: Iterable[Batch | Reject], parameters: Parameters, bar_s: float) -> dict[str, list[Snapshot]]:
    """Send the records through an engine and note each underlying as each bar ends."""
    engine = Engine(parameters)
    bar_ns = int(bar_s * NS_PER_S)
    noted: dict[str, list[Snapshot]] = {}
    open_slot = -1
    for batch in batches:
        if isinstance(batch, Reject):
            continue
        for slot, piece in _pieces(batch, bar_ns, open_slot):
            if slot > open_slot >= 0:
                _note(engine, open_slot, noted)
            open_slot = slot
            engine.step(empty_batch(), piece)
    _note(engine, open_slot, noted)
    return noted


def _note(engine: Engine, slot: int, noted: dict[str, list[Snapshot]]) -> None:
    for name, underlying in engine.underlyings.items():
        state = _snapshot(underlying, slot)
        if state is not None:
            noted.setdefault(name, []).append(state)


def fixed_strike_vol_change(before: Snapshot, after: Snapshot) -> float:
    """|vanna|-weighted change of vol at a fixed strike: at the money, less the slide along the skew."""
    move = math.log(after.spot / before.spot)
    total = 0.0
    change = 0.0
    for settles_ns, (vol, slope, weight) in before.surface.items():
        if settles_ns in after.surface and weight > 0.0:
            total += weight
            change += weight * (after.surface[settles_ns][0] - vol - slope * move)
    return change / total if total > 0.0 else 0.0


def hedge_bars(states: list[Snapshot]) -> HedgeBars:
    """The rows of three neighbouring snapshots each: a bar, its hedges, and the bar after it."""
    returns, impacts, lambdas = [], [], []
    for before, now, after in zip(states, states[1:], states[2:], strict=False):
        if now.slot - before.slot != 1 or after.slot - now.slot != 1 or before.kyle_lambda is None:
            continue
        gamma, vanna, charm = before.fields
        hedges = (
            -gamma * math.log(now.spot / before.spot),
            -vanna * fixed_strike_vol_change(before, now),
            -charm * (now.ts_ns - before.ts_ns) / NS_PER_YEAR,
        )
        returns.append(math.log(after.spot / now.spot))
        impacts.append([before.kyle_lambda * hedge for hedge in hedges])
        lambdas.append(before.kyle_lambda)
    return HedgeBars(np.array(returns), np.array(impacts).reshape(-1, len(TERMS)), np.array(lambdas))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def judge(name: str, first: tuple[float, float], second: tuple[float, float]) -> Weight:
    """The rule of the module's head for one weight; each part is (coefficient, standard error), NaN where unknown."""
    facts = (name, _known(first[0]), _known(first[1]), _known(second[0]), _known(second[1]))
    if not all(math.isfinite(value) for value in (*first, *second)):
        return Weight(*facts, 1.0, "stays 1: not identified in both parts")
    if max(first[1], second[1]) > ERROR_MAX:
        # A hedge that hardly varies, such as charm's within a day, takes any trend for its own.
        return Weight(*facts, 1.0, "stays 1: its standard error is larger than the weight itself")
    away = second[0] - 1.0
    if abs(away) <= ERRORS_TO_MOVE * second[1]:
        return Weight(*facts, 1.0, "stays 1: within two standard errors of it out of sample")
    if away * (first[0] - 1.0) <= 0.0:
        return Weight(*facts, 1.0, "stays 1: the parts disagree on which side of it")
    return Weight(*facts, first[0], "differs from 1 by two standard errors out of sample")


def score(name: str, rows: HedgeBars, bar_s: float) -> LiquidityScore:
    """Fit both halves of the sample and judge each weight."""
    count = len(rows.next_return)
    half = count // 2
    parts = []
    for part in (slice(0, half), slice(half, count)):
        y, x = rows.next_return[part], rows.impacts[part]
        nothing = Line(np.full(len(TERMS), np.nan), np.full(len(TERMS), np.nan))
        parts.append(newey_west(y, x, newey_west_lags(len(y))) if len(y) >= PART_BARS_MIN else nothing)
    first, second = parts
    weights = [
        judge(
            term,
            (float(first.coefficients[place]), float(first.errors[place])),
            (float(second.coefficients[place]), float(second.errors[place])),
        )
        for place, term in enumerate(TERMS)
    ]
    mean = float(rows.kyle_lambda.mean()) if count else None
    return LiquidityScore(name, count, bar_s, newey_west_lags(half), mean, weights)


def liquidity(
    batches: Iterable[Batch | Reject], parameters: Parameters, bar_s: float | None = None
) -> list[LiquidityScore]:
    """Score the weights on recorded records, one result per underlying; bars of ``liquidity_bar_s`` unless told."""
    length_s = bar_s or parameters.liquidity_bar_s
    noted = snapshots(batches, parameters, length_s)
    return [score(name, hedge_bars(states), length_s) for name, states in sorted(noted.items())]


def _cell(value: float | None, error: float | None) -> str:
    return "unknown" if value is None or error is None else f"{value:.3g} ± {error:.2g}"


def table(scores: list[LiquidityScore]) -> str:
    """The scores as lines for a terminal."""
    lines = []
    for one in scores:
        impact = "unknown" if one.mean_kyle_lambda is None else f"{one.mean_kyle_lambda:.3g} per USD"
        lines.append(f"{one.underlying}: {one.bars} bars of {one.bar_s:g} s, impact {impact}, {one.lags} lags")
        lines.append(f"  {'weight':8}{'first half':>20}{'second half':>20}{'use':>8}  why")
        for weight in one.weights:
            first = _cell(weight.first, weight.first_standard_error)
            second = _cell(weight.second, weight.second_standard_error)
            lines.append(f"  {weight.name:8}{first:>20}{second:>20}{weight.weight:8.3g}  {weight.reason}")
    return "\n".join(lines) if lines else "no underlying had a spot"


def as_facts(scores: list[LiquidityScore]) -> list[dict[str, object]]:
    """The scores for programs."""
    return [one._asdict() | {"weights": [weight._asdict() for weight in one.weights]} for one in scores]


def write_report(scores: list[LiquidityScore], folder: Path) -> Path:
    """Write the scores as a page into ``folder`` and return its path."""
    rows = "".join(
        f"<tr><td>{html.escape(one.underlying)}</td><td>{one.bars}</td><td>{weight.name}</td>"
        f"<td>{_cell(weight.first, weight.first_standard_error)}</td>"
        f"<td>{_cell(weight.second, weight.second_standard_error)}</td>"
        f"<td>{weight.weight:.3g}</td><td>{html.escape(weight.reason)}</td></tr>\n"
        for one in scores
        for weight in one.weights
    )
    heads = "".join(
        f"<th>{head}</th>" for head in ("underlying", "bars", "weight", "first half", "second half", "use", "why")
    )
    page = (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Weights of the hedge pressure</title>\n'
        "<style>body{font:16px sans-serif;margin:2rem}td,th{padding:.3rem .8rem;text-align:left}</style>\n"
        "<h1>Weights of the hedge pressure</h1>\n<p>Next-bar return on this bar's hedges times the price impact "
        "estimated before it; errors of Newey and West.</p>\n"
        f"<table><tr>{heads}</tr>\n{rows}</table></html>\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT
    path.write_text(page, encoding="utf-8")
    return path
