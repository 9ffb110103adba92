"""What the state means at one instant: impact, feedback and interval of each book, and how far to trust them."""

import math
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dhpe.feedback import Envelope, Feedback, book_feedback, dealer_risk, envelope
from dhpe.liquidity import KyleLambda
from dhpe.numerics.parity import FORWARD_DEFAULT
from dhpe.numerics.side_calibration import LATE_FEED
from dhpe.numerics.state import BETA_VANNA, BOOKS, CHARM, FIELDS, GAMMA, NS_PER_S, SPOT_SOURCES, VANNA
from dhpe.open_interest import OpenInterest, read_open_interest
from dhpe.outputs import DealerRisk, Quality
from dhpe.parameters import Parameters
from dhpe.underlying import Underlying

STALE_REASONS: Final = frozenset({"spot_unknown", "spot_stale"})
UNKNOWN_REASONS: Final = STALE_REASONS | {"no_contracts", "no_vols", "no_positions"}
"""With one of these there are no fields."""
NOTES: Final = frozenset(
    {
        "american_de_americanised",
        "gain_reaches_one",
        "lambda_from_depth",
        "one_expiry",
        "open_interest_unknown",
        "overhedging",
        "quotes_old",
    }
)
"""Reasons that say how a number was made, without making it a bad one."""


class Beta(NamedTuple):
    """|vanna|-weighted mean of the fixed-strike spot-vol beta; the error is ``None`` where it is unknown."""

    value: float
    standard_error: float | None


class Quotes(NamedTuple):
    """How the quotes arrive: the share that is late, and their mean age when a trade comes; the worse of both feeds."""

    late_share: float | None
    age_mean_s: float | None


class Reading(NamedTuple):
    """Everything that follows from the fields at the market's event time."""

    spot: float | None
    spot_source: str | None
    kyle_lambda: KyleLambda
    amihud_illiquidity: float | None
    beta: Beta | None
    books: dict[str, Feedback]
    default: Feedback
    band: Envelope
    dealer_risk: DealerRisk | None
    gain_usable: bool
    quotes: Quotes
    open_interest: OpenInterest
    quality: Quality


def beta_of(market: np.void, expiries: NDArray[np.void], parameters: Parameters) -> Beta | None:
    """The mean beta over the open rows of state.EXPIRY; ``None`` where neither the surface nor a setting tells."""
    if parameters.spot_vol_beta is not None:
        return Beta(parameters.spot_vol_beta, parameters.spot_vol_beta_standard_error)
    still_open = expiries["settles_ns"] > market["ts_ns"]
    known = expiries[still_open & ~np.isnan(expiries["beta_standard_error"]) & (expiries["vanna_weight"] > 0)]
    if len(known) == 0:
        return None
    share = known["vanna_weight"].tolist()
    total = sum(share)
    # The stickiness is one number for all expiries, so their errors go up and down together and add up plainly.
    return Beta(
        sum(w * b for w, b in zip(share, known["beta"].tolist(), strict=True)) / total,
        sum(w * e for w, e in zip(share, known["beta_standard_error"].tolist(), strict=True)) / total,
    )


def _quotes(market: np.void) -> Quotes:
    late = max(float(market["option_late_share"]), float(market["underlying_late_share"]))
    age_ns = max(float(market["option_quote_age_ns"]), float(market["underlying_quote_age_ns"]))
    return Quotes(late if market["active_ns"] > 0 else None, age_ns / NS_PER_S if age_ns >= 0 else None)


def input_reasons(market: np.void, parameters: Parameters) -> set[str]:
    """What is missing or old among the inputs; ``market`` is a row of state.MARKET."""
    if not market["spot"] > 0:
        return {"spot_unknown"} if market["contracts"] else {"spot_unknown", "no_contracts"}
    reasons = set()
    if market["ts_ns"] - market["spot_ns"] > parameters.spot_max_age_s * NS_PER_S:
        reasons.add("spot_stale")
    if not market["live_contracts"]:
        reasons.add("no_contracts")
    else:
        if not market["valued_contracts"]:
            reasons.add("no_vols")
        if not market["held_contracts"]:
            reasons.add("no_positions")
        if 2 * market["informed_contracts"] < market["live_contracts"]:
            reasons.add("open_interest_missing")
        if market["american_contracts"]:
            reasons.add("american_de_americanised")
    return reasons


