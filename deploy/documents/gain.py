"""Write docs/gain.md: the feedback gain of three real SPX evenings, term by term and expiry by expiry, as measured.

The market data stands beside the project (../shared/data/spx_chain) and is not ours to carry; where it is absent
nothing is written or checked. With --check the page is only compared.
"""

import csv
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from deploy.documents.page import keep

from dhpe.columns import Reject, empty_batch
from dhpe.edge import formats
from dhpe.edge.feeds import closing_clock, latest_event_ns
from dhpe.engine import Engine
from dhpe.field.sums import TERMS
from dhpe.numerics.black import gamma_vanna_charm
from dhpe.numerics.smile import IV_INDEX_TAU
from dhpe.numerics.ssvi import PHI_LAWS
from dhpe.numerics.state import BOOKS, NS_PER_S, NS_PER_YEAR
from dhpe.parameters import Parameters
from dhpe.reading import read
from dhpe.surface import iv_index
from dhpe.underlying import Underlying

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = PROJECT / "docs" / "gain.md"
CHAINS = PROJECT.parent / "shared" / "data" / "spx_chain"
DATES = ("2026-08-18", "2026-08-19", "2026-08-20")
KYLE_LAMBDA = 5e-13
PARAMETERS = Parameters(kyle_lambda=KYLE_LAMBDA, kyle_lambda_standard_error=KYLE_LAMBDA / 4, default_book="naive")
NAIVE = BOOKS.index("naive")
EXPIRIES_SHOWN = 6
INDICES = CHAINS.parent / "vol_indices"
YEARS = ("2017", "2018", "2019")
PAGE_GAINS = (-2.0, 4.0)
"""What one parallel at-the-money beta does to the gain of a real chain in MODEL.md section 4."""


class ExpiryGain(NamedTuple):
    """What one expiry adds to the gain, by gamma and by vanna; beta and slope of its smile."""

    settles_ns: int
    days: float
    gamma: float
    vanna: float
    vanna_field: float
    beta: float
    skew_slope: float


class Evening(NamedTuple):
    """One chain: the engine's own numbers, and the gains of its expiries from a sum over contracts."""

    date: str
    spot: float
    iv_index: float
    contracts: int
    gamma_field: float
    vanna_field: float
    beta_vanna_field: float
    gain: float
    gain_low: float
    gain_high: float
    amplification: float | None
    amplification_without_vanna: float | None
    reasons: list[str]
    expiries: list[ExpiryGain]

    @property
    def gamma_gain(self) -> float:
        """The gamma term of the gain."""
        return -KYLE_LAMBDA * self.gamma_field

    @property
    def vanna_gain(self) -> float:
        """The vanna term of the gain, each expiry at its own beta."""
        return -KYLE_LAMBDA * self.beta_vanna_field

    @property
    def parallel_gain(self) -> float:
        """The gain if every contract moved with the 30-day at-the-money vol: the wrong beta, for comparison."""
        near = min(self.expiries, key=lambda expiry: abs(expiry.days - IV_INDEX_TAU * 365))
        atm_vol_beta = PARAMETERS.skew_stickiness * near.skew_slope
        return self.gamma_gain - KYLE_LAMBDA * atm_vol_beta * self.vanna_field


def by_expiry(underlying: Underlying) -> list[ExpiryGain]:
    """Sum gamma and vanna over the contracts of each expiry, in the order of settlement, without the panel."""
    state, market = underlying.book.state, underlying.market
    now_ns, spot = int(market["ts_ns"]), float(market["spot"])
    floor_ns = int(PARAMETERS.tau_floor_s * NS_PER_S)
    sums: dict[int, list[float]] = {}
    for contract in state.contracts[: len(underlying.book)]:
        if not (contract["active"] and contract["settles_ns"] > now_ns and contract["vol"] > 0):
            continue
        expiry = state.expiries[contract["expiry"]]
        own_spot = spot * math.exp(expiry["basis"])
        tau = max(int(contract["settles_ns"]) - now_ns, floor_ns) / NS_PER_YEAR
        terms = (own_spot, contract["strike"], tau, expiry["rate"], expiry["rate"] - expiry["carry"], contract["vol"])
        gamma, vanna, _ = gamma_vanna_charm(*(float(term) for term in terms), int(contract["right"]))
        held = float(contract["position"][NAIVE]) * float(contract["multiplier"])
        total = sums.setdefault(int(contract["expiry"]), [0.0, 0.0])
        total[0] += held * gamma * own_spot * own_spot
        total[1] += held * vanna * own_spot
    found = []
    for row, (gamma, vanna) in sums.items():
        expiry = state.expiries[row]
        beta = float(expiry["beta"])
        days = (int(expiry["settles_ns"]) - now_ns) / (86_400 * NS_PER_S)
        gains = (-KYLE_LAMBDA * gamma, -KYLE_LAMBDA * beta * vanna)
        found.append(ExpiryGain(int(expiry["settles_ns"]), days, *gains, vanna, beta, float(expiry["skew_slope"])))
    return sorted(found)


