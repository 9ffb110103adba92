"""Records of one weekly option, through the wire's own door, and what they leave in the books."""

import msgspec

from dhpe.columns import Batch, empty_batch
from dhpe.edge.decode import decode
from dhpe.engine import Engine, StepResult
from dhpe.numerics.state import NS_PER_S

START_NS = 1_790_000_000 * NS_PER_S
SETTLES_NS = START_NS + 7 * 86_400 * NS_PER_S


def batch(*records: dict[str, object]) -> Batch:
    """Records through the wire's own door, one message each."""
    messages = [
        (place, None, msgspec.json.encode({"underlying": "XYZ", "ts_event_ns": START_NS} | record), None, None)
        for place, record in enumerate(records)
    ]
    decoded = decode(messages, "ticks")
    assert decoded.rejects == []
    return decoded.batch


def contract(symbol: str = "C100", right: str = "C", strike: float = 100.0) -> dict[str, object]:
    """A weekly option."""
    return {"kind": "contract", "symbol": symbol, "right": right, "strike": strike, "multiplier": 100,
            "exercise": "european", "settles_ns": SETTLES_NS}  # fmt: skip


def open_interest(contracts: float, symbol: str = "C100", date: str = "2026-09-21") -> dict[str, object]:
    """A print of open interest."""
    return {"kind": "open_interest", "symbol": symbol, "trading_date": date, "open_interest": contracts}


def trade(size: float, side: str, symbol: str = "C100", **more: object) -> dict[str, object]:
    """An option trade whose aggressor is known."""
    return {"kind": "option_trade", "symbol": symbol, "price": 1.0, "size": size, "side": side} | more


def step(engine: Engine, *records: dict[str, object]) -> StepResult:
    """One step of ticks."""
    return engine.step(empty_batch(), batch(*records))


def positions(engine: Engine, symbol: str = "C100") -> list[float]:
    """Dealers' contracts in the naive, flow and weighted book."""
    book = engine.underlyings["XYZ"].book
    return book.state.contracts["position"][book.row(symbol)].tolist()
