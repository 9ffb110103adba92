"""Databento's files: their own samples against their own library, and files written by it for what the samples lack."""

import random
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import databento_dbn as databento
import numpy as np
import pytest

from dhpe import columns
from dhpe.columns import Batch, Contract, OpenInterest, Reject
from dhpe.edge import formats
from dhpe.edge.formats import InputError, dbn
from dhpe.edge.sessions import settlement_ns

CALL = "AAPL  250221C00250000"
CONTRACT = Contract(CALL, 1, 250.0, 100.0, american=True, settles_ns=settlement_ns("2025-02-21", "pm", "XNYS"))
START_NS = 1_740_061_800_000_000_000  # 2025-02-20 14:30 UTC
OPRA, EMLD = 30, 23
UNDEFINED = databento.UNDEF_PRICE
ADDED, PRINTED = databento.Action.ADD, databento.Action.TRADE
NOBODY, BUYER, SELLER = databento.Side.NONE, databento.Side.BID, databento.Side.ASK


def sample(shared_data: Path, schema: str) -> Path:
    """One of Databento's files of four records."""
    return shared_data / "databento" / f"test_data.{schema}.dbn.zst"


def own_records(path: Path) -> list[Any]:
    """What the library itself makes of a file."""
    decoder = databento.DBNDecoder(compression=databento.Compression.ZSTD)
    decoder.write(path.read_bytes())
    return [record for record in decoder.decode() if not isinstance(record, databento.Metadata)]


def written(path: Path, *records: Any, dataset: str = "OPRA.PILLAR", symbols: dict[str, int] | None = None) -> Path:
    """A file of these records; ``symbols`` gives the instrument of each on every day of 2025."""
    mappings = [
        SimpleNamespace(
            raw_symbol=symbol,
            intervals=[SimpleNamespace(start_date=date(2025, 1, 1), end_date=date(2026, 1, 1), symbol=str(number))],
        )
        for symbol, number in (symbols or {CALL: 7}).items()
    ]
    metadata = databento.Metadata(
        dataset, START_NS, databento.SType.RAW_SYMBOL, databento.SType.INSTRUMENT_ID, None, mappings=mappings
    )
    path.write_bytes(metadata.encode() + b"".join(map(bytes, records)))
    return path


def read(path: Path) -> tuple[list[Any], np.ndarray, list[Reject], list[str]]:
    """Facts, hot rows, rejects and names of a file."""
    items = list(formats.read(formats.plan([path])))
    batches = [item for item in items if isinstance(item, Batch)]
    facts = [fact for batch in batches for fact in batch.reference]
    hot = [batch for batch in batches if len(batch.events) and (batch.events["kind"] != columns.REFERENCE).all()]
    rejects = [item for item in items if isinstance(item, Reject)]
    events = np.concatenate([batch.events for batch in hot]) if hot else columns.empty_events(0)
    return facts, events, rejects, hot[-1].names if hot else []


def test_a_contract_settles_at_its_session_s_close_not_at_the_midnight_of_its_definition(shared_data: Path) -> None:
    """The list of symbols and the definition tell the same contract."""
    facts, _, rejects, _ = read(sample(shared_data, "definition"))
    assert facts == [CONTRACT, CONTRACT]
    assert own_records(sample(shared_data, "definition"))[0].pretty_expiration.hour == 0
    assert not rejects


def test_open_interest_is_of_the_close_before_the_day_it_was_sent(shared_data: Path) -> None:
    """Every venue of OPRA sends it; it stays the same number."""
    facts, _, rejects, _ = read(sample(shared_data, "statistics"))
    assert facts == [CONTRACT, *[OpenInterest(CALL, "2025-02-20", 57_924.0)] * 4]
    assert not rejects


@pytest.mark.parametrize("schema", ["trades", "tbbo"])
def test_trades_have_the_price_size_and_time_of_the_record(shared_data: Path, schema: str) -> None:
    """OPRA does not tell the aggressor; the quote of a venue beside a print is the venue's."""
    _, events, rejects, names = read(sample(shared_data, schema))
    own = own_records(sample(shared_data, schema))
    assert [names[code] for code in events["name"]] == [CALL] * 4
    assert [names[code] for code in events["underlying"]] == ["AAPL"] * 4
    assert set(events["kind"]) == {columns.OPTION_TRADE}
    assert events["price"].tolist() == [record.pretty_price for record in own]
    assert events["size"].tolist() == [record.size for record in own]
    assert events["ts_event_ns"].tolist() == [record.ts_event for record in own]
    assert events["side"].tolist() == [0, 0, 0, 0]
    assert [names[code] for code in events["source"]] == [f"publisher {record.publisher_id}" for record in own]
    assert np.isnan(events["bid"]).all()
    assert not rejects
    if schema == "tbbo":
        assert events["venue_bid"].tolist() == [record.pretty_bid_px_00 for record in own]
        assert events["venue_ask_size"].tolist() == [record.ask_sz_00 for record in own]


def test_a_sampled_quote_is_known_at_the_end_of_its_interval(shared_data: Path) -> None:
    """An undefined price means that nobody bids or offers."""
    _, events, _, _ = read(sample(shared_data, "cbbo-1s"))
    own = own_records(sample(shared_data, "cbbo-1s"))
    assert events["ts_event_ns"].tolist() == [record.ts_recv for record in own]
    assert events["bid"].tolist() == [0.0, *[record.pretty_bid_px_00 for record in own[1:]]]
    assert events["ask"].tolist() == [0.0, *[record.pretty_ask_px_00 for record in own[1:]]]


