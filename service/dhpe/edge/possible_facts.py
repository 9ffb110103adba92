"""What is possible of reference data: the door's questions to one fact. A fault is a reason and a sentence."""

from datetime import date
from math import isnan
from typing import Final

from dhpe.columns import Adjustment, Contract, DealerPosition, Instrument, OpenInterest, Rates, Reference
from dhpe.edge.messages import (
    DISCOUNT_LIMIT,
    PRICE_LIMIT,
    RATIO_LIMIT,
    SIZE_LIMIT,
    SMALLEST,
    TIME_FIRST_NS,
    TIME_LAST_NS,
)

SENTINELS: Final = (float(2**31 - 1), float(2**32 - 1), float(2**63 - 1))
"""INT32_MAX, UINT32_MAX, INT64_MAX: how integer formats say "no size"."""

POSITIVE_PRICE: Final = f"a price of the underlying is at least {SMALLEST:g} and below {PRICE_LIMIT:g}"
SIZE: Final = f"a size is 0, or at least {SMALLEST:g}, below {SIZE_LIMIT:g} and no integer maximum"


def fault_of(fact: Reference, time_ns: int) -> tuple[str, str] | None:
    """Why a fact of event time ``time_ns`` cannot be true; None where it can."""
    match fact:
        case Contract():
            return _contract_fault(fact, time_ns)
        case Instrument():
            return _instrument_fault(fact)
        case OpenInterest():
            return _open_interest_fault(fact)
        case Rates():
            return _rates_fault(fact)
        case DealerPosition(_, position):
            if abs(position) < SIZE_LIMIT:
                return None
            return "bad_position", f"position is {position!r}: it is finite and its size below {SIZE_LIMIT:g}"
        case Adjustment():
            return _adjustment_fault(fact)


def _contract_fault(contract: Contract, time_ns: int) -> tuple[str, str] | None:
    settles_ns = contract.settles_ns
    if contract.right not in (1, -1):
        return "bad_right", f"right is {contract.right!r}: a series is a call (+1) or a put (-1)"
    if not SMALLEST <= contract.strike < PRICE_LIMIT:
        return "bad_strike", f"strike is {contract.strike!r}: it is at least {SMALLEST:g} and below {PRICE_LIMIT:g}"
    if not SMALLEST <= contract.multiplier < PRICE_LIMIT:
        return (
            "bad_multiplier",
            f"multiplier is {contract.multiplier!r}: it is at least {SMALLEST:g} and below {PRICE_LIMIT:g}",
        )
    if not TIME_FIRST_NS <= settles_ns < TIME_LAST_NS:
        return "bad_settlement", f"settles_ns is {settles_ns}{other_unit(settles_ns)}: it is nanoseconds, 2000 to 2100"
    if settles_ns <= time_ns:
        return "expired_contract", f"settles_ns is {settles_ns}, which is not after ts_event_ns {time_ns}"
    return None


def _instrument_fault(instrument: Instrument) -> tuple[str, str] | None:
    if instrument.role not in ("spot", "hedge"):
        return "bad_role", f"role is {instrument.role!r}: an instrument is 'spot' or 'hedge'"
    if not SMALLEST <= instrument.multiplier < PRICE_LIMIT:
        return (
            "bad_multiplier",
            f"multiplier is {instrument.multiplier!r}: it is at least {SMALLEST:g} and below {PRICE_LIMIT:g}",
        )
    return None


def _open_interest_fault(fact: OpenInterest) -> tuple[str, str] | None:
    if not 0.0 <= fact.open_interest < SIZE_LIMIT or fact.open_interest in SENTINELS:
        return "bad_open_interest", f"open_interest is {fact.open_interest!r}: {SIZE}"
    try:
        written = date.fromisoformat(fact.trading_date).isoformat()
    except ValueError:
        written = ""
    if written != fact.trading_date:
        return "bad_date", f"trading_date is {fact.trading_date!r}: it is written YYYY-MM-DD"
    return None


def _adjustment_fault(fact: Adjustment) -> tuple[str, str] | None:
    if not fact.series and fact.shares == 1.0:
        return "empty_adjustment", "the record changes neither the shares nor a series"
    ratios = [("shares", fact.shares), *((f"contracts of {one.symbol}", one.contracts) for one in fact.series)]
    for name, ratio in ratios:
        if not 1.0 / RATIO_LIMIT <= ratio <= RATIO_LIMIT:
            return "bad_ratio", f"{name} is {ratio!r}: it is between 1/{RATIO_LIMIT:g} and {RATIO_LIMIT:g}"
    for one in fact.series:
        if not (0.0 < one.strike < PRICE_LIMIT or isnan(one.strike)):
            return "bad_strike", f"strike of {one.symbol} is {one.strike!r}: it is above 0 and below {PRICE_LIMIT:g}"
        if not (0.0 < one.multiplier < PRICE_LIMIT or isnan(one.multiplier)):
            return "bad_multiplier", f"multiplier of {one.symbol} is {one.multiplier!r}: above 0, below {PRICE_LIMIT:g}"
    for name, symbols in (
        ("symbol", [one.symbol for one in fact.series]),
        ("new_symbol", [one.new_symbol for one in fact.series]),
    ):
        if len(set(symbols)) < len(symbols):
            return "ambiguous_adjustment", f"one {name} stands there twice: each series becomes one other"
    return None


def _rates_fault(rates: Rates) -> tuple[str, str] | None:
    for name, value in (("rate", rates.rate), ("dividend_yield", rates.dividend_yield)):
        if not (abs(value) < 1.0 or isnan(value)):
            return "bad_rate", f"{name} is {value!r}: a rate is a fraction per year, its size below 1"
    if not (SMALLEST <= rates.forward < PRICE_LIMIT or isnan(rates.forward)):
        return "bad_price", f"forward is {rates.forward!r}: {POSITIVE_PRICE}"
    if not (SMALLEST <= rates.discount < DISCOUNT_LIMIT or isnan(rates.discount)):
        return (
            "bad_discount",
            f"discount is {rates.discount!r}: it is at least {SMALLEST:g} and below {DISCOUNT_LIMIT:g}",
        )
    if rates.settles_ns and not TIME_FIRST_NS <= rates.settles_ns < TIME_LAST_NS:
        return "bad_settlement", f"settles_ns is {rates.settles_ns}: it is nanoseconds, 2000 to 2100"
    of_one_expiry = not (isnan(rates.forward) and isnan(rates.discount))
    if of_one_expiry and not rates.settles_ns:
        return "incomplete_rates", "a forward or a discount belongs to one expiry: settles_ns is missing"
    if not of_one_expiry and isnan(rates.rate) and isnan(rates.dividend_yield):
        return "incomplete_rates", "the record says no rate, dividend_yield, forward or discount"
    return None


def other_unit(time: int) -> str:
    """A remark for a time that would fit in another unit than nanoseconds."""
    for unit, scale in (("microseconds", 1_000), ("milliseconds", 1_000_000), ("seconds", 1_000_000_000)):
        if TIME_FIRST_NS <= time * scale < TIME_LAST_NS:
            return f" (looks like {unit})"
    return ""