def model_reasons(kyle_lambda: KyleLambda, beta: Beta | None) -> set[str]:
    """What is missing of the impact and the beta."""
    reasons = set()
    if kyle_lambda.value is None:
        reasons.add("lambda_unknown")
    elif kyle_lambda.source == "depth":
        reasons.add("lambda_from_depth")
    if beta is None:
        reasons.add("beta_unknown")
    return reasons


def is_implausible(gain: float | None, market: np.void, parameters: Parameters) -> bool:
    """Whether the gain of the default book is too large for one that no report has anchored."""
    # A report of positions never reaches the naive book.
    anchored = market["anchored_contracts"] > 0 and parameters.default_book != "naive"
    return gain is not None and abs(gain) > parameters.gain_implausible and not anchored


def judged(reasons: set[str]) -> Quality:
    """The quality that reasons make."""
    status: Literal["ok", "degraded", "stale"]
    status = "stale" if reasons & STALE_REASONS else "degraded" if reasons - NOTES else "ok"
    return Quality(status, sorted(reasons))


def surface_reasons(market: np.void, expiries: NDArray[np.void], parameters: Parameters) -> set[str]:
    """What the forwards and smiles of the last fit lack; nothing before the first. Rows of state.EXPIRY."""
    still_open = expiries[expiries["settles_ns"] > market["ts_ns"]]
    if len(still_open) == 0 or not (market["spot"] > 0 and market["surface_spot"] > 0):
        return set()
    reasons = set()
    if abs(math.log(market["spot"] / market["surface_spot"])) > parameters.surface_move_max_log:
        reasons.add("surface_behind_spot")
    if len(still_open) == 1:
        reasons.add("one_expiry")
    if (still_open["forward_source"] == FORWARD_DEFAULT).all():
        reasons.add("forward_by_default")
    if still_open["given_refused"].any():
        reasons.add("rates_refused")
    return reasons


def _book(underlying: Underlying, book: int, usable: bool, kyle_lambda: KyleLambda, beta: Beta | None) -> Feedback:
    fields = underlying.market["fields"][:, book].tolist() if usable else [None] * FIELDS
    return book_feedback(
        fields[GAMMA], fields[VANNA], fields[CHARM], fields[BETA_VANNA], kyle_lambda, beta, underlying.parameters
    )


def read(underlying: Underlying) -> Reading:
    """The reading of the present state; brings the fields up to date first."""
    if not underlying.market["fields_valid"]:
        underlying.refresh()
    market = underlying.market
    parameters = underlying.parameters
    expiries = underlying.book.state.expiries[: int(market["expiries"])]
    reasons = input_reasons(market, parameters) | surface_reasons(market, expiries, parameters)
    if underlying.gaps:
        reasons.add("sequence_gap")
    usable = not reasons & UNKNOWN_REASONS
    kyle_lambda, amihud = underlying.impact()
    beta = beta_of(market, expiries, parameters)
    reasons |= model_reasons(kyle_lambda, beta)
    books = {name: _book(underlying, book, usable, kyle_lambda, beta) for book, name in enumerate(BOOKS)}
    default = books[parameters.default_book]
    gain = default.feedback_gain
    if any(book.feedback_gain_high is not None and book.feedback_gain_high >= 1 for book in books.values()):
        reasons.add("gain_reaches_one")
    if default.overhedging and parameters.hedging_delay == "slower":
        reasons.add("overhedging")
    implausible = is_implausible(gain, market, parameters)
    if implausible:
        reasons.add("gain_implausible")
    quotes = _quotes(market)
    if quotes.late_share is not None and quotes.late_share > LATE_FEED:
        reasons.add("quotes_late")
    if quotes.age_mean_s is not None and quotes.age_mean_s > parameters.quote_stale_s:
        reasons.add("quotes_old")
    known_spot = not reasons & STALE_REASONS
    interest = read_open_interest(underlying.book.state, parameters)
    if interest.printed is None and "no_contracts" not in reasons:
        reasons.add("open_interest_unknown")
    return Reading(
        spot=float(market["spot"]) if known_spot else None,
        spot_source=SPOT_SOURCES[market["spot_source"]] if known_spot else None,
        kyle_lambda=kyle_lambda,
        amihud_illiquidity=amihud,
        beta=beta,
        books=books,
        default=default,
        band=envelope(list(books.values())),
        dealer_risk=dealer_risk(gain, default.feedback_gain_low, default.feedback_gain_high),
        gain_usable=gain is not None and not implausible,
        quotes=quotes,
        open_interest=interest,
        quality=judged(reasons),
    )
