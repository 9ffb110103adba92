"""The HTTP contract: what each path answers, how errors look, and that old numbers are withheld."""

from collections.abc import Iterator

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from dhpe.outputs import Pressure
from dhpe.settings import Settings
from web.records import START_NS, alert, encoded, pressure
from web.service import Service

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    """One running service with two underlyings and two alerts."""
    with Service().serve() as service:
        service.put(pressure(0.1, ts_event_ns=START_NS))
        service.put(pressure(0.2, ts_event_ns=START_NS + 10**9, reasons=("beta_unknown",)))
        service.put(pressure(1.2, underlying="GOOG"))
        service.put(alert(1, ts_event_ns=START_NS))
        service.put(alert(2, ts_event_ns=START_NS + 10**9, underlying="GOOG"))
        yield service


@pytest.fixture
def http(served: Service) -> Iterator[httpx.Client]:
    """A client of the running service, whose clock and health stand as they should."""
    served.clock.ahead_s = 0.0
    served.health.is_alive, served.health.reason = True, ""
    with httpx.Client(base_url=served.address) as client:
        yield client


def test_amplification_is_the_one_number_with_its_interval_books_age_and_quality(http: httpx.Client) -> None:
    """The names of INTERFACES.md."""
    answer = http.get("/v1/SIM/amplification")
    body = answer.json()
    assert answer.status_code == 200
    assert body["amplification"] == pytest.approx(1.25)
    assert body["amplification_low"] < 1.25 < body["amplification_high"]
    assert body["feedback_gain"] == 0.2
    assert body["dealer_risk"] == "amplifying"
    assert body["books"]["naive"]["amplification"] == pytest.approx(1 / 0.74)
    assert set(body["books"]) == {"naive", "flow", "weighted"}
    assert body["ts_event_ns"] == START_NS + 10**9
    assert 0 <= body["age_s"] < 30
    assert body["quality"] == {"status": "degraded", "reasons": ["beta_unknown"]}
    assert body["simulated"] is True


def test_a_critical_gain_has_no_amplification_and_never_a_clipped_one(http: httpx.Client) -> None:
    """From a gain of 1 on none exists."""
    body = http.get("/v1/GOOG/amplification").json()
    assert (body["amplification"], body["feedback_gain"], body["dealer_risk"]) == (None, 1.2, "critical")
    assert body["simulated"] is False


def test_status_is_the_published_record_with_its_age(http: httpx.Client) -> None:
    """The body of the topic pressure, to the byte, and two fields more."""
    answer = http.get("/v1/SIM/status")
    record = encoded(pressure(0.2, ts_event_ns=START_NS + 10**9, reasons=("beta_unknown",)))
    assert answer.content.startswith(record[:-1] + b',"age_s":')
    assert set(answer.json()) == {*Pressure.__struct_fields__, "age_s", "simulated"}


def test_underlyings_are_listed_with_their_headline(http: httpx.Client) -> None:
    """By name, and with the age from which numbers are withheld."""
    body = http.get("/v1/underlyings").json()
    assert [line["underlying"] for line in body["underlyings"]] == ["GOOG", "SIM"]
    assert body["underlyings"][1]["amplification"] == pytest.approx(1.25)
    assert body["stale_after_s"] == 30.0


def test_old_numbers_are_withheld_and_say_so(served: Service, http: httpx.Client) -> None:
    """Null with a reason: never the last value, and never 0."""
    served.clock.ahead_s = 31.0
    status, headline = http.get("/v1/SIM/status"), http.get("/v1/SIM/amplification")
    assert (status.status_code, headline.status_code) == (200, 200)
    for body in (status.json(), headline.json()):
        assert body["quality"] == {"status": "stale", "reasons": ["beta_unknown", "pressure_too_old"]}
        assert body["age_s"] >= 31
        assert body["ts_event_ns"] == START_NS + 10**9
        for name in ("amplification", "amplification_low", "feedback_gain", "dealer_risk"):
            assert body[name] is None
        assert all(value is None for book in body["books"].values() for value in book.values())
    told = {name for name, value in status.json().items() if value is not None}
    assert told == {
        *("underlying", "ts_event_ns", "books", "interval_level", "skew_stickiness", "dealer_share", "tau_floor_s"),
        *("decay_wind_horizon_s", "quality", "offsets", "engine_version", "age_s", "simulated"),
    }
    line = http.get("/v1/underlyings").json()["underlyings"][1]
    assert (line["spot"], line["regime"], line["quality"]["status"]) == (None, None, "stale")