def evening(file: Path, parameters: Parameters = PARAMETERS) -> Evening:
    """One chain through the engine."""
    engine = Engine(parameters)
    last_ns = -1
    for batch in formats.read(formats.plan([file])):
        if not isinstance(batch, Reject):
            engine.step(empty_batch(), batch)
            last_ns = latest_event_ns(batch, last_ns)
    engine.step(empty_batch(), closing_clock(last_ns, PARAMETERS.pressure_interval_ms))
    underlying = engine.underlyings["SPX"]
    reading = read(underlying)
    book = reading.default
    market = underlying.market
    expiries = underlying.book.state.expiries
    return Evening(
        date=file.name[:10],
        spot=float(market["spot"]),
        iv_index=iv_index(expiries, int(market["expiries"]), int(market["ts_ns"])),
        contracts=int(market["live_contracts"]),
        gamma_field=book.gamma_field or 0.0,
        vanna_field=book.vanna_field or 0.0,
        beta_vanna_field=book.beta_vanna_field or 0.0,
        gain=book.feedback_gain or 0.0,
        gain_low=book.feedback_gain_low or 0.0,
        gain_high=book.feedback_gain_high or 0.0,
        amplification=book.amplification,
        amplification_without_vanna=book.amplification_without_vanna,
        reasons=reading.quality.reasons,
        expiries=by_expiry(underlying),
    )


def measure(folder: Path) -> list[Evening]:
    """The three evenings."""
    return [evening(folder / f"{date}.csv.gz") for date in DATES]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


def _number(value: float | None, digits: int = 2) -> str:
    return "none" if value is None else f"{value:.{digits}f}".replace("-", "−")


def _headline(evenings: list[Evening]) -> str:
    others = [law for law in PHI_LAWS if law != PARAMETERS.surface_phi]
    by_law = {
        law: [evening(CHAINS / f"{one.date}.csv.gz", replace(PARAMETERS, surface_phi=law)) for one in evenings]
        for law in others
    }
    rows: list[tuple[str, list[str]]] = [
        ("spot", [_number(one.spot) for one in evenings]),
        ("30-day vol, points", [_number(one.iv_index, 1) for one in evenings]),
        ("open contracts", [f"{one.contracts:,}" for one in evenings]),
        ("gamma, USD bn per 1 %", [_number(one.gamma_field / 1e11) for one in evenings]),
        ("vanna, USD bn per vol point", [_number(one.vanna_field / 1e11) for one in evenings]),
        ("gain by gamma", [_number(one.gamma_gain) for one in evenings]),
        ("gain by vanna, beta per expiry", [_number(one.vanna_gain) for one in evenings]),
        *(
            (f"the same, smiles by {law.replace('_', ' ')}", [_number(one.vanna_gain) for one in by_law[law]])
            for law in others
        ),
        ("**gain**", [_number(one.gain) for one in evenings]),
        ("90 % interval", [f"{_number(one.gain_low)} … {_number(one.gain_high)}" for one in evenings]),
        ("amplification", [_number(one.amplification) for one in evenings]),
        ("amplification without vanna", [_number(one.amplification_without_vanna) for one in evenings]),
        ("gain with one parallel at-the-money beta", [_number(one.parallel_gain) for one in evenings]),
        ("dealer share at which \\|gain\\| is 0.2", [_number(min(1.0, 0.2 / abs(one.gain))) for one in evenings]),
        ("reasons", [", ".join(one.reasons) or "none" for one in evenings]),
    ]
    head = _row(["", *(one.date for one in evenings)]) + _row(["---"] * (len(evenings) + 1))
    return head + "".join(_row([name, *cells]) for name, cells in rows)


