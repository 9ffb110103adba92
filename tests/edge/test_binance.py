"""Binance recordings: exchange time, true side, order book, made here and real."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dhpe import columns
from dhpe.columns import Batch, Instrument, Reject
from dhpe.edge import formats
from dhpe.edge.formats import binance

T = 1_723_161_256_300
QUOTE = '{{"data":{{"e":"bookTicker","s":"BTCUSDT","b":"{}","B":"2.5","a":"61800.30","A":"0.1","T":{}}}}}'
TRADE = '{{"data":{{"e":"trade","T":{},"s":"BTCUSDT","p":"61800.30","q":"0.006","X":"{}","m":{}}}}}'
DEPTH = (
    '{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","T":{},"s":"BTCUSDT",'
    '"b":[["61800.20","0.014"],["61700.00","0"]],"a":[["61801.00","3"]]}}}}'
)
BOOK = '{{"lastUpdateId":7,"E":1,"T":{},"bids":[["61800.20","2.9"]],"asks":[["61800.30","1"],["61800.40","2"]]}}'


def write_recording(path: Path, *messages: str) -> Path:
    """A recording: each message with the time of its receipt."""
    lines = (f"{T * 1_000_000 + 7 * place} {message}\n" for place, message in enumerate(messages))
    path.write_text("".join(lines), encoding="utf-8")
    return path


def read_all(path: Path) -> tuple[list[Batch], list[Reject]]:
    """Everything that the reader yields, sorted into batches and rejects."""
    items = list(formats.read(formats.plan([path])))
    return [item for item in items if isinstance(item, Batch)], [item for item in items if isinstance(item, Reject)]


def test_records_leave_in_exchange_time_order(tmp_path: Path) -> None:
    """T is the event time; what was received later but happened earlier comes first; equal times stay as received."""
    path = write_recording(
        tmp_path / "r.txt",
        QUOTE.format("61800.10", T + 5),
        TRADE.format(T + 5, "MARKET", "false"),
        QUOTE.format("61800.00", T),
        QUOTE.format("61800.20", T + 5),
    )
    (reference, ticks), rejects = read_all(path)
    assert not rejects
    assert reference.reference == [Instrument("BTCUSDT", "spot", 1.0, False)]
    assert ticks.events["ts_event_ns"].tolist() == [T * 1_000_000] + [(T + 5) * 1_000_000] * 3
    assert ticks.events["index"].tolist() == [3, 1, 2, 4]
    assert ticks.events["offset"].tolist() == [1, 2, 3, 4]
    assert ticks.events[["bid", "bid_size", "ask", "ask_size"]][0].tolist() == (61800.0, 2.5, 61800.3, 0.1)
    assert {ticks.names[code] for code in ticks.events["name"]} == {"BTCUSDT"}


def test_m_means_that_an_aggressor_sold(tmp_path: Path) -> None:
    """The flag is true where the buyer was the maker."""
    path = write_recording(tmp_path / "r.txt", TRADE.format(T, "MARKET", "true"), TRADE.format(T, "MARKET", "false"))
    (_, ticks), _ = read_all(path)
    assert ticks.events["side"].tolist() == [columns.SELL, columns.BUY]
    assert ticks.events[["price", "size"]][0].tolist() == (61800.3, 0.006)


def test_prints_outside_the_order_book_are_no_trades(tmp_path: Path) -> None:
    """A transfer of the insurance fund hit nobody's quote: rejected, with its line."""
    path = write_recording(
        tmp_path / "r.txt", TRADE.format(T, "INSURANCE_FUND", "true"), TRADE.format(T, "MARKET", "true")
    )
    batches, rejects = read_all(path)
    assert [(reject.reason, reject.index, reject.file) for reject in rejects] == [("not_market_print", 1, str(path))]
    assert len(batches[-1].events) == 1


