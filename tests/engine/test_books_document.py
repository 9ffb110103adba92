"""docs/books.md says what is measured: the GOOG day's books against the raw files and labels, series by series."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from deploy.documents import books


@pytest.fixture(scope="module")
def day(shared_data: Path) -> Any:
    """The GOOG day, measured."""
    return books.measure(shared_data / "lean_goog_20151224")


def test_the_page_says_what_is_measured(day: Any, shared_data: Path) -> None:
    """As `python -m deploy.documents.books --check` does."""
    text = books.document(day, *books.openings(shared_data / "spx_chain"))
    assert books.DOCUMENT.read_text(encoding="utf-8") == text


def test_every_series_ends_where_its_open_interest_and_its_labels_lead(day: Any) -> None:
    """End - start = -sum(sign * size), to the bit; weighted too, but for trades that a later price told."""
    assert len(day.engine) > 2000
    assert set(day.added_up) <= set(day.engine)
    moved = 0
    for symbol, ours in day.engine.items():
        theirs = day.added_up.get(symbol, (Fraction(0),) * 3)
        assert ours[:2] == theirs[:2], symbol
        assert abs(ours[2] - theirs[2]) <= day.told_later[symbol], symbol
        moved += ours.flow != 0
    assert moved > 200


def test_every_contract_of_the_raw_files_is_a_label_or_a_refusal(day: Any) -> None:
    """Bars that end at settlement are refused; all others have a side, or are known to have none."""
    for right, one in day.traded.items():
        refused = day.raw_volume[right] - one.bought - one.sold - one.unknown
        assert refused == {"C": 2, "P": 21}[right]


def test_the_foretold_open_interest_of_spx_came(shared_data: Path) -> None:
    """Both days' shares are alike, far from a half, and within two errors of what happened."""
    found, _ = books.openings(shared_data / "spx_chain")
    assert [0.6 < 0.5 + 0.5 * one.ratio < 0.8 for one in found] == [True, True]
