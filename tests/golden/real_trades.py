"""The real trades whose labels stand in ``trade_sides.npz``, as columns; they themselves are never stored here.

Run with a file name outside the project to write them for ``make_trade_sides.py``.
"""

import sys
from pathlib import Path

import numpy as np

from dhpe.edge import formats
from dhpe.recorded_trades import aligned, gather

SOURCES = ("binance_btcusdt_perp", "lean_goog_20151224", "deribit_trades")


def real_columns(shared_data: Path) -> dict[str, np.ndarray]:
    """Trades with the quotes that we align to them; the one venue of each file has the best quote."""
    parts: list[dict[str, np.ndarray]] = []
    instruments = 0
    for source in SOURCES:
        recording = gather(formats.read(formats.plan([shared_data / source])))
        trades, _ = aligned(recording)
        part = {name: getattr(trades, name) for name in ("price", "size", "bid", "bid_size", "ask", "ask_size")}
        part |= {f"venue_{name}": part[name] for name in ("bid", "bid_size", "ask", "ask_size")}
        parts.append(part | {"instrument": recording.instrument + instruments})
        instruments += int(recording.instrument.max()) + 1
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


if __name__ == "__main__":
    np.savez(sys.argv[1], **real_columns(Path(__file__).resolve().parents[3] / "shared" / "data"))
