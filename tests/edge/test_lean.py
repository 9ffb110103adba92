"""LEAN bars: what a minute bar tells, on a day made here and on the real half day of GOOG."""

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dhpe import columns
from dhpe.columns import Batch, Contract, OpenInterest, Reject
from dhpe.edge import formats
from dhpe.edge.formats import InputError, lean
from dhpe.edge.sessions import midnight_ns, settlement_ns

DAY = "20151224"
MIDNIGHT = midnight_ns("2015-12-24", "XNYS")
NINE_THIRTY_MS = 34_200_000
MINUTE_NS = 60_000_000_000
CALL = "20151224_goog_minute_{}_american_call_7500000_20151224.csv"
PUT = "20151224_goog_minute_{}_american_put_7450000_20160115.csv"


def write_zip(path: Path, members: dict[str, str]) -> Path:
    """A zip of the members."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.fixture
def small_day(tmp_path: Path) -> Path:
    """Two contracts and the stock in the first two minutes of a half day."""
    first, second = NINE_THIRTY_MS, NINE_THIRTY_MS + 60_000
    write_zip(
        tmp_path / f"{DAY}_quote_american.zip",
        {
            CALL.format("quote"): f"{first},100,200,90,15000,7,300,400,200,16000,3\n{second},,,,,0,1,1,1,25000,9\n",
            PUT.format("quote"): f"{first},100,200,90,5000,2,300,400,200,,0\n",
        },
    )
    write_zip(tmp_path / f"{DAY}_trade_american.zip", {CALL.format("trade"): f"{first},14000,16500,13000,15500,12\n"})
    write_zip(tmp_path / f"{DAY}_openinterest_american.zip", {PUT.format("openinterest"): "23400000,123\n"})
    write_zip(
        tmp_path / "equity_quote.zip",
        {f"{DAY}_goog_minute_quote.csv": f"{first},1,1,1,7480000,100,1,1,1,7481000,200"},
    )
    write_zip(tmp_path / "equity_trade.zip", {f"{DAY}_goog_minute_trade.csv": f"{first},1,1,1,7480500,1000\r\n"})
    return tmp_path


def read_all(*paths: Path) -> tuple[list[Batch], list[Reject]]:
    """Everything that the reader yields, sorted into batches and rejects."""
    items = list(formats.read(formats.plan(paths)))
    return [item for item in items if isinstance(item, Batch)], [item for item in items if isinstance(item, Reject)]


def test_a_bar_is_known_at_its_end(small_day: Path) -> None:
    """The bar of 09:30 is a record of 09:31, with its closing values; prices are integers of 1/10,000."""
    (_, ticks), rejects = read_all(small_day)
    events = ticks.events
    assert not rejects
    assert (
        events["ts_event_ns"] == MIDNIGHT + NINE_THIRTY_MS * 1_000_000 + np.array([1, 1, 1, 1, 1, 2]) * MINUTE_NS
    ).all()
    assert events["kind"].tolist() == [
        columns.TRADE,
        columns.QUOTE,
        columns.OPTION_TRADE,
        columns.OPTION_QUOTE,
        columns.OPTION_QUOTE,
        columns.OPTION_QUOTE,
    ]
    assert events[["price", "size"]][[0, 2]].tolist() == [(748.05, 1000.0), (1.55, 12.0)]
    assert events[["bid", "bid_size", "ask", "ask_size"]][1].tolist() == (748.0, 100.0, 748.1, 200.0)
    assert events[["bid", "bid_size", "ask", "ask_size"]][3].tolist() == (1.5, 7.0, 1.6, 3.0)


def test_a_side_without_a_number_is_a_side_on_which_nobody_is(small_day: Path) -> None:
    """An empty bid or ask is price 0 and size 0, which is legal."""
    (_, ticks), _ = read_all(small_day)
    quotes = ticks.events[3:][["bid", "bid_size", "ask", "ask_size"]].tolist()
    assert quotes[1:] == [(0.5, 2.0, 0.0, 0.0), (0.0, 0.0, 2.5, 9.0)]


def test_a_contract_needs_no_open_interest(small_day: Path) -> None:
    """What any file names is a contract; its open interest is that before the file's date."""
    (reference, _), _ = read_all(small_day)
    put, call, open_interest = reference.reference
    assert put == Contract("GOOG  160115P00745000", -1, 745.0, 100.0, True, settlement_ns("2016-01-15", "pm", "XNYS"))
    assert isinstance(call, Contract)
    assert (call.symbol, call.right, len(call.symbol)) == ("GOOG  151224C00750000", 1, 21)
    assert open_interest == OpenInterest("GOOG  160115P00745000", "2015-12-24", 123.0)
    assert set(reference.events["underlying"]) == {reference.names.index("GOOG")}


def test_every_record_knows_its_file_and_line(small_day: Path) -> None:
    """File and line point back into the zip."""
    (_, ticks), _ = read_all(small_day)
    last = ticks.events[-1]
    assert ticks.names[last["file"]] == f"{small_day}/{DAY}_quote_american.zip/{CALL.format('quote')}"
    assert last["index"] == 2
    assert ticks.events["offset"].tolist() == [3, 4, 5, 6, 7, 8]