def _terms(evenings: list[Evening]) -> str:
    text = _row(["term", *(f"{one.date}: gamma, vanna" for one in evenings)]) + _row(["---"] * (len(evenings) + 1))
    shortest = 0.0
    for longest, name in TERMS:
        cells = []
        for one in evenings:
            inside = [expiry for expiry in one.expiries if shortest < expiry.days <= longest]
            gamma, vanna = sum(expiry.gamma for expiry in inside), sum(expiry.vanna for expiry in inside)
            cells.append(f"{_number(gamma, 3)}, {_number(vanna, 3)}")
        text += _row([name, *cells])
        shortest = longest
    return text


def _expiries(one: Evening) -> str:
    largest = sorted(one.expiries, key=lambda expiry: -abs(expiry.gamma + expiry.vanna))[:EXPIRIES_SHOWN]
    text = f"\n{one.date}, of {len(one.expiries)} expiries:\n\n"
    text += _row(["settles (UTC)", "days", "gamma", "vanna", "sum", "beta"]) + _row(["---"] * 6)
    for expiry in sorted(largest):
        at = datetime.fromtimestamp(expiry.settles_ns / NS_PER_S, UTC)
        gains = [expiry.gamma, expiry.vanna, expiry.gamma + expiry.vanna]
        cells = [f"{at:%Y-%m-%d %H:%M}", f"{expiry.days:.1f}", *(_number(gain, 3) for gain in gains)]
        text += _row([*cells, _number(expiry.beta)])
    rest = [expiry for expiry in one.expiries if expiry not in largest]
    gamma, vanna = sum(expiry.gamma for expiry in rest), sum(expiry.vanna for expiry in rest)
    return text + _row(["all others", "", _number(gamma, 3), _number(vanna, 3), _number(gamma + vanna, 3), ""])


HEAD = """\
# The gain of a real index, term by term

Written by `python -m deploy.documents.gain` from the closing chains of SPX and SPXW, all numbers measured. Book:
`naive` (all open interest, dealers long calls and short puts), `dealer_share` 1, weights 1, price impact set to 5 bp
per USD bn (5e-13 per USD, standard error a quarter), `skew_stickiness` 1.5 ± 0.5. Gain = impact × hedge pressure;
above 0 it amplifies. Gamma and vanna terms are −λ Φ_Γ and −λ Σ β(τ) n Vanna S M.

"""


def vix_betas() -> dict[str, float]:
    """Slope of the daily change of the VIX (1.00 vol) on the log return of the S&P, by year."""
    with (INDICES / "spx.csv").open(encoding="utf-8") as file:
        spots = {row["Date"]: float(row["Close"]) for row in csv.DictReader(file)}
    with (INDICES / "vix.csv").open(encoding="utf-8") as file:
        vols = {f"{row['DATE'][6:]}-{row['DATE'][:2]}-{row['DATE'][3:5]}": row["CLOSE"] for row in csv.DictReader(file)}
    days = sorted(spots.keys() & vols.keys())
    found = {}
    for year in YEARS:
        pairs = [(a, b) for a, b in pairwise(days) if b.startswith(year)]
        returns = [math.log(spots[b] / spots[a]) for a, b in pairs]
        changes = [(float(vols[b]) - float(vols[a])) / 100 for a, b in pairs]
        found[year] = statistics.linear_regression(returns, changes).slope
    return found


