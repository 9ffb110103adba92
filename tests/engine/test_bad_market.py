"""What a broken or poor market does: each input has a defined answer and a named reason, and no number becomes NaN."""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from dhpe.columns import empty_batch
from dhpe.edge.decode import decode
from dhpe.edge.glossary import REASONS
from dhpe.engine import Engine
from dhpe.numerics.state import NAN_IS_UNKNOWN
from dhpe.outputs import Pressure
from dhpe.parameters import Parameters
from dhpe.surface import vol_counts
from option_chain import MS, NAME, SETTLES_NS, START_NS, contracts, option_quotes, spot_quote

STRIKES = (90.0, 95.0, 97.5, 100.0, 102.5, 105.0, 110.0)
LATER_NS = SETTLES_NS + 30 * 86_400 * 1_000_000_000
PARAMETERS = Parameters(
    pressure_interval_ms=0, revalue_interval_ms=1, kyle_lambda=1e-12, kyle_lambda_standard_error=2e-13
)
Records = list[dict[str, Any]]
NAN, INF = math.nan, math.inf
Answer = Callable[[Pressure, Pressure], bool]


def skewed(k: float) -> float:
    """A smile with a slope, so that beta is known."""
    return 0.20 - 0.3 * k


def at(after_ms: int, *records: dict[str, Any]) -> Records:
    """These records so many milliseconds after the first."""
    return [record | {"ts_event_ns": START_NS + after_ms * MS} for record in records]


def quotes(after_ms: int, spot: float = 100.0, strikes: tuple[float, ...] = STRIKES) -> Records:
    """All series quoted."""
    return at(after_ms, *option_quotes(strikes, spot, START_NS, skewed))


def sound(strikes: tuple[float, ...] = STRIKES) -> Records:
    """A chain of one expiry, quoted twice, whose surface has been fitted to all of it."""
    records = [spot_quote(100.0), *contracts(strikes, -1000.0), *option_quotes(strikes, 100.0, START_NS, skewed)]
    return [*records, *quotes(11_000, strikes=strikes), *at(12_000, {"kind": "clock"})]


def with_a_second_expiry() -> Records:
    """Two expiries: nothing is missing."""
    more = []
    for record in (*contracts(STRIKES, -1000.0), *option_quotes(STRIKES, 100.0, START_NS, skewed)):
        later = record | {"symbol": record["symbol"] + "L"}
        more.append(later | ({"settles_ns": LATER_NS} if "settles_ns" in later else {}))
    return [spot_quote(100.0), *more, *sound()[1:]]


def only(right: str) -> Records:
    """The series of one right."""
    return [record for record in sound() if str(record.get("symbol", right)).startswith(right)]


def rates(**said: Any) -> Records:
    """A rates record after the chain, quotes and a fit after that."""
    return [*at(13_000, {"kind": "rates"} | said), *quotes(24_000), *at(36_000, {"kind": "clock"})]


def told(bid: float, ask: float) -> Records:
    """One more quote of the call and of the put at 105, and a clock when both have been revalued and fitted."""
    quote = {"kind": "option_quote", "bid": bid, "bid_size": 1, "ask": ask, "ask_size": 1}
    both = [quote | {"symbol": symbol} for symbol in ("C105", "P105")]
    return [*at(13_000, *both), *quotes(24_000, strikes=(90.0,)), *at(25_000, {"kind": "clock"})]


def spot_at(price: float) -> Records:
    """Spot there, and no option quoted since."""
    return [*at(13_000, spot_quote(price)), *at(14_000, {"kind": "clock"})]


def without(kind: str, records: Records) -> Records:
    """What is left of them."""
    return [record for record in records if record["kind"] != kind]


def again(strike: float) -> Records:
    """C100 listed once more."""
    terms = {"right": "C", "strike": strike, "multiplier": 100, "exercise": "european", "settles_ns": SETTLES_NS}
    return [*at(13_000, {"kind": "contract", "symbol": "C100"} | terms), *at(14_000, {"kind": "clock"})]


def settled() -> Records:
    """The last tick before settlement, the settlement, and records that come after it."""
    late = {"kind": "option_quote", "symbol": "C100", "bid": 1.0, "bid_size": 1, "ask": 1.1, "ask_size": 1}
    return [
        spot_quote(100.1) | {"ts_event_ns": SETTLES_NS - 1},
        {"kind": "clock", "ts_event_ns": SETTLES_NS},
        late | {"ts_event_ns": SETTLES_NS + MS},
        spot_quote(100.2) | {"ts_event_ns": SETTLES_NS + 2 * MS},
    ]


def same(before: Pressure, after: Pressure) -> bool:
    """The input changed nothing but what half a minute does."""
    assert before.gamma_field is not None
    return after.gamma_field == pytest.approx(before.gamma_field, rel=1e-4) and after.forward == pytest.approx(
        before.forward, rel=1e-6
    )


