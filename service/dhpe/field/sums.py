"""The field at the spot, taken apart by strike, by expiry and by term."""

import math
from typing import Final

import numpy as np

from dhpe.field.copying import FieldCopy
from dhpe.field_outputs import ExpiryFields, FieldAtSpot, FieldColumns, FieldLimits, StrikeFields, TermFields
from dhpe.landscape import Rows
from dhpe.numerics.state import BOOKS, CHARM, GAMMA, NS_PER_S, VANNA
from dhpe.potential import source
from dhpe.projection import Fields, FieldSums, by_expiry, by_strike

NS_PER_DAY: Final = 86_400 * NS_PER_S
TERMS: Final = (
    (7, "up to 7 days"),
    (30, "8 to 30 days"),
    (90, "31 to 90 days"),
    (365, "91 days to a year"),
    (math.inf, "more"),
)
"""Longest number of days to settlement, and what the term is called."""


def at_spot(copy: FieldCopy, rows: Rows, limits: FieldLimits) -> FieldAtSpot:
    """The default book; ``rows`` are the held contracts."""
    spot, now_ns = float(copy.market["spot"]), int(copy.market["ts_ns"])
    book = BOOKS.index(copy.parameters.default_book)
    impact = copy.kyle_lambda.value
    tau_floor_ns = int(copy.parameters.tau_floor_s * NS_PER_S)
    settled = by_expiry(rows, spot, now_ns, tau_floor_ns)
    settlements: list[int] = settled.keys.tolist()
    series = np.unique(rows.contracts["settles_ns"], return_counts=True)[1].tolist()
    columns = {
        "gamma_field": settled.fields[GAMMA, book].tolist(),
        "vanna_field": settled.fields[VANNA, book].tolist(),
        "charm_field": settled.fields[CHARM, book].tolist(),
        "hedge_pressure": source(settled.fields, book, copy.parameters).tolist(),
    }
    totals = {name: sum(column) for name, column in columns.items()}
    kept = limits.expiries_max
    return FieldAtSpot(
        **totals,
        feedback_gain=None if impact is None else impact * totals["hedge_pressure"],
        by_strike=_strikes(by_strike(rows, spot, now_ns, tau_floor_ns), book, spot, limits.strikes_max),
        by_expiry=ExpiryFields(
            settles_ns=settlements[:kept],
            series=series[:kept],
            **{name: column[:kept] for name, column in columns.items()},
            feedback_gain=_gains(impact, columns["hedge_pressure"][:kept]),
            expiries_left_out=max(len(settlements) - kept, 0),
        ),
        by_term=_terms([(at_ns - now_ns) / NS_PER_DAY for at_ns in settlements], series, columns, impact),
    )


def _gains(impact: float | None, pressures: list[float]) -> list[float] | None:
    return None if impact is None else [impact * pressure for pressure in pressures]


def _terms(days: list[float], series: list[int], columns: dict[str, list[float]], impact: float | None) -> TermFields:
    """Sums over all expiries of each term that has any."""
    found: dict[str, list[int]] = {}
    for place, ahead in enumerate(days):
        found.setdefault(next(name for longest, name in TERMS if ahead <= longest), []).append(place)
    sums = {name: [sum(column[at] for at in places) for places in found.values()] for name, column in columns.items()}
    return TermFields(
        terms=list(found),
        series=[sum(series[at] for at in places) for places in found.values()],
        **sums,
        feedback_gain=_gains(impact, sums["hedge_pressure"]),
    )


def _strikes(sums: FieldSums, book: int, spot: float, strikes_max: int) -> StrikeFields:
    """The strikes nearest to the spot, rising."""
    distance = [max(strike / spot, spot / strike) for strike in sums.keys.tolist()]
    nearest = np.sort(np.argsort(distance, kind="stable")[:strikes_max])
    return StrikeFields(
        strikes=sums.keys[nearest].tolist(),
        calls=_columns(sums.fields[:, book, 0, nearest]),
        puts=_columns(sums.fields[:, book, 1, nearest]),
        strikes_left_out=len(sums.keys) - len(nearest),
    )


def _columns(fields: Fields) -> FieldColumns:
    return FieldColumns(
        gamma_field=fields[GAMMA].tolist(), vanna_field=fields[VANNA].tolist(), charm_field=fields[CHARM].tolist()
    )