def _page_numbers(evenings: list[Evening]) -> str:
    """Where the two numbers of the model page come from, as far as these evenings tell."""
    longest = min(evenings, key=lambda one: one.gamma_gain)
    kyle_lambda = KYLE_LAMBDA * PAGE_GAINS[0] / longest.gamma_gain
    beta = -(PAGE_GAINS[1] - PAGE_GAINS[0]) / (kyle_lambda * longest.vanna_field)
    slope = min(longest.expiries, key=lambda expiry: abs(expiry.days - IV_INDEX_TAU * 365)).skew_slope
    by_year = ", ".join(f"{_number(found)} in {year}" for year, found in vix_betas().items())
    return f"""\
- **The page's −2 to +4.** Not reproduced at this impact and this beta: from gamma alone to the parallel beta the widest
  span is {_number(longest.gamma_gain)} to {_number(longest.parallel_gain)} ({longest.date}). The page does not say its
  impact nor its beta. On that chain −2 and +4 come out together for an impact of {kyle_lambda:.1e} per USD, inside the
  page's own 5e-13 to 1.1e-12, and an at-the-money beta of {_number(beta)}; R times the 30-day slope of this surface is
  {_number(PARAMETERS.skew_stickiness * slope)}. Betas of that size are what a regression of the VIX on the index gives
  ({by_year}).
  Two free numbers meet two numbers: the likely reading, not a proof.
- **Which smile.** The vanna term hangs on the slope at the money that the fit finds; the table has it by three laws.
  One power law for all expiries moves it by less than the error of R does. Heston-like smiles cannot be steep at short
  terms (phi stays below a half), and with the slope they lose nearly all of the term: not a law for an index.
"""


def _reconciled(evenings: list[Evening]) -> str:
    """What the tables say beside MODEL.md section 4, its numbers taken from them."""
    beyond = sum(abs(one.gain) > 0.5 for one in evenings)
    against = sum(one.gamma_gain * one.vanna_gain < 0 for one in evenings)
    moved = ", ".join(f"{_number(one.gain)} → {_number(one.parallel_gain)}" for one in evenings)
    alone = ", ".join(f"{_number(one.gamma_gain)} → {_number(one.parallel_gain)}" for one in evenings)
    shares = [min(1.0, 0.2 / abs(one.gain)) for one in evenings]
    doubted = [one.date for one in evenings if "gain_implausible" in one.reasons]
    heavy = max((expiry for one in evenings for expiry in one.expiries), key=lambda expiry: abs(expiry.gamma))
    at = datetime.fromtimestamp(heavy.settles_ns / NS_PER_S, UTC)
    return f"""
## What it says beside MODEL.md section 4

- **The scale is that of the example there** (gamma −5 USD bn per 1 %, 5 bp per USD bn, gain 0.25): here too the gain by
  gamma is −0.05 for each USD bn per 1 % of long gamma.
- **All open interest is too much.** \\|gain\\| passes 0.5 on {beyond} of {len(evenings)} evenings, at vols of 12 to 13
  points: the naive book at `dealer_share` 1 overstates what dealers hold and hedge. A share of
  {_number(min(shares))} to {_number(max(shares))} would bring it to 0.2. It is a setting, and stands on every output.
- **Vanna can decide the sign.** Gamma and vanna pull against each other on {against} of {len(evenings)} evenings. That
  is why A is published with and without vanna, and why the interval spans 0 wherever the two nearly cancel.
- **Which beta.** One parallel at-the-money beta (R times the 30-day slope) in place of the fixed-strike beta of each
  expiry moves the gain {moved};
  from gamma alone it is {alone}. The direction and the change of sign are those
  that the model page warns of.
{_page_numbers(evenings).rstrip()}
- **Where it sits.** Gamma comes in heaps of both signs and single settlements can rule it: the largest is
  {at:%Y-%m-%d} with {_number(heavy.gamma)}. Short-dated series add short gamma to the naive book, those beyond a
  quarter long gamma. Vanna has one sign in all terms and is spread over them.
- **The rule for doubt works.** Beyond 0.8 on positions that nobody has confirmed the state is `degraded` with
  `gain_implausible` ({", ".join(doubted) or "none of these"}), and its gain is no evidence for a regime.
"""


def document(evenings: list[Evening]) -> str:
    """The whole page."""
    return (
        HEAD
        + _headline(evenings)
        + "\n## By term\n\n"
        + _terms(evenings)
        + f"\n## By expiry\n\nThe {EXPIRIES_SHOWN} that add most, and the others together.\n"
        + "".join(_expiries(one) for one in evenings)
        + _reconciled(evenings)
    )


def main() -> int:
    """Write the page; with --check only compare it, 1 where it differs."""
    if not CHAINS.is_dir():
        print(f"{DOCUMENT.name}: left as it is, the market data is not here", file=sys.stderr)
        return 0
    return keep(DOCUMENT, document(measure(CHAINS)))


if __name__ == "__main__":
    sys.exit(main())
