"""Cboe chains: one instant of many contracts, made here and real."""

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dhpe import columns
from dhpe.columns import Batch, Contract, OpenInterest, Reject
from dhpe.edge import formats
from dhpe.edge.formats import ChainFacts, InputError
from dhpe.edge.sessions import settlement_ns, trading_close_ns

HEADER = (
    "session_date,ticker,expiry,right,strike,option,bid,bid_size,ask,ask_size,last_trade_price,volume,open_interest,iv"
)
CLOSE = trading_close_ns("2026-08-18", "XCBO")
BESIDE = "session_date,ticker,payload_timestamp,current_price\n2026-08-18,_SPX,{},7691.76\n"


def line(option: str, expiry: str, strike: float = 7500.0, bid: str = "10.5", session: str = "2026-08-18") -> str:
    """A line of a chain."""
    return f"{session},_SPX,{expiry},{option[-9]},{strike:.3f},{option},{bid},3.0,11.5,4.0,9.9,1.0,77.0,0.2"


AM = line("SPX260918C07500000", "2026-09-18")
PM = line("SPXW260918P07500000", "2026-09-18")
DEAD = line("SPXW260818C07500000", "2026-08-18")


def write_chain(folder: Path, *lines: str, beside: str | None = "2026-08-18 21:56:44") -> Path:
    """A chain file, and the file beside it with the spot."""
    path = folder / "chain.csv"
    path.write_text("\n".join((HEADER, *lines)) + "\n", encoding="utf-8")
    if beside is not None:
        (folder / "underlying.csv").write_text(BESIDE.format(beside), encoding="utf-8")
    return path


def read_all(*paths: Path, told: ChainFacts | None = None) -> tuple[list[Batch], list[Reject]]:
    """Everything that the reader yields, sorted into batches and rejects."""
    items = list(formats.read(formats.plan(paths, told=told or ChainFacts())))
    return [item for item in items if isinstance(item, Batch)], [item for item in items if isinstance(item, Reject)]


def test_a_chain_is_contracts_open_interest_spot_and_quotes(tmp_path: Path) -> None:
    """In this order, all of one instant: the end of trading of the index options."""
    (reference, ticks), rejects = read_all(write_chain(tmp_path, AM, PM))
    assert not rejects
    assert reference.reference == [
        Contract("SPX   260918C07500000", 1, 7500.0, 100.0, False, settlement_ns("2026-09-18", "am", "XCBO")),
        Contract("SPXW  260918P07500000", -1, 7500.0, 100.0, False, settlement_ns("2026-09-18", "pm", "XCBO")),
        OpenInterest("SPX   260918C07500000", "2026-08-18", 77.0),
        OpenInterest("SPXW  260918P07500000", "2026-08-18", 77.0),
    ]
    spot, *quotes = ticks.events
    assert (spot["kind"], ticks.names[spot["name"]], ticks.names[spot["underlying"]]) == (
        columns.INDEX_VALUE,
        "SPX",
        "SPX",
    )
    assert spot["price"] == 7691.76
    assert [ticks.names[quote["name"]] for quote in quotes] == ["SPX   260918C07500000", "SPXW  260918P07500000"]
    assert quotes[0][["bid", "bid_size", "ask", "ask_size"]].tolist() == (10.5, 3.0, 11.5, 4.0)
    assert {int(time) for batch in (reference, ticks) for time in batch.events["ts_event_ns"]} == {CLOSE}
    assert [(ticks.names[quote["file"]], quote["index"]) for quote in quotes] == [
        (str(tmp_path / "chain.csv"), 2),
        (str(tmp_path / "chain.csv"), 3),
    ]


def test_same_day_expiries_of_an_evening_chain_are_dead(tmp_path: Path) -> None:
    """They settled at 16:00, the chain is of 16:15: one reject a line, and nothing of theirs is read."""
    batches, rejects = read_all(write_chain(tmp_path, AM, DEAD))
    assert [(reject.reason, reject.index) for reject in rejects] == [("expired_contract", 3)]
    assert sum(len(batch.events) for batch in batches) == 2 + 2


def test_a_chain_taken_inside_the_session_keeps_its_own_time(tmp_path: Path) -> None:
    """The time of the payload, in UTC, where it is before the end of trading; then 0DTE lives."""
    batches, rejects = read_all(write_chain(tmp_path, AM, DEAD, beside="2026-08-18 14:00:00"))
    assert not rejects
    assert int(batches[0].events["ts_event_ns"][0]) == CLOSE - (6 * 60 + 15) * 60_000_000_000


def test_what_the_user_tells_beats_the_file(tmp_path: Path) -> None:
    """--spot and --as-of override; without a file beside the chain they are what makes it readable."""
    path = write_chain(tmp_path, AM, beside=None)
    (_, ticks), _ = read_all(path, told=ChainFacts(spot=7000.0, as_of_ns=CLOSE - 1))
    assert ticks.events["price"][0] == 7000.0
    assert int(ticks.events["ts_event_ns"][0]) == CLOSE - 1


