"""The tables of the embedded log, and what is done to them inside one transaction."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from typing import Final, TypeVar

import msgspec

from dhpe.edge.log import LogRecord, OutRecord, Place, RecordsLost, Span

T = TypeVar("T")

SCHEMA_VERSION: Final = 1

SCHEMA: Final = f"""
CREATE TABLE topics (topic TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE records (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    key BLOB, value BLOB, headers BLOB NOT NULL, append_time_ms INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, offset)) WITHOUT ROWID;
CREATE TABLE ends (topic TEXT, partition INTEGER, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE offsets (topic TEXT, partition INTEGER, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE owners (partition INTEGER PRIMARY KEY, epoch INTEGER NOT NULL);
PRAGMA user_version = {SCHEMA_VERSION};
"""

_encode_headers = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...]).decode
_NO_HEADERS: Final = _encode_headers(())


def in_transaction(connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], T]) -> T:
    """What ``change`` returns, once all that it did is committed; nothing of it where it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        changed = change(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return changed


def span(connection: sqlite3.Connection, place: Place) -> Span:
    """What ``place`` holds; its end stays where all its records were deleted."""
    next_row = connection.execute("SELECT next FROM ends WHERE topic = ? AND partition = ?", place).fetchone()
    end = int(next_row[0]) if next_row else 0
    (first,) = connection.execute("SELECT MIN(offset) FROM records WHERE topic = ? AND partition = ?", place).fetchone()
    return Span(end if first is None else int(first), end)


def size_bytes(connection: sqlite3.Connection, place: Place) -> int:
    """Sum the values that ``place`` holds. It reads all of the place: once, not for each append."""
    question = "SELECT COALESCE(SUM(LENGTH(value)), 0) FROM records WHERE topic = ? AND partition = ?"
    return int(connection.execute(question, place).fetchone()[0])


def shorten(connection: sqlite3.Connection, place: Place, excess_bytes: int) -> int:
    """Delete the oldest records of ``place`` until so many bytes are gone; the newest stays. Say how many went."""
    newest = span(connection, place).end - 1
    rows = connection.execute(
        "SELECT offset, LENGTH(value) FROM records WHERE topic = ? AND partition = ? AND offset < ? ORDER BY offset",
        (*place, newest),
    )
    last, gone_bytes = -1, 0
    while gone_bytes < excess_bytes and (row := rows.fetchone()) is not None:
        last, gone_bytes = row[0], gone_bytes + (row[1] or 0)
    rows.close()
    connection.execute("DELETE FROM records WHERE topic = ? AND partition = ? AND offset <= ?", (*place, last))
    return gone_bytes


def insert(connection: sqlite3.Connection, records: Iterable[OutRecord]) -> list[int]:
    """Append ``records``, each to its partition, and return their offsets."""
    append_time_ms = time.time_ns() // 1_000_000
    ends: dict[Place, int] = {}
    rows = []
    offsets = []
    for topic, key, value, headers, partition in records:
        place = (topic, partition or 0)
        if place not in ends:
            ends[place] = span(connection, place).end
        packed = _encode_headers(headers) if headers else _NO_HEADERS
        rows.append((*place, ends[place], key, value, packed, append_time_ms))
        offsets.append(ends[place])
        ends[place] += 1
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    connection.executemany(
        "INSERT OR REPLACE INTO ends VALUES (?, ?, ?)", [(*place, offset) for place, offset in ends.items()]
    )
    return offsets


def select(
    connection: sqlite3.Connection, positions: Mapping[Place, int], records_max: int, bytes_max: int
) -> list[LogRecord]:
    """At most ``records_max`` records from ``positions`` on, ending with the one that reaches ``bytes_max``.

    Raises:
        RecordsLost: a position lies before what the place still holds.
    """
    records: list[LogRecord] = []
    size = 0
    for (topic, partition), position in positions.items():
        with closing(connection.cursor()) as cursor:
            rows = cursor.execute(
                "SELECT offset, key, value, headers, append_time_ms FROM records "
                "WHERE topic = ? AND partition = ? AND offset >= ? ORDER BY offset LIMIT ?",
                (topic, partition, position, records_max - len(records)),
            )
            first = len(records)
            for offset, key, value, packed, append_time_ms in rows:
                if len(records) == first and offset != position:
                    raise RecordsLost(f"{topic}, partition {partition}: offsets {position} to {offset - 1} are gone")
                headers = () if packed == _NO_HEADERS else _decode_headers(packed)
                records.append(LogRecord(topic, partition, offset, key, value, headers, append_time_ms))
                size += len(value or b"")
                if size >= bytes_max:
                    return records
    return records
