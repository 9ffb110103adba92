"""From a copy to the record: which parts can be known, and what is missing."""

from dhpe.field.copying import FieldCopy
from dhpe.field.holdings import at_their_strikes, held
from dhpe.field.prices import PriceReading
from dhpe.field.sums import at_spot
from dhpe.field.surface import surface_of
from dhpe.field_outputs import Field, FieldLimits
from dhpe.numerics.state import SLOT_NEVER, SPOT_SOURCES
from dhpe.reading import (
    STALE_REASONS,
    UNKNOWN_REASONS,
    beta_of,
    input_reasons,
    is_implausible,
    judged,
    model_reasons,
    surface_reasons,
)


def field_of(copy: FieldCopy, limits: FieldLimits) -> Field:
    """The record of one copy: a pure function, slow where the chain is large."""
    market, parameters = copy.market, copy.parameters
    reasons = input_reasons(market, parameters)
    reasons |= model_reasons(copy.kyle_lambda, beta_of(market, copy.rows.expiries, parameters))
    reasons |= surface_reasons(market, copy.rows.expiries, parameters)
    if copy.lost:
        reasons.add("data_loss")
    known_spot = not reasons & STALE_REASONS
    fitted = known_spot and market["surface_slot"] != SLOT_NEVER
    rows = held(copy.rows, int(market["ts_ns"]))
    if known_spot:
        rows = at_their_strikes(rows, float(market["spot"]), int(market["ts_ns"]))
    usable = fitted and not reasons & UNKNOWN_REASONS and len(rows.contracts) > 0
    spot_part = at_spot(copy, rows, limits) if usable else None
    if spot_part is not None and is_implausible(spot_part.feedback_gain, market, parameters):
        reasons.add("gain_implausible")
    prices = PriceReading(copy, rows, limits) if usable else None
    return Field(
        underlying=copy.underlying,
        ts_event_ns=int(market["ts_ns"]),
        spot=float(market["spot"]) if known_spot else None,
        spot_source=SPOT_SOURCES[market["spot_source"]] if known_spot else None,
        default_book=parameters.default_book,
        dealer_share=parameters.dealer_share,
        tau_floor_s=parameters.tau_floor_s,
        at_spot=spot_part,
        landscape=prices.landscape() if prices else None,
        potential=prices.potential() if prices else None,
        surface=surface_of(copy, limits) if fitted else None,
        limits=limits,
        quality=judged(reasons),
        offsets=copy.offsets,
        engine_version=copy.engine_version,
    )