def no_fields(_: Pressure, after: Pressure) -> bool:
    """Nothing is known, and nothing that was known before is said again."""
    told = (after.gamma_field, after.amplification, after.gamma_flip, after.call_wall, after.decay_wind_repriced)
    return told == (None,) * len(told) and after.gamma_flips == []


def finite(_: Pressure, after: Pressure) -> bool:
    """There is an answer, however odd the market."""
    return after.gamma_field is not None and after.amplification is not None


class Row(NamedTuple):
    """An input after a sound chain (or in its place), the answer, and the words that must be said."""

    name: str
    records: Records
    answer: Answer
    reasons: frozenset[str] = frozenset()
    rejected: frozenset[str] = frozenset()
    instead: bool = False
    vol_reasons: frozenset[str] = frozenset()


def row(
    name: str,
    records: Records,
    answer: Answer,
    reasons: str = "",
    rejected: str = "",
    instead: bool = False,
    vols: str = "",
) -> Row:
    """A row with its words written with spaces between."""
    words = (frozenset(text.split()) for text in (reasons, rejected))
    return Row(name, records, answer, *words, instead, frozenset(vols.split()))


TABLE = [
    row("nothing is wrong", with_a_second_expiry(), finite, instead=True),
    row("one expiry", sound(), finite, "one_expiry", instead=True),
    row("one strike", sound((100.0,)), finite, "one_expiry beta_unknown", instead=True),
    row(
        "no quotes",
        [*without("option_quote", sound()), *at(24_000, {"kind": "clock"})],
        no_fields,
        "no_vols beta_unknown",
        instead=True,
    ),
    row(
        "only puts",
        only("P"),
        finite,
        "forward_by_default one_expiry beta_unknown",
        instead=True,
    ),
    row("only calls", only("C"), finite, "forward_by_default one_expiry beta_unknown", instead=True),
    row(
        "open interest missing",
        without("dealer_position", sound()),
        no_fields,
        "no_positions open_interest_missing one_expiry beta_unknown",
        instead=True,
    ),
    row(
        "open interest of one series of fourteen",
        [r for r in sound() if r["kind"] != "dealer_position" or r["symbol"] == "C100"],
        finite,
        "open_interest_missing one_expiry",
        instead=True,
    ),
    row("no spot", without("quote", sound()), no_fields, "spot_unknown beta_unknown", instead=True),
    row("listed again alike", again(100.0), same, "one_expiry"),
    row("listed twice with another strike", again(101.0), same, "one_expiry", "contract_conflict"),
    row("spot falls 30 %", spot_at(70.0), finite, "surface_behind_spot one_expiry"),
    row("spot rises 30 %", spot_at(130.0), finite, "surface_behind_spot one_expiry"),
    row("a wide quote near nothing is no spot", spot_at(0.0501), finite, "one_expiry"),
    row("spot of millions", spot_at(9e8), finite, "surface_behind_spot one_expiry"),
    row("an expiry passes", settled(), no_fields, "no_contracts beta_unknown", "expired_contract"),
    row("rate NaN, yield told", rates(rate=NAN, dividend_yield=0.01), same, "one_expiry"),
    row("rate infinite", rates(rate=INF, dividend_yield=0.0), same, "one_expiry", "bad_rate"),
    row("rate of 500 %", rates(rate=5.0, dividend_yield=0.0), same, "one_expiry", "bad_rate"),
    row("rate of 99 %", rates(rate=0.99, dividend_yield=0.0), finite, "one_expiry"),
    row("rate of -99 %", rates(rate=-0.99, dividend_yield=0.0), finite, "one_expiry"),
    row("yield infinite", rates(rate=0.02, dividend_yield=-INF), same, "one_expiry", "bad_rate"),
    row(
        "forward of next to nothing",
        rates(settles_ns=SETTLES_NS, forward=1e-6),
        same,
        "rates_refused one_expiry",
    ),
    row(
        "forward of millions",
        rates(settles_ns=SETTLES_NS, forward=9e8),
        same,
        "rates_refused one_expiry",
    ),
    row(
        "discount of next to nothing",
        rates(settles_ns=SETTLES_NS, forward=100.0, discount=1e-9),
        same,
        "rates_refused one_expiry",
    ),
    row("vol beyond all prices", told(199.0, 201.0), finite, "one_expiry", vols="above_maximum"),
    row("price NaN", told(NAN, 1.0), same, "one_expiry", "wrong_shape"),
    row("price infinite", told(1.0, INF), same, "one_expiry", "bad_price"),
    row("price negative", told(-1.0, 1.0), same, "one_expiry", "bad_price"),
    row("offer of millions", told(0.01, 9e8), finite, "one_expiry", vols="above_maximum"),
    row("crossed", told(2.0, 1.0), finite, "one_expiry", vols="crossed_quote"),
    row("nobody bids", told(0.0, 1.0), finite, "one_expiry", vols="zero_bid"),
    row("nobody offers", told(1.0, 0.0), finite, "one_expiry", vols="no_ask"),
]