def test_bad_rows_and_files_are_rejected_by_file_and_line(tmp_path: Path) -> None:
    """A word in place of a number, a short row, a time that is none, a strange member: neighbours stay."""
    good = f"{NINE_THIRTY_MS},1,1,1,15000,7,1,1,1,16000,3\n"
    path = write_zip(
        tmp_path / "quotes.zip",
        {
            CALL.format("quote"): good
            + "\nhello\n34260000,1,2\n"
            + good.replace("34200000", "999999999999999999")
            + good,
            "readme.txt": "hello",
            PUT.replace("7450000", "7450001").format("quote"): good,
        },
    )
    batches, rejects = read_all(path)
    label = f"{path}/{CALL.format('quote')}"
    odd = f"{path}/{PUT.replace('7450000', '7450001').format('quote')}"
    assert {(reject.reason, reject.file, reject.index) for reject in rejects} == {
        ("unknown_member", f"{path}/readme.txt", 0),
        ("wrong_shape", label, 3),
        ("wrong_shape", label, 4),
        ("bad_time", label, 5),
        ("bad_contract", odd, 0),
    }
    ticks = np.concatenate([batch.events for batch in batches[1:]])
    assert ticks["index"].tolist() == [1, 6, 1]


def test_index_options_settle_as_their_root_says(tmp_path: Path) -> None:
    """SPX settles in the morning and SPXW in the afternoon of the same date, and both speak of SPX."""
    row = f"{NINE_THIRTY_MS},1,1,1,15000,7,1,1,1,16000,3\n"
    names = [f"20260818_{root}_minute_quote_european_call_75000000_20260918.csv" for root in ("spx", "spxw")]
    (reference, _), _ = read_all(write_zip(tmp_path / "index.zip", dict.fromkeys(names, row)))
    assert reference.reference == [
        Contract("SPX   260918C07500000", 1, 7500.0, 100.0, False, settlement_ns("2026-09-18", "am", "XCBO")),
        Contract("SPXW  260918C07500000", 1, 7500.0, 100.0, False, settlement_ns("2026-09-18", "pm", "XCBO")),
    ]
    assert [reference.names[code] for code in reference.events["underlying"]] == ["SPX", "SPX"]


def test_days_come_one_after_the_other(tmp_path: Path) -> None:
    """Several days in one folder are read in the order of their dates, each with its reference data first."""
    row = f"{NINE_THIRTY_MS},1,1,1,15000,7,1,1,1,16000,3\n"
    for day in ("20151223", "20151222"):
        name = f"{day}_goog_minute_quote_american_call_7500000_20160115.csv"
        write_zip(tmp_path / f"{day}_quote_american.zip", {name: row})
    batches, _ = read_all(tmp_path)
    kinds = [batch.events["kind"].tolist() for batch in batches]
    assert kinds == [[columns.REFERENCE], [columns.OPTION_QUOTE]] * 2
    assert [int(batch.events["ts_event_ns"][0]) // 86_400_000_000_000 for batch in batches] == [
        16791,
        16791,
        16792,
        16792,
    ]


def test_a_folder_without_lean_data_is_told(tmp_path: Path) -> None:
    """A zip of something else is no LEAN data, and the line says what would be."""
    write_zip(tmp_path / "other.zip", {"readme.txt": "hello"})
    with pytest.raises(InputError, match="holds no LEAN file, such as"):
        list(lean.read([tmp_path]))


@pytest.fixture(scope="module")
def goog(shared_data: Path) -> tuple[list[Batch], list[Reject]]:
    """The real day, read once."""
    return read_all(shared_data / "lean_goog_20151224")


def test_the_goog_day_is_read_whole(goog: tuple[list[Batch], list[Reject]]) -> None:
    """2,192 contracts, 2,058 of them with open interest, 275,552 quote rows, 958 trade bars, and the stock."""
    batches, rejects = goog
    kinds = Counter(np.concatenate([batch.events["kind"] for batch in batches]).tolist())
    facts = Counter(type(fact) for batch in batches for fact in batch.reference)
    assert not rejects
    assert kinds == {
        columns.REFERENCE: 2192 + 2058,
        columns.OPTION_QUOTE: 275_552,
        columns.OPTION_TRADE: 958,
        columns.QUOTE: 260,
        columns.TRADE: 227,
    }
    assert facts == {Contract: 2192, OpenInterest: 2058}
    assert max(len(batch.events) for batch in batches) <= lean.ROWS_MAX


def test_the_goog_day_is_in_time_order(goog: tuple[list[Batch], list[Reject]]) -> None:
    """Event time never falls among the ticks, and offsets number all records."""
    events = np.concatenate([batch.events for batch in goog[0]])
    ticks = events[events["kind"] != columns.REFERENCE]
    assert (np.diff(ticks["ts_event_ns"]) >= 0).all()
    assert (events["offset"] == np.arange(len(events))).all()


def test_contracts_of_the_half_day_settle_at_13_00(goog: tuple[list[Batch], list[Reject]]) -> None:
    """176 contracts expire on the day itself: at 13:00 New York, not at 16:00."""
    thirteen = MIDNIGHT + 13 * 3600 * 1_000_000_000
    contracts = [fact for fact in goog[0][0].reference if isinstance(fact, Contract)]
    same_day = [contract for contract in contracts if contract.symbol.startswith("GOOG  151224")]
    assert len(same_day) == 176
    assert {contract.settles_ns for contract in same_day} == {thirteen}
    assert min(contract.settles_ns for contract in contracts) == thirteen
    assert all(contract.american for contract in contracts)


def test_the_stock_trades_at_its_real_prices(goog: tuple[list[Batch], list[Reject]]) -> None:
    """GOOG traded between 740 and 760 dollars that day."""
    events = np.concatenate([batch.events for batch in goog[0]])
    prices = events["price"][events["kind"] == columns.TRADE]
    assert 740.0 < prices.min() < prices.max() < 760.0