def test_of_opra_s_books_the_consolidated_one_is_the_market_s_quote(shared_data: Path) -> None:
    """The four records are two venues and the consolidated publisher."""
    _, events, rejects, _ = read(sample(shared_data, "mbp-1"))
    own = own_records(sample(shared_data, "mbp-1"))
    assert events["index"].tolist() == [number for number, record in enumerate(own, 1) if record.publisher_id == OPRA]
    assert set(events["kind"]) == {columns.OPTION_QUOTE}
    assert not rejects


def test_a_consolidated_print_carries_the_quote_before_it_and_its_aggressor(tmp_path: Path) -> None:
    """Of tcbbo; the aggressor is on the side that Databento names: A sells, B buys."""
    levels = databento.ConsolidatedBidAskPair(2_000_000_000, 2_100_000_000, 5, 6, 23, 24)
    prints = [
        databento.CMBP1Msg(
            databento.RType.TCBBO,
            EMLD,
            7,
            START_NS + n,
            2_050_000_000,
            3,
            PRINTED,
            side,
            START_NS + n,
            levels=levels,
        )
        for n, side in enumerate((SELLER, BUYER, NOBODY))
    ]
    _, events, rejects, _ = read(written(tmp_path / "prints.dbn", *prints))
    assert not rejects
    assert events["side"].tolist() == [columns.SELL, columns.BUY, 0]
    assert events["flags"].tolist() == [columns.CARRIES_QUOTE] * 3
    assert (events["bid"].tolist(), events["ask_size"].tolist()) == ([2.0] * 3, [6.0] * 3)


def test_any_other_symbol_is_an_underlying(tmp_path: Path) -> None:
    """Its book is quotes, its prints are trades; the record of an instrument without a symbol is rejected by number."""
    levels = databento.BidAskPair(249_990_000_000, 250_010_000_000, 100, 300)
    quote = databento.MBP1Msg(2, 9, START_NS, UNDEFINED, 0, ADDED, NOBODY, 0, START_NS, levels=levels)
    trade = databento.TradeMsg(2, 9, START_NS + 1, 250_000_000_000, 10, PRINTED, BUYER, 0, START_NS + 1)
    path = written(tmp_path / "shares.dbn", quote, trade, dataset="XNAS.ITCH", symbols={"AAPL": 9})
    facts, events, rejects, names = read(path)
    assert not facts
    assert not rejects
    assert events["kind"].tolist() == [columns.QUOTE, columns.TRADE]
    assert [names[code] for code in events["underlying"]] == ["AAPL", "AAPL"]
    assert (events["bid"][0], events["ask_size"][0], events["price"][1]) == (249.99, 300.0, 250.0)


def test_what_cannot_be_read_is_rejected_by_its_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    """An undefined price of a print, a bar, and an instrument that no symbol names."""
    bad = databento.TradeMsg(EMLD, 7, START_NS, UNDEFINED, 1, PRINTED, NOBODY, 0, START_NS)
    bar = databento.OHLCVMsg(databento.RType.OHLCV_1S, EMLD, 7, START_NS, 1, 1, 1, 1, 1)
    unnamed = databento.StatMsg(EMLD, 99, START_NS, START_NS, START_NS, UNDEFINED, 5, databento.StatType.OPEN_INTEREST)
    good = databento.TradeMsg(EMLD, 7, START_NS, 1_000_000_000, 1, PRINTED, NOBODY, 0, START_NS)
    _, events, rejects, _ = read(written(tmp_path / "mixed.dbn", bad, bar, unnamed, good))
    assert {(reject.index, reject.reason) for reject in rejects} == {
        (1, "bad_price"),
        (2, "unread_record"),
        (3, "unknown_instrument"),
    }
    assert events["price"].tolist() == [1.0]


def test_the_venues_sequence_is_no_identity(shared_data: Path) -> None:
    """Two records of one packet share it and are both read."""
    _, events, _, _ = read(sample(shared_data, "trades"))
    assert (events["sequence"] == -1).all()


@pytest.mark.parametrize("kept", [3, 60, 150, 240])
def test_a_file_that_breaks_off_is_refused_in_one_line(shared_data: Path, tmp_path: Path, kept: int) -> None:
    """Whatever of it is left."""
    path = tmp_path / "half.dbn.zst"
    path.write_bytes(sample(shared_data, "trades").read_bytes()[:kept])
    with pytest.raises(InputError, match=r"half.dbn.zst: "):
        list(dbn.read(path))


def test_contracts_come_in_the_order_of_their_symbols(tmp_path: Path) -> None:
    """Whatever order the library's table of symbols has: a replay is the same every time."""
    symbols = {f"AAPL  250221C{strike:05d}000": strike for strike in random.Random(7).sample(range(100, 400), 40)}
    trade = databento.TradeMsg(EMLD, 100, START_NS, 1_000_000_000, 1, PRINTED, NOBODY, 0, START_NS)
    path = written(tmp_path / "chain.dbn", trade, symbols=symbols)
    facts, _, _, _ = read(path)
    assert [fact.symbol for fact in facts] == sorted(symbols)


def test_an_index_root_names_its_index_and_settles_by_its_series(tmp_path: Path) -> None:
    """SPX in the morning, SPXW in the afternoon; both European options on SPX."""
    symbols = {"SPX   250221C06000000": 1, "SPXW  250221P06000000": 2, "AAPL1 250221C00250000": 3}
    trade = databento.TradeMsg(EMLD, 2, START_NS, 1_000_000_000, 1, PRINTED, NOBODY, 0, START_NS)
    facts, events, _, names = read(written(tmp_path / "index.dbn", trade, symbols=symbols))
    morning, afternoon = (settlement_ns("2025-02-21", when, "XCBO") for when in ("am", "pm"))
    assert [(fact.settles_ns, fact.american) for fact in facts] == [(morning, False), (afternoon, False)]
    assert names[events["underlying"][0]] == "SPX"