def test_a_stale_number_is_gone_from_the_metrics_too(served: Service, http: httpx.Client) -> None:
    """An alert rule must not read what the API would not say."""
    fresh = http.get("/metrics").text
    served.clock.ahead_s = 31.0
    stale = http.get("/metrics").text
    series = 'dhpe_amplification_ratio{underlying="SIM"} 1.25'
    assert series in fresh
    assert series not in stale
    assert 'dhpe_quality_state{state="stale",underlying="SIM"} 1.0' in stale


def test_age_is_not_negative_where_two_clocks_disagree(served: Service, http: httpx.Client) -> None:
    """A broker's clock may run ahead of ours."""
    served.clock.ahead_s = -3.0
    assert http.get("/v1/SIM/status").json()["age_s"] == 0.0


def test_alerts_are_newest_first_and_can_be_asked_from_an_event_time_on(http: httpx.Client) -> None:
    """Of one underlying or of all."""
    every = http.get("/v1/alerts").json()["alerts"]
    assert [one["underlying"] for one in every] == ["GOOG", "SIM"]
    assert http.get("/v1/SIM/alerts").json()["alerts"] == [msgspec.to_builtins(alert(1, ts_event_ns=START_NS))]
    assert http.get("/v1/SIM/alerts", params={"since": START_NS}).json() == {"alerts": []}
    assert len(http.get("/v1/alerts", params={"limit": 1}).json()["alerts"]) == 1


def test_history_is_arrays_of_one_length_ready_to_be_drawn(http: httpx.Client) -> None:
    """Two records in two half seconds."""
    columns = http.get("/v1/SIM/history").json()["columns"]
    assert columns["ts_event_ns"] == [START_NS, START_NS + 10**9]
    assert columns["feedback_gain"] == [0.1, 0.2]
    assert {len(column) for column in columns.values()} == {2}


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/v1/SPX/amplification", 404, "'SPX'"),
        ("/v1/SPX/alerts", 404, "/v1/underlyings lists"),
        ("/v1/stream?underlying=SPX", 404, "'SPX'"),
        ("/v1/nothing", 404, "Not Found"),
        ("/v1/SIM/alerts?since=yesterday", 422, "query since"),
        ("/v1/alerts?limit=0", 422, "query limit"),
        (f"/v1/{'X' * 65}/status", 422, "path underlying"),
    ],
)
def test_errors_are_problem_documents(http: httpx.Client, path: str, status: int, detail: str) -> None:
    """RFC 9457: what went wrong, where, and how to mend it."""
    answer = http.get(path)
    body = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert set(body) == {"type", "title", "status", "detail", "instance"}
    assert body["status"] == status
    assert detail in body["detail"]
    assert body["instance"] == path.split("?", maxsplit=1)[0]


def test_a_wrong_method_is_a_problem_document_too(http: httpx.Client) -> None:
    """And names what is allowed."""
    answer = http.post("/v1/SIM/status")
    assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
    assert answer.headers["allow"] == "GET"


def test_while_not_restored_what_is_unknown_is_503_and_what_is_known_is_served(
    served: Service, http: httpx.Client
) -> None:
    """A replica that still reads cannot say that an underlying does not exist."""
    served.health.reason = "partition 0 is restoring"
    unknown, known, ready = http.get("/v1/SPX/status"), http.get("/v1/SIM/status"), http.get("/readyz")
    assert (unknown.status_code, known.status_code, ready.status_code) == (503, 200, 503)
    assert unknown.json()["detail"] == ready.json()["detail"] == "partition 0 is restoring"
    assert int(unknown.headers["retry-after"]) > 0
    assert int(ready.headers["retry-after"]) > 0


