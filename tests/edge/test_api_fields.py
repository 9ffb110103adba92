"""The four answers about the field: each one part of the newest record, with whose it is and how old."""

from collections.abc import Iterator

import httpx
import msgspec
import pytest

from dhpe.edge.api.models import FIELD_PARTS
from dhpe.edge.field_example import FIELD
from dhpe.edge.metrics import Metrics
from dhpe.edge.view import View, ViewLimits
from web.records import START_NS, encoded, field, pressure
from web.service import HEADERS, Service

PATHS = {"field": "at_spot", "landscape": "landscape", "potential": "potential", "surface": "surface"}
HEAD = {
    *("underlying", "ts_event_ns", "spot", "spot_source", "default_book", "dealer_share", "tau_floor_s"),
    *("limits", "quality", "offsets", "engine_version", "age_s", "simulated"),
}


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    """Three underlyings: one with a field, one whose field is not known, one without."""
    with Service().serve() as service:
        for name in ("SIM", "GOOG", "SPX"):
            service.put(pressure(underlying=name))
        service.put(field(ts_event_ns=START_NS - 1))
        service.put(field())
        service.put(field("GOOG", known=False))
        yield service


@pytest.fixture
def http(served: Service) -> Iterator[httpx.Client]:
    """A client of the running service, whose clock and health stand as they should."""
    served.clock.ahead_s, served.health.reason = 0.0, ""
    with httpx.Client(base_url=served.address) as client:
        yield client


@pytest.mark.parametrize(("path", "part"), PATHS.items())
def test_an_answer_is_its_part_of_the_newest_record_beside_the_head(http: httpx.Client, path: str, part: str) -> None:
    """Number for number as it stands in the log."""
    body = http.get(f"/v1/SIM/{path}").json()
    expected = msgspec.to_builtins(getattr(FIELD, part))
    assert {name: body[name] for name in expected} == expected
    assert set(body) == HEAD | set(expected)
    assert (body["ts_event_ns"], body["simulated"]) == (START_NS, True)
    assert 0 <= body["age_s"] < 30


@pytest.mark.parametrize(("path", "part"), PATHS.items())
def test_an_old_field_is_withheld_and_says_so(served: Service, http: httpx.Client, path: str, part: str) -> None:
    """All numbers null, never the last ones; whose and when stays."""
    served.clock.ahead_s = 31.0
    body = http.get(f"/v1/SIM/{path}").json()
    assert all(body[name] is None for name in (*FIELD_PARTS[part].__struct_fields__, "spot"))
    assert body["quality"] == {"status": "stale", "reasons": ["field_too_old"]}
    assert (body["underlying"], body["ts_event_ns"]) == ("SIM", START_NS)
    assert body["age_s"] >= 31


@pytest.mark.parametrize(("path", "part"), PATHS.items())
def test_what_is_not_known_is_null_with_its_reason(http: httpx.Client, path: str, part: str) -> None:
    """The same names as where it is known."""
    body = http.get(f"/v1/GOOG/{path}").json()
    assert set(body) == HEAD | set(FIELD_PARTS[part].__struct_fields__)
    assert all(body[name] is None for name in FIELD_PARTS[part].__struct_fields__)
    assert body["quality"] == {"status": "stale", "reasons": ["spot_unknown"]}


@pytest.mark.parametrize("path", PATHS)
def test_before_the_first_field_the_answer_is_come_again_and_for_a_stranger_not_found(
    http: httpx.Client, path: str
) -> None:
    """Problem documents both; the first names the setting."""
    early, stranger = http.get(f"/v1/SPX/{path}"), http.get(f"/v1/NDX/{path}")
    assert (early.status_code, stranger.status_code) == (503, 404)
    assert int(early.headers["retry-after"]) > 0
    assert "DHPE_FIELD_INTERVAL_S" in early.json()["detail"]
    assert {answer.headers["content-type"] for answer in (early, stranger)} == {"application/problem+json"}


def test_a_tombstone_forgets_the_field_and_rubbish_is_counted() -> None:
    """Another version may have written it."""
    view = View(Metrics())
    view.apply("field", b"SIM", encoded(field()), HEADERS, 7)
    kept = view.field("SIM")
    assert kept is not None
    assert (kept.append_time_ms, bytes(kept.parts.at_spot)) == (7, msgspec.json.encode(FIELD.at_spot))
    view.apply("field", b"SIM", b'{"underlying":1}', HEADERS, 8)
    assert view.field("SIM") is kept
    assert view._metrics.registry.get_sample_value("dhpe_view_rejected_total", {"reason": "undecodable"}) == 1
    view.apply("field", b"SIM", None, HEADERS, 9)
    assert view.field("SIM") is None


def test_so_many_fields_are_kept_and_known_ones_go_on() -> None:
    """They are large: the view has a limit for them alone."""
    view = View(Metrics(), ViewLimits(fields=1))
    for name, ts_event_ns in (("SIM", 1), ("GOOG", 2), ("SIM", 3)):
        view.apply("field", name.encode(), encoded(field(name, ts_event_ns=ts_event_ns)), HEADERS, 0)
    kept = view.field("SIM")
    assert kept is not None
    assert (kept.parts.ts_event_ns, view.field("GOOG")) == (3, None)
    assert view._metrics.registry.get_sample_value("dhpe_view_rejected_total", {"reason": "too_many_fields"}) == 1
