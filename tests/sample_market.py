"""A minute of a small market that we made up: 20 series, quotes, trades, depth and indices, for replays.

``tests/samples/market.jsonl`` is what ``lines`` writes; ``python tests/sample_market.py`` writes it anew.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SAMPLE = Path(__file__).parent / "samples" / "market.jsonl"
START_NS = 1_768_487_400_000_000_000  # 2026-01-15 14:30 UTC
SECOND_NS = 1_000_000_000
SECONDS = 60
NAME = "TOY"
SERIES = [
    (expiration, strike, right)
    for expiration in ("2026-01-16", "2026-02-20")
    for strike in (96.0, 98.0, 100.0, 102.0, 104.0)
    for right in "CP"
]


def symbol(expiration: str, strike: float, right: str) -> str:
    """The series' OSI symbol."""
    return f"{NAME:<6}{expiration[2:].replace('-', '')}{right}{round(strike * 1000):08d}"


def normal(x: float) -> float:
    """The normal distribution function."""
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def price(spot: float, strike: float, right: str, years: float) -> float:
    """Black-Scholes without rates, at 20 % and a skew."""
    deviation = (0.2 - 0.3 * math.log(strike / spot)) * math.sqrt(years)
    d1 = math.log(spot / strike) / deviation + 0.5 * deviation
    call = spot * normal(d1) - strike * normal(d1 - deviation)
    return call if right == "C" else call - spot + strike


def records() -> Iterator[dict[str, Any]]:
    """Reference data, then a minute of ticks."""
    head = {"underlying": NAME, "ts_event_ns": START_NS - 3600 * SECOND_NS}
    for expiration, strike, right in SERIES:
        series = {"symbol": symbol(expiration, strike, right), "right": right, "strike": strike, "multiplier": 100.0}
        terms = {"exercise": "european", "expiration": expiration, "settlement": "pm", "calendar": "XNYS"}
        yield {"kind": "contract"} | head | series | terms
    for expiration, strike, right in SERIES:
        day = {"trading_date": "2026-01-15", "open_interest": 1.0 * strike if right == "C" else 1.5 * strike}
        yield {"kind": "open_interest"} | head | {"symbol": symbol(expiration, strike, right)} | day
    for second in range(SECONDS):
        yield from ticks(second)


def ticks(second: int) -> Iterator[dict[str, Any]]:
    """One second: indices and depth now and then, a quote, options, a trade of each."""
    head = {"underlying": NAME, "ts_event_ns": START_NS + second * SECOND_NS}
    spot = round(100.0 + 0.3 * math.sin(second / 9.0) - 0.01 * second, 2)
    if second % 10 == 0:
        for name, value in (("VIX", 20.0 + 0.02 * second), ("VVIX", 95.0 + 0.05 * second)):
            yield {"kind": "index_value"} | head | {"name": name, "value": round(value, 2)}
        levels = [[round(spot - 0.01 * (place + 1), 2), 100.0 * (place + 1)] for place in range(3)]
        offers = [[round(spot + 0.01 * (place + 1), 2), 120.0 * (place + 1)] for place in range(3)]
        yield {"kind": "depth"} | head | {"bids": levels, "asks": offers, "snapshot": True}
    best = {"bid": round(spot - 0.01, 2), "bid_size": 200.0, "ask": round(spot + 0.01, 2), "ask_size": 300.0}
    yield {"kind": "quote"} | head | best
    for place in range(4):
        expiration, strike, right = SERIES[(4 * second + place) % len(SERIES)]
        years = (1.25 if expiration == "2026-01-16" else 36.25) / 365.0
        fair = price(spot, strike, right, years)
        bid, ask = round(math.floor(fair * 20.0) / 20.0, 2), round(math.floor(fair * 20.0 + 1.0) / 20.0, 2)
        quote = {"bid": bid, "bid_size": 10.0 + place, "ask": ask, "ask_size": 12.0}
        named = {"symbol": symbol(expiration, strike, right)}
        yield {"kind": "option_quote"} | head | named | quote
        if place == second % 4:
            at = {"price": ask if second % 3 else bid, "size": 1.0 + second % 5} if ask else {}
            late = {"ts_event_ns": head["ts_event_ns"] + 400_000_000}
            trade = {"kind": "option_trade"} | head | late | named | at
    yield trade
    printed = {"price": best["ask"] if second % 2 else best["bid"], "size": 100.0 + second}
    yield {"kind": "trade"} | head | {"ts_event_ns": START_NS + second * SECOND_NS + 500_000_000} | printed


def lines() -> str:
    """The market as jsonl."""
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records())


if __name__ == "__main__":
    SAMPLE.parent.mkdir(exist_ok=True)
    SAMPLE.write_text(lines(), encoding="utf-8")