def floats_of(name: str, array: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """All columns of numbers of an array, however deep its rows."""
    if array.dtype.names:
        for column in array.dtype.names:
            yield from floats_of(f"{name}.{column}", array[column])
    elif array.dtype.kind == "f":
        yield name, array


def arrays_of(owner: Any, name: str, seen: set[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Every array of numbers that hangs on an object of ours, found by looking, not by a list."""
    if id(owner) in seen:
        return
    seen.add(id(owner))
    if isinstance(owner, np.ndarray):
        yield from floats_of(name, owner)
    elif isinstance(owner, dict):
        for key, value in owner.items():
            yield from arrays_of(value, f"{name}.{key}", seen)
    elif isinstance(owner, (list, tuple)):
        fields = getattr(owner, "_fields", range(len(owner)))
        for field, value in zip(fields, owner, strict=True):
            yield from arrays_of(value, f"{name}.{field}", seen)
    elif type(owner).__module__.startswith("dhpe.") and hasattr(owner, "__dict__"):
        for field, value in vars(owner).items():
            yield from arrays_of(value, f"{name}.{field}", seen)


def broken_numbers(engine: Engine) -> list[str]:
    """Columns of the state with an infinity, or with a NaN where NaN does not stand for unknown.

    In the memory of the regime a NaN is what no bar has said yet; rules read it as nothing.
    """
    found = []
    for place, owner in enumerate(engine._underlyings[NAME]):
        for name, values in arrays_of(owner, f"{place}", set()):
            unknown = place == 1 or name.rsplit(".", 1)[-1] in NAN_IS_UNKNOWN
            if not np.isfinite(values[~np.isnan(values)] if unknown else values).all():
                found.append(name)
    return found


def odd_floats(said: Any, name: str = "") -> Iterator[str]:
    """Places of an output with a number that JSON cannot carry."""
    if isinstance(said, float) and not math.isfinite(said):
        yield name
    elif isinstance(said, dict):
        for key, value in said.items():
            yield from odd_floats(value, f"{name}.{key}")
    elif isinstance(said, list):
        for place, value in enumerate(said):
            yield from odd_floats(value, f"{name}[{place}]")


def play(engine: Engine, records: Records) -> tuple[Pressure, set[str]]:
    """The last state after one step, and why records were refused; every output is looked through."""
    messages = [
        msgspec.json.encode({"underlying": NAME, "ts_event_ns": START_NS + place * MS} | record)
        if not any(isinstance(value, float) and not math.isfinite(value) for value in record.values())
        else literal({"underlying": NAME} | record)
        for place, record in enumerate(records)
    ]
    decoded = decode([(place, None, value, None, None) for place, value in enumerate(messages)], "ticks")
    result = engine.step(empty_batch(), decoded.batch)
    for output in result.outputs:
        assert list(odd_floats(msgspec.to_builtins(output))) == []
    refused = {reject.reason for reject in (*decoded.rejects, *result.rejects)}
    return [output for output in result.outputs if isinstance(output, Pressure)][-1], refused


def literal(record: dict[str, Any]) -> bytes:
    """JSON as careless feeds write it: a number larger than prices can be, or none at all where there was no number."""
    sizes = {name: value for name, value in record.items() if not (isinstance(value, float) and math.isnan(value))}
    return msgspec.json.encode(
        {name: math.copysign(9e307, value) if value in (INF, -INF) else value for name, value in sizes.items()}
    )


@pytest.mark.parametrize("case", TABLE, ids=[case.name for case in TABLE])
def test_a_broken_market_has_a_defined_answer(case: Row) -> None:
    """The answer, the reasons in the words of the glossary, the refusals, and no broken number anywhere."""
    engine = Engine(PARAMETERS)
    before, _ = play(engine, sound()) if not case.instead else (None, None)
    after, refused = play(engine, case.records)
    # Here positions are reported: no series has a print of its open interest.
    assert set(after.quality.reasons) - {"open_interest_unknown"} == case.reasons
    assert set(after.quality.reasons) <= set(REASONS)
    assert refused == case.rejected
    assert case.answer(before or after, after)
    assert broken_numbers(engine) == []
    book = engine.underlyings[NAME].book
    assert set(vol_counts(book.state.contracts, len(book)).by_reason) - {"solved"} == case.vol_reasons


def test_every_reason_has_its_sentence(project: Path) -> None:
    """The words that the service can say are those of the glossary, no more and no fewer."""
    sources = [project / "service" / "dhpe" / name for name in ("reading.py", "edge/steps.py")]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    said = set(re.findall(r'reasons\.add\("(\w+)"\)', text)) | {"spot_unknown", "data_loss"}
    assert said == set(REASONS)
