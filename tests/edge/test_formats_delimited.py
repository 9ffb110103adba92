"""Whole numbers as columns: the kernel against an obvious parser."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dhpe.edge.formats import delimited


def naive(texts: list[bytes], fields: int) -> list[tuple[int, int, bool, list[int]]]:
    """Text, line, whether it is a row, and its values, by splitting."""
    rows = []
    for place, text in enumerate(texts):
        for number, line in enumerate(text.decode().split("\n"), 1):
            cells = line.removesuffix("\r").split(",")
            if cells == [""]:
                continue
            good = len(cells) == fields and all(cell == "" or _is_whole(cell) for cell in cells)
            values = [int(cell.split(".")[0]) if cell else delimited.EMPTY for cell in cells] if good else []
            rows.append((place, number, good, values))
    return rows


def _is_whole(cell: str) -> bool:
    whole, point, fraction = cell.partition(".")
    digits = whole.isdecimal() and len(whole) <= delimited.DIGITS_MAX
    return digits and (not point or set(fraction) <= {"0"})


CELLS = st.one_of(
    st.integers(0, 10**18 - 1).map(str), st.sampled_from(["", "0", "12.0", "12.5", ".", "-1", "x", "1" * 19, "7."])
)
LINES = st.lists(CELLS, min_size=1, max_size=4).map(",".join)
TEXTS = st.lists(
    st.tuples(st.lists(LINES, max_size=5), st.sampled_from(["\n", "\r\n"])).map(
        lambda pair: pair[1].join(pair[0]).encode()
    ),
    max_size=4,
)


@given(TEXTS, st.integers(1, 3))
def test_the_kernel_reads_what_an_obvious_parser_reads(texts: list[bytes], fields: int) -> None:
    """Rows, their lines, their soundness and their values agree on any text."""
    rows = delimited.parse(texts, fields)
    found = [
        (text, line, good, values if good else [])
        for text, line, good, values in zip(
            rows.text.tolist(), rows.line.tolist(), rows.good.tolist(), rows.values.tolist(), strict=True
        )
    ]
    assert found == naive(texts, fields)


@pytest.mark.parametrize("texts", [[], [b""], [b"\n\n"], [b"", b"\r\n"]])
def test_nothing_is_no_rows(texts: list[bytes]) -> None:
    """Empty files and blank lines hold no rows."""
    assert len(delimited.parse(texts, 2).line) == 0
