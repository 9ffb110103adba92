"""The event stream over a real socket: order, coming back, falling behind, and the end of the service."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import pytest

from dhpe.settings import Settings
from web.records import START_NS, alert, field, pressure
from web.service import RunningService, Service


class Event(NamedTuple):
    """One server-sent event; a comment has only its text."""

    name: str
    data: str
    id: str
    comment: str


def events(response: httpx.Response) -> Iterator[Event]:
    """The events of an open stream, comments included."""
    fields = {"event": "", "data": "", "id": "", "": ""}
    for line in response.iter_lines():
        if line:
            field, _, value = line.partition(": ")
            fields[field] = value
        elif any(fields.values()):
            yield Event(fields["event"], fields["data"], fields["id"], fields[""])
            fields = dict.fromkeys(fields, "")


@contextmanager
def listening(service: Service, **headers: str) -> Iterator[Iterator[Event]]:
    """The events of /v1/stream?underlying=SIM, without the greeting."""
    with (
        httpx.Client(base_url=service.address, timeout=10) as client,
        client.stream("GET", "/v1/stream", params={"underlying": "SIM"}, headers=headers) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        received = events(response)
        assert next(received).comment == "dhpe"
        yield received


def quick(**others: float) -> Service:
    """A service that sends at once."""
    return Service(Settings(stream_interval_ms=0, http_requests_per_minute=0, **others))  # type: ignore[arg-type]


def test_a_stream_begins_with_the_state_and_goes_on_with_what_happens() -> None:
    """Other underlyings stay out of it."""
    with quick().serve() as service:
        service.put(pressure(0.1))
        with listening(service) as received:
            first = next(received)
            assert (first.name, json.loads(first.data)["feedback_gain"]) == ("pressure", 0.1)
            assert json.loads(first.data)["age_s"] >= 0
            service.put(pressure(0.9, underlying="GOOG"))
            service.put(alert(5))
            told = next(received)
            assert (told.name, told.id, json.loads(told.data)["id"]) == ("alert", alert(5).id, alert(5).id)
            service.put(pressure(0.2, ts_event_ns=START_NS + 1))
            assert json.loads(next(received).data)["feedback_gain"] == 0.2


def test_a_stream_tells_that_a_new_field_is_there_with_the_head_of_its_answers() -> None:
    """At the beginning too; the numbers themselves are asked for where somebody wants them."""
    with quick().serve() as service:
        service.put(pressure())
        service.put(field())
        with listening(service) as received:
            assert [next(received).name, next(received).name] == ["pressure", "field"]
            service.put(field("GOOG"))
            service.put(field(known=False, ts_event_ns=START_NS + 1))
            told = next(received)
            head, body = json.loads(told.data), httpx.get(f"{service.address}/v1/SIM/landscape").json()
            assert (told.name, head["ts_event_ns"], head["quality"]["reasons"]) == (
                "field",
                START_NS + 1,
                ["spot_unknown"],
            )
            assert {name: body[name] for name in head if name != "age_s"} | {"age_s": head["age_s"]} == head
            assert "prices" not in head


def test_an_alert_that_was_missed_comes_when_the_reader_names_the_last_one() -> None:
    """The standard's Last-Event-ID."""
    with quick().serve() as service:
        service.put(pressure())
        for number in range(1, 4):
            service.put(alert(number))
        with listening(service, **{"Last-Event-ID": alert(1).id}) as received:
            assert [next(received).id for _ in range(3)] == [alert(2).id, alert(3).id, ""]


def test_an_idle_stream_shows_signs_of_life() -> None:
    """A proxy would close it otherwise."""
    with quick(stream_heartbeat_s=0.05).serve() as service:
        service.put(pressure())
        with listening(service) as received:
            assert next(received).name == "pressure"
            assert [next(received).comment for _ in range(2)] == ["still here"] * 2


def test_a_stale_state_is_sent_without_its_numbers() -> None:
    """The rule of the answers holds for the stream."""
    with quick().serve() as service:
        service.put(pressure())
        service.clock.ahead_s = 60
        with listening(service) as received:
            body = json.loads(next(received).data)
            assert (body["amplification"], body["quality"]["status"]) == (None, "stale")


def test_the_service_stops_at_once_although_somebody_listens() -> None:
    """Generators end at shutdown; the last comment says why."""
    service = quick()
    server = RunningService(service)
    server.__enter__()
    service.put(pressure())
    with listening(service) as received:
        assert next(received).name == "pressure"
        ending = threading.Thread(target=server.__exit__)
        ending.start()
        assert [event.comment for event in received] == ["shutdown"]
        ending.join(3)
        assert not ending.is_alive()


def test_when_all_places_are_taken_the_next_is_told_to_come_back() -> None:
    """And a place is free again when its listener has gone."""
    with quick(stream_clients_max=1).serve() as service:
        service.put(pressure())
        with listening(service) as received:
            assert next(received).name == "pressure"
            refused = httpx.get(f"{service.address}/v1/stream")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0
            assert "DHPE_STREAM_CLIENTS_MAX" in refused.json()["detail"]
        gone = threading.Event()
        while service.metrics.registry.get_sample_value("dhpe_stream_clients") != 0.0:
            assert not gone.wait(0.01)
        with listening(service) as received:
            assert next(received).name == "pressure"


def test_while_the_service_restores_a_stream_waits_for_its_underlying() -> None:
    """A reader who came back too early need not come again."""
    with quick().serve() as service:
        service.health.reason = "restoring"
        with listening(service) as received:
            service.put(pressure())
            assert next(received).name == "pressure"


def test_a_client_that_reads_nothing_is_dropped_and_the_service_goes_on() -> None:
    """Three heartbeats without reading; the others do not notice."""
    with quick(stream_heartbeat_s=0.2).serve() as service:
        service.put(pressure())
        host, port = service.address.removeprefix("http://").split(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((host, int(port)))
            deaf.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: dhpe\r\n\r\n")
            sent, waited = 0, threading.Event()
            while not service.metrics.registry.get_sample_value("dhpe_stream_dropped_total", {"reason": "slow"}):
                service.put(pressure(0.1, ts_event_ns=START_NS + sent))
                sent += 1
                assert sent < 20_000, "the deaf client was never dropped"
                if sent > 2_000:
                    waited.wait(0.002)
        assert httpx.get(f"{service.address}/v1/SIM/status").status_code == 200
        assert service.metrics.registry.get_sample_value("dhpe_stream_clients") == 0.0


@pytest.mark.parametrize("query", ["?underlying=", f"?underlying={'X' * 65}"])
def test_a_wrong_name_is_refused_before_the_stream_begins(query: str) -> None:
    """422, as everywhere."""
    with quick().serve() as service:
        assert httpx.get(f"{service.address}/v1/stream{query}").status_code == 422
