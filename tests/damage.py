"""A grammar of records that meet each other, of damaged bytes, and small files of every format."""

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

START_NS: Final = 1_790_000_000 * 1_000_000_000
DAY_NS: Final = 86_400 * 1_000_000_000
SYMBOLS: Final = [f"{right}{strike}" for strike in (90, 95, 100, 105, 110) for right in "CP"]
PRICES: Final = [0, 1e-12, 0.01, 1, 5, 90, 99.9, 100, 100.1, 110, 1e6, 999_999_999.9, 5e-324, 1e-300]
SIZES: Final = [0, 1e-9, 1, 5, 100, 1e6, 9.99e11]
NASTY: Final[list[Any]] = [-1, -0.0, 1e9, 1e12, 1e308, 2**31 - 1, 2**63 - 1, None, "1", True, [], {}]

Field = Callable[[random.Random], Any]


def _any(values: list[Any], nasty: float = 0.01) -> Field:
    return lambda dice: dice.choice(NASTY if dice.random() < nasty else values)


def _price(dice: random.Random) -> Any:
    return round(dice.uniform(0.01, 120), 2) if dice.random() < 0.7 else _any(PRICES)(dice)


def _time(dice: random.Random) -> Any:
    if dice.random() < 0.97:
        return START_NS + round(dice.choice((dice.gauss(0, 1), dice.uniform(-5, 60))) * 1e9)
    return dice.choice([0, -1, START_NS // 1000, START_NS + 40 * DAY_NS, 946_684_800_000_000_000, 2**62])


def _levels(dice: random.Random) -> Any:
    return [[_price(dice), _any(SIZES)(dice)] for _ in range(dice.randrange(4))]


_SYMBOL = _any(SYMBOLS)
_SIZE = _any(SIZES)
_QUOTE: Final[dict[str, Field]] = {"bid": _price, "bid_size": _SIZE, "ask": _price, "ask_size": _SIZE}
_INSTRUMENT: Final[dict[str, Field]] = {"instrument": _any([None, None, "ES", "SPY"])}
_RATE = _any([None, 0, 0.05, -0.05, 0.999, -0.999])
GRAMMAR: Final[dict[str, dict[str, Field]]] = {
    "contract": {
        "symbol": _SYMBOL,
        "right": _any(["C", "P"]),
        "strike": _any([90, 95, 100, 105, 110, 1e-9, 9e8, 1e-300]),
        "multiplier": _any([100, 100, 1, 1e-9, 9e8]),
        "exercise": _any(["european", "american"]),
        "settles_ns": _any(
            [START_NS + 60_000_000_000, START_NS + DAY_NS, START_NS + 30 * DAY_NS, 4_102_444_799 * 10**9]
        ),
    },
    "instrument": {
        "instrument": _any(["ES", "SPY"]),
        "role": _any(["spot", "hedge"]),
        "multiplier": _any([1, 50, 1e-9, 9e8]),
        "inverse": _any([True, False]),
    },
    "open_interest": {
        "symbol": _SYMBOL,
        "trading_date": _any(["2026-09-21", "2026-09-22", "x"]),
        "open_interest": _SIZE,
    },
    "rates": {
        "rate": _RATE,
        "dividend_yield": _RATE,
        "settles_ns": _any([None, None, START_NS + DAY_NS, START_NS + 30 * DAY_NS]),
        "forward": _any([None, None, 100, 1e-300, 9e8]),
        "discount": _any([None, None, 0.99, 1.99, 1e-300]),
    },
    "dealer_position": {"symbol": _SYMBOL, "position": _any([0, 5, -500, 9.99e11, -9.99e11])},
    "option_quote": {"symbol": _SYMBOL} | _QUOTE,
    "option_trade": {
        "symbol": _SYMBOL,
        "price": _price,
        "size": _SIZE,
        "side": _any([None, None, "buy", "sell"]),
        "multi_leg": _any([False, True]),
        "cancels": _any([None, None, None, 1, 2, 3]),
    },
    "trade": {"price": _price, "size": _SIZE, "side": _any([None, "buy", "sell"])} | _INSTRUMENT,
    "quote": _QUOTE | _INSTRUMENT,
    "depth": {"bids": _levels, "asks": _levels, "snapshot": _any([False, False, True])} | _INSTRUMENT,
    "index_value": {"name": _any(["VIX", "VVIX", "SPX", "XLK"]), "value": _any([0, 1e-9, 15, 20, 100, 9e8, -5])},
    "clock": {},
}
_OFTEN: Final = ["option_quote"] * 5 + ["quote"] * 5 + ["option_trade", "trade", "depth", "index_value"] * 2


def record(dice: random.Random, kind: str | None = None) -> dict[str, Any]:
    """A record of any kind, mostly one that can be true."""
    kind = kind or dice.choice([*GRAMMAR, *_OFTEN])
    made = {"kind": kind, "underlying": _any(["SPX", "SPX", "NDX"])(dice), "ts_event_ns": _time(dice)}
    made |= {name: make(dice) for name, make in GRAMMAR[kind].items()}
    if dice.random() < 0.3:
        made |= {"sequence": dice.randrange(40), "source": dice.choice("ab")}
    if dice.random() < 0.02:
        del made[dice.choice(list(made))]
    return made


def message(dice: random.Random) -> bytes | None:
    """A message of one record or several, most of them damaged."""
    if dice.random() < 0.01:
        return None
    count = dice.choice((1, 1, 1, 2, 5, 250))
    records = [record(dice) for _ in range(count)]
    value = msgspec.json.encode(records[0] if count == 1 else records)
    return damaged(dice, value) if dice.random() < 0.7 else value


TOKENS: Final = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\ud800",
        b"\x00",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\r",
        b"\n",
        b"-",
    ),
    *(b"NaN", b"null", b"1e999", b"true", b"9" * 400, b"[" * 2_000, b'{"kind":' * 500, b" " * 5_000),
]


