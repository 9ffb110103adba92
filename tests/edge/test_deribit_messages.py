"""Deribit's recorded notifications: sides, strict quotes, coins into dollars, books, and lines that hold no record."""

import json
from pathlib import Path

import pytest

from dhpe.columns import (
    CARRIES_QUOTE,
    DEPTH,
    INDEX_VALUE,
    MULTI_LEG,
    OPTION_QUOTE,
    OPTION_TRADE,
    QUOTE,
    REFERENCE,
    SNAPSHOT,
    TRADE,
    Batch,
    Instrument,
    Reject,
)
from dhpe.edge import formats
from dhpe.engine import Engine
from dhpe.parameters import Parameters

NOW = 1_725_000_000_000
CALL = "BTC-27DEC24-60000-C"


def said(channel: str, data: object) -> str:
    """A notification, as the exchange frames it."""
    return json.dumps({"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}})


def index(time_ms: int, price: float) -> str:
    """The index of BTC."""
    data = {"index_name": "btc_usd", "timestamp": time_ms, "price": price}
    return said("deribit_price_index.btc_usd", data)


def quote(time_ms: int, bid: float | None, ask: float | None, name: str = CALL) -> str:
    """A best quote of 3 and 5 contracts."""
    data = {
        "instrument_name": name, "timestamp": time_ms, "best_bid_price": bid, "best_bid_amount": 3.0,
        "best_ask_price": ask, "best_ask_amount": 5.0,
    }  # fmt: skip
    return said(f"quote.{name}", data)


def trade(time_ms: int, number: str, price: float, side: str, name: str = CALL, **more: object) -> str:
    """A trade of two contracts at an index of 60,000, with the fields of the documentation."""
    data = {
        "instrument_name": name, "timestamp": time_ms, "trade_id": number, "trade_seq": 7, "price": price,
        "amount": 2.0, "direction": side, "index_price": 60_000.0, "mark_price": 0.05, "tick_direction": 0, "iv": 55.0,
    }  # fmt: skip
    return said(f"trades.{name}.100ms", [data | more])


def written(folder: Path, *lines: str) -> Path:
    """A recording of them."""
    path = folder / "deribit.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path) -> tuple[list[Batch], list[Reject]]:
    """All that a recording holds, its format found by content."""
    chosen = formats.plan([path])
    assert chosen.formats == ["deribit"]
    items = list(formats.read(chosen))
    return [item for item in items if isinstance(item, Batch)], [item for item in items if isinstance(item, Reject)]


def test_a_trade_carries_the_quote_strictly_before_it_in_dollars(tmp_path: Path) -> None:
    """The quote of its own millisecond is its consequence; the index of the trade makes both prices."""
    path = written(
        tmp_path,
        json.dumps({"jsonrpc": "2.0", "id": 1, "result": ["quote"]}),
        index(NOW, 59_000.0),
        quote(NOW + 1, 0.049, 0.051),
        quote(NOW + 5, 0.051, 0.053),
        trade(NOW + 5, "123", 0.051, "buy"),
    )
    batches, rejects = read(path)
    assert rejects == []
    facts, hot = batches[0], batches[1].events
    assert facts.events["kind"].tolist() == [REFERENCE]
    assert facts.reference[0].symbol == CALL
    assert hot["kind"].tolist() == [INDEX_VALUE, OPTION_QUOTE, OPTION_QUOTE, INDEX_VALUE, OPTION_TRADE]
    assert hot["bid"][1] == pytest.approx(0.049 * 59_000)
    made = hot[-1]
    assert made["flags"] == CARRIES_QUOTE
    assert (made["side"], made["sequence"], made["size"]) == (1, 123, 2.0)
    assert [made[name] for name in ("price", "bid", "ask")] == pytest.approx([3060.0, 2940.0, 3060.0])


def test_records_leave_in_the_order_of_the_exchange(tmp_path: Path) -> None:
    """Those of one millisecond as they came; the channels of a socket are not in order."""
    path = written(
        tmp_path,
        index(NOW, 60_000.0),
        quote(NOW + 9, 0.05, 0.06),
        trade(NOW + 4, "ETH-5", 8.0, "sell", "ETH_USDC-PERPETUAL", index_price=8.0),
        quote(NOW + 4, 7.9, 8.1, "ETH_USDC-PERPETUAL"),
    )
    batches, rejects = read(path)
    assert rejects == []
    hot = batches[1].events
    assert hot["kind"].tolist() == [INDEX_VALUE, INDEX_VALUE, TRADE, QUOTE, OPTION_QUOTE]
    sold = hot[2]
    names = batches[1].names
    assert (names[sold["source"]], names[sold["underlying"]], sold["side"]) == ("deribit-ETH", "ETH_USDC", -1)
    assert sold["price"] == 8.0


def test_futures_are_sized_as_the_exchange_sizes_them(tmp_path: Path) -> None:
    """Inverse ones in dollars, linear ones in coins; a perpetual is the spot, a future with an end a hedge."""
    names = ("BTC-PERPETUAL", "BTC-27DEC24", "BTC_USDC-PERPETUAL")
    batches, _ = read(
        written(tmp_path, *(trade(NOW, str(place), 60_000.0, "buy", name) for place, name in enumerate(names)))
    )
    assert batches[0].reference == [
        Instrument("BTC-PERPETUAL", "spot", 1.0, inverse=True),
        Instrument("BTC-27DEC24", "hedge", 1.0, inverse=True),
        Instrument("BTC_USDC-PERPETUAL", "spot", 1.0, inverse=False),
    ]


def test_a_book_is_a_snapshot_and_then_its_changes(tmp_path: Path) -> None:
    """A deleted level has size 0."""
    first = {"instrument_name": "BTC-PERPETUAL", "timestamp": NOW, "type": "snapshot", "change_id": 1}
    then = first | {"timestamp": NOW + 1, "type": "change", "change_id": 2, "prev_change_id": 1}
    path = written(
        tmp_path,
        said(
            "book.BTC-PERPETUAL.100ms",
            first | {"bids": [["new", 10.0, 1.0], ["new", 9.0, 2.0]], "asks": [["new", 11.0, 3.0]]},
        ),
        said("book.BTC-PERPETUAL.100ms", then | {"bids": [["delete", 9.0, 0.0]], "asks": [["change", 11.0, 4.0]]}),
    )
    batches, _ = read(path)
    hot = batches[1].events
    assert hot["kind"].tolist() == [DEPTH, DEPTH]
    assert hot["flags"].tolist() == [SNAPSHOT, 0]
    assert batches[1].levels.tolist() == [[10.0, 1.0], [9.0, 2.0], [11.0, 3.0], [9.0, 0.0], [11.0, 4.0]]


def test_a_leg_of_a_combo_is_a_package(tmp_path: Path) -> None:
    """Its side says little."""
    batches, _ = read(written(tmp_path, trade(NOW, "1", 0.05, "buy", combo_id="BTC-CS-27DEC24-60000_65000")))
    assert batches[1].events["flags"][-1] == MULTI_LEG


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (quote(NOW, 0.05, 0.06), "index_unknown"),
        (trade(NOW, "1", 0.05, "buy", "BTC-FS-27DEC24_PERP"), "unknown_instrument"),
        (trade(NOW, "x1", 0.05, "buy"), "wrong_shape"),
        (trade(-1, "1", 0.05, "buy"), "bad_time"),
        (said("trades.x.100ms", [{"price": "a"}]), "wrong_shape"),
        ('{"jsonrpc"', "undecodable"),
    ],
    ids="index combo id time shape json".split(),
)
def test_a_line_without_a_record_is_rejected_by_its_number(tmp_path: Path, line: str, reason: str) -> None:
    """The others of the file are read."""
    heartbeat = json.dumps({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}})
    batches, rejects = read(written(tmp_path, said("platform_state", {}), heartbeat, line, index(NOW, 60_000.0)))
    assert [(reject.index, reject.reason) for reject in rejects] == [(3, reason)]
    assert INDEX_VALUE in batches[-1].events["kind"]


def test_the_engine_labels_by_the_quotes_of_a_recording(tmp_path: Path) -> None:
    """At the ask a buy, at the bid a sale, whatever the index did between quote and trade."""
    lines = [index(NOW, 50_000.0), quote(NOW + 1, 0.048, 0.052)]
    lines += [trade(NOW + 2, "1", 0.052, "buy"), trade(NOW + 3, "2", 0.048, "sell")]
    engine = Engine(Parameters())
    batches, _ = read(written(tmp_path, *lines))
    labels = [
        label for batch in batches for label in engine.step(batch, batch._replace(events=batch.events[:0])).labels
    ]
    assert [(label.side, label.lee_ready_side, label.quote_age_s) for label in labels] == [
        ("buy", "buy", 0.0),
        ("sell", "sell", 0.0),
    ]