def test_before_the_first_record_the_lists_are_503_until_ready_and_then_empty() -> None:
    """Empty is an answer only of one who has read everything."""
    with Service().serve() as service:
        service.health.reason = "not assigned yet"
        assert httpx.get(f"{service.address}/v1/underlyings").status_code == 503
        assert httpx.get(f"{service.address}/v1/alerts").status_code == 503
        service.health.reason = ""
        assert httpx.get(f"{service.address}/v1/underlyings").json()["underlyings"] == []


def test_liveness_is_the_loop_and_readiness_is_the_data(served: Service, http: httpx.Client) -> None:
    """A service that restores is alive."""
    served.health.reason = "restoring"
    assert http.get("/healthz").json() == {"status": "alive"}
    served.health.is_alive, served.health.reason = False, ""
    assert http.get("/healthz").status_code == 503
    assert http.get("/readyz").json() == {"status": "ready"}


def test_every_answer_carries_the_security_headers(http: httpx.Client) -> None:
    """Nothing but this host is trusted, errors included."""
    for path in ("/", "/docs", "/web/app.js", "/v1/SIM/status", "/v1/SPX/status", "/metrics", "/favicon.ico"):
        headers = http.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'; object-src 'none'")
        assert "unsafe" not in headers["content-security-policy"]
        assert "http" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"


def test_answers_are_not_cached_and_page_files_are_asked_for_anew(http: httpx.Client) -> None:
    """An old number in a cache would be the last value."""
    assert http.get("/v1/SIM/status").headers["cache-control"] == "no-store"
    assert http.get("/web/app.js").headers["cache-control"] == "no-cache"


def test_with_a_key_the_market_asks_for_it_and_health_does_not() -> None:
    """The page and the probes stay open; the metrics tell the market's numbers, so a scraper brings the key."""
    with Service(Settings(http_api_key=SecretStr("open sesame"))).serve() as service:
        service.put(pressure())
        with httpx.Client(base_url=service.address) as client:
            refused = client.get("/v1/SIM/status")
            assert (refused.status_code, refused.headers["content-type"]) == (401, PROBLEM)
            assert client.get("/v1/SIM/status", headers={"X-API-Key": "wrong"}).status_code == 401
            assert client.get("/v1/stream").status_code == 401
            assert client.get("/v1/SIM/status", headers={"X-API-Key": "open sesame"}).status_code == 200
            assert [client.get(path).status_code for path in ("/", "/healthz", "/docs")] == [200, 200, 200]
            assert client.get("/metrics").status_code == 401
            assert client.get("/metrics", headers={"Authorization": "Bearer open sesame"}).status_code == 200


def test_too_many_requests_in_a_minute_are_refused_until_the_next() -> None:
    """The answer says when to come back."""
    with Service(Settings(http_requests_per_minute=3)).serve() as service:
        service.put(pressure())
        service.clock.ahead_s = 60 - service.clock() % 60  # the beginning of a minute
        with httpx.Client(base_url=service.address) as client:
            answers = [client.get("/v1/SIM/status") for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
            assert answers[-1].headers["content-type"] == PROBLEM
            wait_s = int(answers[-1].headers["retry-after"])
            assert 0 < wait_s <= 60
            assert client.get("/healthz").status_code == 200
            service.clock.ahead_s += wait_s
            assert client.get("/v1/SIM/status").status_code == 200


async def test_a_failure_inside_is_a_problem_document_without_its_inside() -> None:
    """The log has the traceback, the caller has not."""
    service = Service()

    def fail() -> bool:
        raise RuntimeError("a secret of the inside")

    service.health.alive = fail  # type: ignore[method-assign]
    transport = httpx.ASGITransport(service.application, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://dhpe") as client:
        answer = await client.get("/healthz")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "secret" not in answer.text
