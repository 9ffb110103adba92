"""Sessions: the settlement instant of every series, against exchange_calendars and against known days."""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import exchange_calendars
import pytest

from dhpe.edge.sessions import (
    CALENDARS,
    FIRST_DATE,
    LAST_DATE,
    midnight_ns,
    settlement_ns,
    trading_close_ns,
)


def utc(instant_ns: int) -> str:
    """An instant as a reader writes it."""
    return f"{datetime.fromtimestamp(instant_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M}"


def test_the_table_is_what_exchange_calendars_says(project: Path) -> None:
    """The committed table is the one that `make sessions` would write today."""
    script = project / "deploy" / "sessions" / "sessions.py"
    run = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


# exchange_calendars itself uses what pandas is about to change
@pytest.mark.filterwarnings("ignore:Series.values:DeprecationWarning")
def test_every_session_of_36_years_ends_when_the_exchange_closed() -> None:
    """Each session's PM and AM instants equal close and open of exchange_calendars, to the nanosecond."""
    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DATE.isoformat(), end=LAST_DATE.isoformat())
    schedule = calendar.schedule
    dates = [str(session.date()) for session in schedule.index]
    assert len(dates) > 9000
    opens, closes = ([instant.as_unit("ns").value for instant in schedule[name]] for name in ("open", "close"))
    assert [settlement_ns(date, "pm", "XNYS") for date in dates] == closes
    assert [settlement_ns(date, "am", "XNYS") for date in dates] == opens


@pytest.mark.parametrize(
    ("expiration", "settlement", "calendar", "instant"),
    [
        ("2015-12-23", "pm", "XNYS", "2015-12-23 21:00"),
        ("2015-12-24", "pm", "XNYS", "2015-12-24 18:00"),  # half day: 13:00 New York
        ("2026-07-17", "pm", "XNYS", "2026-07-17 20:00"),  # summer time
        ("2026-09-18", "am", "XCBO", "2026-09-18 13:30"),  # SPX
        ("2026-09-18", "pm", "XCBO", "2026-09-18 20:00"),  # SPXW of the same date
        ("2026-11-27", "pm", "XCBO", "2026-11-27 18:00"),  # a half day ends an expiring SPXW with the shares
        ("2027-06-18", "am", "XCBO", "2027-06-17 13:30"),  # the third Friday is a holiday
        ("2008-03-21", "pm", "XNYS", "2008-03-20 20:00"),  # Good Friday
        ("2010-09-18", "am", "XCBO", "2010-09-17 13:30"),  # contracts used to expire on Saturdays
        ("2001-09-11", "pm", "XNYS", "2001-09-10 20:00"),
        ("2022-01-01", "pm", "24/7", "2022-01-01 08:00"),
        ("2050-01-01", "am", "24/7", "2050-01-01 08:00"),
    ],
)
def test_a_series_settles_at_its_own_instant(expiration: str, settlement: str, calendar: str, instant: str) -> None:
    """AM and PM, half days, daylight saving, holidays, Saturdays and crypto, in UTC."""
    assert utc(settlement_ns(expiration, settlement, calendar)) == instant


@pytest.mark.parametrize(
    ("expiration", "settlement", "calendar", "sentence"),
    [
        ("2026-09-18", "noon", "XNYS", "settlement is 'noon': a series settles 'am' or 'pm'"),
        ("2026-09-18", "pm", "XLON", "calendar is 'XLON': known are XNYS, XCBO, 24/7"),
        ("2026-13-18", "pm", "XNYS", "the date is '2026-13-18': it is written YYYY-MM-DD"),
        ("20260918", "pm", "XNYS", "the date is '20260918': it is written YYYY-MM-DD"),
        ("2026-W38-5", "pm", "XNYS", "the date is '2026-W38-5': it is written YYYY-MM-DD"),
        ("2036-01-18", "pm", "XNYS", "2036-01-18 is outside the session table, which knows 2000-01-03 to 2035-12-31"),
        ("1999-12-31", "am", "XCBO", "1999-12-31 is outside the session table, which knows 2000-01-03 to 2035-12-31"),
    ],
)
def test_what_cannot_be_known_is_said(expiration: str, settlement: str, calendar: str, sentence: str) -> None:
    """Nothing is extrapolated: the error names the value and what would be right."""
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        settlement_ns(expiration, settlement, calendar)


def test_index_options_trade_a_quarter_of_an_hour_longer_than_they_live() -> None:
    """The series that do not expire trade to 16:15, on half days to 13:15; SPXW settled at 16:00 and 13:00."""
    assert utc(trading_close_ns("2026-08-18", "XCBO")) == "2026-08-18 20:15"
    assert utc(trading_close_ns("2026-11-27", "XCBO")) == "2026-11-27 18:15"
    assert utc(trading_close_ns("2026-11-27", "XNYS")) == "2026-11-27 18:00"
    assert utc(trading_close_ns("2026-08-18", "24/7")) == "2026-08-19 00:00"
    with pytest.raises(ValueError, match="XCBO has no session on 2026-12-25"):
        trading_close_ns("2026-12-25", "XCBO")


@pytest.mark.parametrize("calendar", CALENDARS)
def test_a_day_begins_at_midnight_where_its_exchange_is(calendar: str) -> None:
    """Files count milliseconds from the midnight of New York; crypto from that of Greenwich."""
    expected = "2015-12-24 00:00" if calendar == "24/7" else "2015-12-24 05:00"
    assert utc(midnight_ns("2015-12-24", calendar)) == expected


@pytest.mark.parametrize("day", ["1999-12-30", "2815-12-24"])
def test_a_day_whose_nanoseconds_nobody_can_mean_is_refused(day: str) -> None:
    """The name of a damaged file may say any."""
    with pytest.raises(ValueError, match=f"the date is {day}: dates are those of 2000 to 2100"):
        midnight_ns(day, "XNYS")


def test_the_table_needs_no_pandas_at_run_time() -> None:
    """A worker that asks for a settlement has imported neither pandas nor exchange_calendars."""
    code = (
        "import sys; from dhpe.edge.sessions import settlement_ns; settlement_ns('2026-09-18', 'pm', 'XNYS');"
        "print([name for name in ('pandas', 'exchange_calendars') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
