"""Deribit's CSV of option trades: order, sides, spots, contracts, and lines that hold no trade."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from dhpe.columns import INDEX_VALUE, OPTION_TRADE, Batch, Contract, Reject
from dhpe.edge import formats
from dhpe.edge.formats import InputError, deribit

HEADER = (
    '"q","p","s","t","d","trade_seq","trade_id","tick_direction","iv","instrument_name","index_price","direction"\n'
)


def line(
    time_ms: int, number: int, side: str, index_price: float = 46_000.0, symbol: str = "BTC-7JAN22-40000-P"
) -> str:
    """A trade of half a coin."""
    cells = ("0.5", "0.002", "TRADE", time_ms, "2022-01-01", 1, number, 3, "74.66", symbol, index_price, side)
    return ",".join(f'"{cell}"' for cell in cells) + "\n"


def written(folder: Path, *lines: str) -> Path:
    """A file of them."""
    path = folder / "trades.csv"
    path.write_text(HEADER + "".join(lines))
    return path


def test_trades_come_by_time_each_after_its_spot(tmp_path: Path) -> None:
    """Newest first in the file; a spot that has not changed is not said again."""
    now = 1_641_005_912_220
    path = written(tmp_path, line(now, 9, "sell", 46_010.0), line(now - 5, 8, "buy"), line(now - 9, 7, "buy"))
    chosen = formats.plan([path])
    assert chosen.formats == ["deribit"]
    batch = next(item for item in formats.read(chosen) if isinstance(item, Batch))
    hot = batch.events[1:]
    assert hot["kind"].tolist() == [INDEX_VALUE, OPTION_TRADE, OPTION_TRADE, INDEX_VALUE, OPTION_TRADE]
    trades = hot[hot["kind"] == OPTION_TRADE]
    assert trades["sequence"].tolist() == [7, 8, 9]
    assert trades["side"].tolist() == [1, 1, -1]
    assert trades["ts_event_ns"].tolist() == [(now - 9) * 10**6, (now - 5) * 10**6, now * 10**6]
    assert hot["price"][[0, 3]].tolist() == [46_000.0, 46_010.0]
    settles_ns = int(datetime(2022, 1, 7, 8, tzinfo=UTC).timestamp()) * 10**9
    assert batch.reference == [Contract("BTC-7JAN22-40000-P", -1, 40_000.0, 1.0, american=False, settles_ns=settles_ns)]


@pytest.mark.parametrize(
    "bad", [line(1, 1, "hold"), '"x"\n', line(1_641_005_912_220, 1, "buy", symbol="BTC-PERPETUAL")]
)
def test_a_line_without_a_trade_is_rejected_by_its_number(tmp_path: Path, bad: str) -> None:
    """The others of the file are read."""
    path = written(tmp_path, bad, line(1_641_005_912_220, 2, "buy"))
    items = list(deribit.read(path))
    assert [(item.index, item.reason) for item in items if isinstance(item, Reject)] == [(2, "wrong_shape")]
    batches = [item for item in items if isinstance(item, Batch)]
    assert np.count_nonzero(batches[0].events["kind"] == OPTION_TRADE) == 1


def test_another_csv_is_no_file_of_trades(tmp_path: Path) -> None:
    """The missing columns are named."""
    path = tmp_path / "trades.csv"
    path.write_text("q,p,s,t\n1,2,3,4\n")
    with pytest.raises(InputError, match="trade_id"):
        list(deribit.read(path))


def test_the_real_file_has_its_unique_trades(shared_data: Path) -> None:
    """3,719 lines, 1,350 different trades, in time."""
    batches = list(deribit.read(shared_data / "deribit_trades" / "Deribit_20220101.csv"))
    assert len(batches) == 1
    events = batches[0].events
    trades = events[events["kind"] == OPTION_TRADE]
    assert len(trades) == 3719
    assert len(np.unique(trades["sequence"])) == 1350
    assert (np.diff(trades["ts_event_ns"]) >= 0).all()
