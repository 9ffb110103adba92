"""The page of limits says what the code does, and the bounds that no other test reaches are reached here."""

import re
from pathlib import Path

from deploy.documents import limits as document

from dhpe.columns import Reject
from dhpe.edge.api.limits import ADDRESSES_MAX, RequestLimit
from dhpe.edge.dead_letters import INDICES_MAX, dead_letters
from dhpe.edge.decode import decode
from dhpe.edge.log import LogRecord
from dhpe.edge.metrics import Metrics
from dhpe.engine import Engine
from dhpe.parameters import Parameters
from dhpe.settings import Settings
from dhpe.underlying import INSTRUMENTS_MAX
from worker_room import START_NS


def test_every_setting_that_bounds_something_stands_on_the_page(project: Path) -> None:
    """And a reason that the page names is one that the service gives."""
    page = document.document()
    bounding = [name for name in Settings.model_fields if document.LIMITING.search(name)]
    missing = [name for name in bounding if f"| `{name}` |" not in page and name not in document.NUMBERS]
    assert len(bounding) > 15
    assert missing == []
    source = "".join(path.read_text(encoding="utf-8") for path in (project / "service").rglob("*.py"))
    reasons = set(re.findall(r'reason="(\w+)"', page))
    assert {"too_large", "rate", "slow_reader"} <= reasons
    assert [reason for reason in reasons if f'"{reason}"' not in source] == []


def test_one_instrument_more_than_an_underlying_may_have_is_refused() -> None:
    """By its definition and by its trades; those that are there go on."""
    engine = Engine(Parameters())
    trade = b'{"kind":"trade","underlying":"SIM","instrument":"I%d","ts_event_ns":%d,"price":100,"size":1}'
    lines = [trade % (n, START_NS + n) for n in (*range(INSTRUMENTS_MAX + 3), 0)]
    batch, rejects = decode([(n, b"SIM", line, None, None) for n, line in enumerate(lines)], "ticks")
    assert rejects == []
    result = engine.step(batch._replace(events=batch.events[:0]), batch)
    assert [(one.offset, one.reason) for one in result.rejects] == [
        (INSTRUMENTS_MAX + n, "too_many_instruments") for n in range(3)
    ]


def test_a_dead_letter_lists_so_many_bad_indices_and_counts_all() -> None:
    """A header of a million numbers would make it too long itself."""
    rejects = [Reject("ticks", 7, n, "", "bad_value", "no") for n in range(INDICES_MAX + 5)]
    (letter,) = dead_letters([LogRecord("ticks", 0, 7, b"SIM", b"[]", (), 0)], rejects, "ticks.dlt", 1_000)
    headers = dict(letter.headers)
    assert headers["indices"].count(b",") == INDICES_MAX - 1
    assert headers["rejected"] == b"%d" % (INDICES_MAX + 5)


def test_the_addresses_that_are_counted_do_not_grow_without_end() -> None:
    """The one that was silent longest is forgotten first."""

    async def application(*_: object) -> None:
        """Answers nothing: only the counting is looked at."""

    limit = RequestLimit(application, per_minute=1, metrics=Metrics(), now_s=lambda: 0.0)
    waits = [limit._wait_s(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(ADDRESSES_MAX + 10)]
    assert set(waits) == {0}
    assert len(limit._counts) == ADDRESSES_MAX
    assert limit._wait_s("10.0.39.0") > 0
    assert limit._wait_s("10.0.0.0") == 0, "it begins anew"
