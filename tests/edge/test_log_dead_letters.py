"""A dead letter is the message as it came, and says where it stood and why."""

from hashlib import sha256

from dhpe.columns import Reject
from dhpe.edge.dead_letters import EXCERPT_BYTES, count_reasons, dead_letters
from dhpe.edge.log import LogRecord


def record(offset: int, value: bytes | None, key: bytes | None = b"SPX") -> LogRecord:
    """A message of the input."""
    return LogRecord("ticks", 3, offset, key, value, (("content-type", b"application/json"),), 1_700_000_000_000)


def reject(offset: int, index: int, reason: str) -> Reject:
    """A refused record."""
    return Reject("ticks", offset, index, "", reason, f"{reason} in words")


def test_one_letter_for_a_message_with_several_bad_records() -> None:
    """The reasons once each, all indices, the first sentence; the message's own headers follow ours."""
    refused = [reject(7, 0, "bad_price"), reject(7, 4, "bad_size"), reject(7, 9, "bad_price")]
    (letter,) = dead_letters([record(6, b"good"), record(7, b"[bad]")], refused, "ticks.dlt", 1_000)
    assert (letter.topic, letter.key, letter.value) == ("ticks.dlt", b"SPX", b"[bad]")
    assert letter.headers == (
        ("topic", b"ticks"),
        ("partition", b"3"),
        ("offset", b"7"),
        ("timestamp", b"1700000000000"),
        ("reason", b"bad_price,bad_size"),
        ("detail", b"bad_price in words"),
        ("indices", b"0,4,9"),
        ("rejected", b"3"),
        ("content-type", b"application/json"),
    )
    assert count_reasons(refused) == {"bad_price": 2, "bad_size": 1}


def test_letters_come_in_the_order_of_the_messages_and_duplicates_make_none() -> None:
    """A duplicate is counted and nothing more, also beside a record that is refused."""
    refused = [
        reject(9, -1, "undecodable"),
        reject(8, 0, "duplicate"),
        reject(7, -1, "empty"),
        reject(9, 1, "duplicate"),
    ]
    letters = dead_letters([record(n, b"%d" % n) for n in (7, 8, 9)], refused, "ticks.dlt", 1_000)
    assert [letter.value for letter in letters] == [b"7", b"9"]
    assert [dict(letter.headers)["reason"] for letter in letters] == [b"empty", b"undecodable"]


def test_what_does_not_fit_goes_as_its_beginning_with_size_and_hash() -> None:
    """A refused dead letter would be read again for ever."""
    value = bytes(range(256)) * 1_000
    (letter,) = dead_letters([record(1, value)], [reject(1, -1, "too_large")], "ticks.dlt", 200_000)
    headers = dict(letter.headers)
    assert letter.value == value[:EXCERPT_BYTES]
    assert headers["size"] == b"256000"
    assert headers["sha256"] == sha256(value).hexdigest().encode()


def test_headers_that_would_not_fit_are_left_out() -> None:
    """Ours stay, so the place in the input is always known."""
    fat = record(1, b"x")._replace(headers=(("fat", b"y" * 100_000),))
    (letter,) = dead_letters([fat], [reject(1, -1, "undecodable")], "ticks.dlt", 1_000)
    assert "fat" not in dict(letter.headers)
    assert dict(letter.headers)["offset"] == b"1"


def test_a_message_of_nothing_can_still_be_put_aside() -> None:
    """Neither key nor value: the letter has an empty value, since a record of neither cannot be written."""
    (letter,) = dead_letters([record(1, None, None)], [reject(1, -1, "tombstone")], "ticks.dlt", 1_000)
    assert (letter.key, letter.value) == (None, b"")