def test_the_order_book_is_a_snapshot_and_its_changes_are_not(tmp_path: Path) -> None:
    """Levels are bids, then asks; the book that was asked for by REST replaces all."""
    path = write_recording(tmp_path / "r.txt", DEPTH.format(T), BOOK.format(T + 1))
    (_, ticks), rejects = read_all(path)
    change, book = ticks.events
    assert not rejects
    assert (change["flags"], book["flags"]) == (0, columns.SNAPSHOT)
    assert (change["bid_levels"], change["ask_levels"]) == (2, 1)
    start = int(change["levels_start"])
    assert ticks.levels[start : start + 3].tolist() == [[61800.2, 0.014], [61700.0, 0.0], [61801.0, 3.0]]
    start = int(book["levels_start"])
    assert ticks.levels[start : start + 3].tolist() == [[61800.2, 2.9], [61800.3, 1.0], [61800.4, 2.0]]


def test_bad_lines_are_rejected_and_their_neighbours_stay(tmp_path: Path) -> None:
    """Broken JSON, another stream, a book before any symbol, a line without receipt, a negative price."""
    path = write_recording(
        tmp_path / "r.txt",
        BOOK.format(T),
        QUOTE.format("61800.10", T),
        '{"broken',
        '{"data":{"e":"markPriceUpdate","T":1,"s":"BTCUSDT","p":"1"}}',
        '{"result":null}',
        QUOTE.format("-1", T),
        QUOTE.format("61800.10", 5),
        "",
        TRADE.format(T, "MARKET", "true"),
    )
    batches, rejects = read_all(path)
    assert [(reject.index, reject.reason) for reject in rejects] == [
        (3, "undecodable"),
        (4, "wrong_shape"),
        (5, "wrong_shape"),
        (8, "undecodable"),
        (6, "bad_price"),
        (7, "bad_time"),
    ]
    assert np.concatenate([batch.events for batch in batches])["index"].tolist() == [0, 1, 2, 9]


def test_chunks_do_not_show(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the file is cut into chunks, the same records leave in the same order."""
    path = shared_data / "binance_btcusdt_perp" / "btcusdt_20240808.gz"

    def first_records() -> list[bytes]:
        events: list[np.ndarray] = []
        for item in formats.read(formats.plan([path])):
            assert isinstance(item, Batch)
            events.append(item.events)
            if sum(map(len, events)) > 20_000:
                break
        first = np.concatenate(events)[:20_000]
        return [first[name].tobytes() for name in ("ts_event_ns", "kind", "index", "price", "bid", "side")]

    whole = first_records()
    monkeypatch.setattr(binance, "CHUNK_BYTES", 300_000)
    assert first_records() == whole


@pytest.fixture(scope="module")
def btcusdt(shared_data: Path) -> tuple[list[Batch], list[Reject]]:
    """The real recording, read once."""
    return read_all(shared_data / "binance_btcusdt_perp" / "btcusdt_20240808.gz")


def test_the_recording_is_read_whole(btcusdt: tuple[list[Batch], list[Reject]]) -> None:
    """66,089 quotes, 21,313 trades, 6,551 changes of depth and the one book that was asked for."""
    batches, rejects = btcusdt
    events = np.concatenate([batch.events for batch in batches])
    assert not rejects
    assert Counter(events["kind"].tolist()) == {
        columns.REFERENCE: 1,
        columns.QUOTE: 66_089,
        columns.TRADE: 21_313,
        columns.DEPTH: 6_551 + 1,
    }
    assert np.count_nonzero(events["flags"] & columns.SNAPSHOT) == 1
    assert (np.diff(events["ts_event_ns"][1:]) >= 0).all()


def test_received_order_is_not_exchange_order(btcusdt: tuple[list[Batch], list[Reject]]) -> None:
    """Line numbers fall thousands of times: a reader that kept the order of receipt would join quotes after trades."""
    lines = np.concatenate([batch.events["index"] for batch in btcusdt[0]])
    assert np.count_nonzero(np.diff(lines) < 0) > 1_000