def test_a_chain_without_a_spot_is_told_how_to_mend_it(tmp_path: Path) -> None:
    """One line: the file, what is missing, and the option that gives it."""
    path = write_chain(tmp_path, AM, beside=None)
    with pytest.raises(InputError, match=r"chain.csv: the spot of 2026-08-18 is unknown; give --spot, or put"):
        read_all(path)


def test_a_chain_of_a_holiday_needs_an_instant(tmp_path: Path) -> None:
    """There is no end of trading on Christmas."""
    path = write_chain(tmp_path, line("SPX270115C07500000", "2027-01-15", session="2026-12-25"), beside=None)
    with pytest.raises(InputError, match="XCBO has no session on 2026-12-25; give --as-of"):
        read_all(path, told=ChainFacts(spot=7000.0))


def test_impossible_lines_are_rejected_one_by_one(tmp_path: Path) -> None:
    """Each with its line; the lines around them are read."""
    batches, rejects = read_all(
        write_chain(
            tmp_path,
            AM,
            AM.replace("SPX260918C07500000", "SPX"),
            line("SPX260918C07500000", "2026-09-19"),
            line("SPX260918C07600000", "2026-09-18", bid="ten"),
            line("SPX260918C07700000", "2026-09-18", bid="-1"),
            line("SPX260918C07800000", "2026-09-18", bid="nan"),
            line("SPX260918C07900000", "2026-09-18", session="2026-08-19"),
            line("SPX400120C07900000", "2040-01-20"),
            "2026-08-18,_SPX,2026-09-18",
            PM,
        )
    )
    assert {(reject.index, reject.reason) for reject in rejects} == {
        (3, "bad_symbol"),
        (4, "bad_symbol"),
        (5, "wrong_shape"),
        (6, "bad_price"),
        (7, "bad_price"),
        (8, "other_chain"),
        (9, "wrong_shape"),
        (10, "wrong_shape"),
    }
    symbols = [batches[1].names[code] for code in batches[1].events["name"][1:]]
    assert symbols == ["SPX   260918C07500000", "SPXW  260918P07500000"]


def test_a_compressed_chain_is_read_alike(tmp_path: Path) -> None:
    """Gzip is told by content."""
    plain = write_chain(tmp_path, AM, PM)
    packed = tmp_path / "packed.csv"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    (_, compressed), (_, whole) = read_all(packed)[0], read_all(plain)[0]
    assert len(whole.events) == 3
    for field in ("ts_event_ns", "kind", "index", "name", "price", "bid", "ask_size"):
        assert compressed.events[field].tobytes() == whole.events[field].tobytes()


@pytest.fixture(scope="module")
def spx(shared_data: Path) -> tuple[list[Batch], list[Reject]]:
    """The three real evenings, read once, as one folder."""
    return read_all(shared_data / "spx_chain")


def test_three_evenings_of_spx_come_in_their_order(spx: tuple[list[Batch], list[Reject]]) -> None:
    """30,406, 30,204 and 30,282 contracts, less 542, 542 and 522 that died on the day."""
    batches, rejects = spx
    living = [30_406 - 542, 30_204 - 542, 30_282 - 522]
    assert Counter(reject.reason for reject in rejects) == {"expired_contract": 542 + 542 + 522}
    assert [len(batch.reference) for batch in batches] == [2 * living[0], 0, 2 * living[1], 0, 2 * living[2], 0]
    assert [len(batch.events) for batch in batches[1::2]] == [1 + count for count in living]
    closes = [trading_close_ns(f"2026-08-{day}", "XCBO") for day in (18, 19, 20)]
    assert [int(batch.events["ts_event_ns"][0]) for batch in batches[1::2]] == closes
    assert [float(batch.events["price"][0]) for batch in batches[1::2]] == [7691.7598, 7707.98, 7641.1602]


def test_spx_settles_in_the_morning_and_spxw_in_the_afternoon(spx: tuple[list[Batch], list[Reject]]) -> None:
    """On the third Friday both roots expire, six and a half hours apart; Juneteenth moves one to Thursday."""
    contracts = [fact for fact in spx[0][0].reference if isinstance(fact, Contract)]
    settles = {contract.symbol[:12]: contract.settles_ns for contract in contracts}
    assert settles["SPXW  260918"] - settles["SPX   260918"] == 6.5 * 3600 * 1_000_000_000
    assert settles["SPX   270617"] == settlement_ns("2027-06-18", "am", "XCBO")
    assert not any(contract.american for contract in contracts)
    assert {len(contract.symbol) for contract in contracts} == {21}


def test_a_zero_bid_is_read_as_zero(spx: tuple[list[Batch], list[Reject]]) -> None:
    """Nobody bids for many far puts; all quotes of the real chains are uncrossed."""
    quotes = spx[0][1].events[1:]
    assert 500 < np.count_nonzero(quotes["bid"] == 0.0) < 1_332
    assert (quotes["bid"] < quotes["ask"]).all()
