"""When a series settles: exchange sessions without pandas, from a table made of exchange_calendars.

``sessions.csv`` beside this file lists the weekdays of New York on which there is no session ("closed") and the half
days with their close; every other weekday is a full session. ``make sessions`` writes it anew.

Calendars:

- ``XNYS``: US equities and their options. A ``pm`` series settles at the close (16:00, half days 13:00), an ``am``
  series at the open (09:30).
- ``XCBO``: US index options. They trade 15 minutes longer (16:15, half days 13:15), but they settle as above: the
  exercise value of an ``am`` series is made of the opening prices of the index's shares, that of a ``pm`` series is the
  closing value of the index. An expiring SPXW therefore ends with the shares, at 16:00 or 13:00, not at 16:15 or 13:15
  (Cboe's SPXW specification; SR-CBOE-2011-038 for the earlier end of trading).
- ``24/7``: crypto options, at 08:00 UTC of any date, whatever their settlement is called.

An expiration without a session is that of the session before it: a third Friday that is a holiday, and the Saturdays on
which contracts used to expire.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from dhpe.edge.messages import TIME_FIRST_NS, TIME_LAST_NS

FIRST_DATE: Final = date(2000, 1, 3)
LAST_DATE: Final = date(2035, 12, 31)
"""Between them the table speaks; beyond them nothing is guessed, holidays being proclaimed and not computed."""

CALENDARS: Final = ("XNYS", "XCBO", "24/7")
TABLE: Final = Path(__file__).with_name("sessions.csv")
CLOSED: Final = "closed"

_NEW_YORK: Final = ZoneInfo("America/New_York")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SATURDAY: Final = 5
_OPEN: Final = time(9, 30)
_CLOSE: Final = time(16, 0)
_INDEX_OPTIONS_LONGER: Final = timedelta(minutes=15)
_CRYPTO: Final = time(8, 0)


@lru_cache(maxsize=4096)
def settlement_ns(expiration: str, settlement: str, calendar: str) -> int:
    """The settlement instant (UTC, ns) of a series that expires on ``expiration`` (YYYY-MM-DD), "am" or "pm".

    Raises:
        ValueError: what is wrong with which of the three, in one sentence.
    """
    day = _date(expiration, calendar)
    if settlement not in ("am", "pm"):
        raise ValueError(f"settlement is {settlement!r}: a series settles 'am' or 'pm'")
    if calendar == "24/7":
        return _instant_ns(datetime.combine(day, _CRYPTO, UTC))
    close = _session_close(day)
    while close is None:
        day -= timedelta(days=1)
        if day < FIRST_DATE:
            raise _outside(expiration)
        close = _session_close(day)
    return _instant_ns(datetime.combine(day, close if settlement == "pm" else _OPEN, _NEW_YORK))


def trading_close_ns(session: str, calendar: str) -> int:
    """The end of trading (UTC, ns) of the exchange date ``session`` (YYYY-MM-DD); not yet that of an expiring series.

    Raises:
        ValueError: there is no session on that date, or the table does not know.
    """
    day = _date(session, calendar)
    if calendar == "24/7":
        return _instant_ns(datetime.combine(day + timedelta(days=1), time(0), UTC))
    close = _session_close(day)
    if close is None:
        raise ValueError(f"{calendar} has no session on {session}")
    end = datetime.combine(day, close, _NEW_YORK)
    return _instant_ns(end + _INDEX_OPTIONS_LONGER if calendar == "XCBO" else end)


def midnight_ns(day: str, calendar: str) -> int:
    """The beginning (UTC, ns) of the exchange date ``day`` (YYYY-MM-DD), from which files count their milliseconds.

    Raises:
        ValueError: this is no date of 2000 to 2100, or the calendar is unknown.
    """
    begin = _date(day, calendar, bounded=False)
    instant_ns = _instant_ns(datetime.combine(begin, time(0), UTC if calendar == "24/7" else _NEW_YORK))
    if not TIME_FIRST_NS <= instant_ns < TIME_LAST_NS:
        raise ValueError(f"the date is {day}: dates are those of 2000 to 2100")
    return instant_ns


def _date(text: str, calendar: str, *, bounded: bool = True) -> date:
    if calendar not in CALENDARS:
        raise ValueError(f"calendar is {calendar!r}: known are {', '.join(CALENDARS)}")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise ValueError(f"the date is {text!r}: it is written YYYY-MM-DD")
    if bounded and calendar != "24/7" and not FIRST_DATE <= day <= LAST_DATE:
        raise _outside(text)
    return day


def _outside(text: str) -> ValueError:
    return ValueError(f"{text} is outside the session table, which knows {FIRST_DATE} to {LAST_DATE}")


def _instant_ns(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1_000


def _session_close(day: date) -> time | None:
    """The close in New York; ``None`` where there is no session."""
    if day.weekday() >= _SATURDAY:
        return None
    exception = _exceptions().get(day.isoformat(), "")
    if exception == CLOSED:
        return None
    return time.fromisoformat(exception) if exception else _CLOSE


@cache
def _exceptions() -> dict[str, str]:
    """Date to "closed" or the early close."""
    _, *lines = TABLE.read_text(encoding="ascii").splitlines()
    return dict(line.split(",") for line in lines)
