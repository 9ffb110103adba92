"""Writes service/dhpe/edge/sessions.csv from exchange_calendars, or says (--check) whether it has drifted."""

import sys
from datetime import timedelta

import exchange_calendars

from dhpe.edge.sessions import CLOSED, FIRST_DATE, LAST_DATE, TABLE


def table() -> str:
    """The table as text: weekdays without a session, and half days with their close in New York."""
    calendar = exchange_calendars.get_calendar("XNYS", start=FIRST_DATE.isoformat(), end=LAST_DATE.isoformat())
    schedule = calendar.schedule
    closes = schedule["close"].dt.tz_convert(calendar.tz).dt.strftime("%H:%M")
    opens = schedule["open"].dt.tz_convert(calendar.tz).dt.strftime("%H:%M")
    if set(opens) != {"09:30"}:
        raise SystemExit(f"XNYS has sessions that open at {sorted(set(opens))}: the table can only tell of 09:30")
    close_of = {session.date(): close for session, close in closes.items()}
    lines = ["date,close"]
    for day in (FIRST_DATE + timedelta(days=count) for count in range((LAST_DATE - FIRST_DATE).days + 1)):
        close = close_of.get(day, CLOSED)
        weekend = day.weekday() > 4
        if weekend != (close == CLOSED) or close not in ("16:00", CLOSED):
            lines.append(f"{day},{close}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    made = table()
    if "--check" not in sys.argv:
        TABLE.write_text(made, encoding="ascii")
    elif made != TABLE.read_text(encoding="ascii"):
        raise SystemExit(f"{TABLE} is not what exchange_calendars says now: run `make sessions`")