def damaged(dice: random.Random, value: bytes) -> bytes:
    """The same bytes after one to four accidents."""
    for _ in range(dice.randrange(1, 5)):
        first, last = sorted(dice.randrange(len(value) + 1) for _ in range(2))
        match dice.randrange(8):
            case 0:
                value = value[:first]
            case 1:
                value = value[:first] + value[last:]
            case 2:
                value = value[:last] + value[first:]
            case 3:
                value = value[:first] + dice.randbytes(last - first) + value[last:]
            case 4 | 5:
                value = value[:first] + dice.choice(TOKENS) + value[first:]
            case 6:
                value = (
                    value[:first] + bytes([value[first] ^ 1 << dice.randrange(8)]) + value[first + 1 :]
                    if value[first:]
                    else value
                )
            case _:
                value = b"[" + value + b"," + value + b"]"
    return value[:200_000]


def files(folder: Path) -> list[Path]:
    """A small file of every format, and one of none."""
    folder.mkdir()
    dice = random.Random(1)
    lines = [msgspec.json.encode(record(dice)) for _ in range(50)]
    time = START_NS // 1_000_000
    ticker = '{"data":{"e":"bookTicker","s":"X","b":"1","B":"2","a":"3","A":"4","T":%d}}'
    traded = '{"data":{"e":"trade","s":"X","p":"1.5","q":"2","t":7,"m":true,"T":%d}}'
    cboe = "session_date,ticker,expiry,right,strike,option,bid,bid_size,ask,ask_size,open_interest\n"
    cboe += "2026-09-18,SPX,2026-10-16,C,6500,SPX261016C06500000,10.5,5,11,7,100\n" * 5
    deribit = (
        "trade_seq,trade_id,timestamp,tick_direction,price,mark_price,iv,instrument_name,index_price,direction,amount\n"
    )
    deribit += f"1,2,{time},0,0.05,0.05,55.5,BTC-25DEC26-100000-C,99000,buy,1.5\n" * 5
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("20151224_goog_minute_trade.csv", "34200000,1,1,1,7480500,1000\n" * 20)
        archive.writestr(
            "20151224_goog_minute_quote_american_call_7500000_20151224.csv", "34200000,1,2,1,1,5,2,3,2,2,7\n" * 5
        )
    contents = {
        "records.jsonl": b"\n".join(lines),
        "binance.json": "\n".join(f"{START_NS} {one % time}" for one in (ticker, traded) * 5).encode(),
        "chain.csv": cboe.encode(),
        "deribit.csv": deribit.encode(),
        "lean.zip": packed.getvalue(),
        "noise.bin": dice.randbytes(5_000),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]
