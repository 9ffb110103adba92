"""Records of one place by their offsets: those of a span, or all there are from the end backwards."""

from collections.abc import AsyncIterator
from typing import Final

from dhpe.edge.log import Log, LogRecord, Place, RecordsLost, Span

RECORDS_MAX: Final = 2_000
WAIT_S: Final = 0.2
WAITS_MAX: Final = 15
"""For a record that the log ought to have, one after the other; then it is missing."""


async def read_span(log: Log, place: Place, span: Span) -> list[LogRecord]:
    """The records of a span, in their order; fewer where some are gone.

    Raises:
        LogUnavailable: the log does not answer.
    """
    reader = await log.reader({place: span.begin})
    found: list[LogRecord] = []
    waits = 0
    try:
        while reader.position(place) < span.end and waits < WAITS_MAX:
            records = await reader.fetch(RECORDS_MAX, WAIT_S)
            waits = 0 if records else waits + 1
            found += [record for record in records if record.offset < span.end]
    except RecordsLost:
        pass  # retention was faster; whoever asked sees what is missing
    finally:
        await reader.close()
    return found


async def newest_first(log: Log, place: Place, window: int, window_max: int) -> AsyncIterator[LogRecord]:
    """All records that ``place`` has now, the newest first; read ``window`` at once, then ever more, to ``window_max``.

    Raises:
        LogUnavailable: the log does not answer.
    """
    begin, end = await log.span(place)
    while end > begin:
        start = max(begin, end - window)
        for record in reversed(await read_span(log, place, Span(start, end))):
            yield record
        end, window = start, min(2 * window, window_max)
