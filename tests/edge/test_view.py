"""The view keeps what is newest, forgets within its limits, and never lets a slow listener hold memory."""

import asyncio

import pytest

from dhpe.edge.metrics import Metrics
from dhpe.edge.view import HistoryPoint, StreamFull, Subscription, View, ViewLimits
from dhpe.outputs import Alert, Pressure
from dhpe.settings import Settings
from web.records import START_NS, alert, encoded, pressure
from web.service import HEADERS

MS = 1_000_000


def view_of(*records: Pressure | Alert, **limits: int) -> View:
    """A view to which these records were applied, one millisecond apart."""
    view = View(Metrics(), ViewLimits(**limits))
    for append_time_ms, record in enumerate(records):
        put(view, record, append_time_ms)
    return view


def put(view: View, record: Pressure | Alert, append_time_ms: int = 0) -> None:
    """Append one record to its topic."""
    topic = "alerts" if isinstance(record, Alert) else "pressure"
    view.apply(topic, record.underlying.encode(), encoded(record), HEADERS, append_time_ms)


def count_of(view: View, name: str, **labels: str) -> float | None:
    """The value of one metric of the view's registry."""
    return view._metrics.registry.get_sample_value(name, labels)


def test_the_newest_pressure_of_each_underlying_is_kept_byte_by_byte_with_its_append_time() -> None:
    """What stands in the log is what the API answers."""
    first, second, other = pressure(0.1), pressure(0.3), pressure(0.2, underlying="GOOG")
    view = view_of(first, second, other)
    latest = view.latest("SIM")
    assert latest is not None
    assert (latest.pressure, latest.raw, latest.append_time_ms) == (second, encoded(second), 1)
    assert view.underlyings() == ["GOOG", "SIM"]
    assert view.latest("SPX") is None


def test_a_tombstone_forgets_the_underlying() -> None:
    """A compacted topic says by an empty value that a key is gone."""
    view = view_of(pressure())
    view.apply("pressure", b"SIM", None, HEADERS, 5)
    assert view.underlyings() == []
    assert view.history("SIM") == []


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b'{"underlying": 5}', b"[1, 2]"])
def test_a_record_that_cannot_be_read_is_counted_and_leaves_the_rest_alone(value: bytes) -> None:
    """Another version may have written it; the neighbours are not to suffer."""
    view = view_of(pressure(underlying="GOOG"))
    view.apply("pressure", b"SIM", value, HEADERS, 1)
    view.apply("alerts", b"SIM", value, HEADERS, 1)
    expected = None if value == b"" else 2.0  # an empty value is a tombstone
    assert count_of(view, "dhpe_view_rejected_total", reason="undecodable") == expected
    assert view.underlyings() == ["GOOG"]


def test_a_topic_that_is_not_an_output_is_a_mistake_of_the_caller() -> None:
    """The view reads two topics and says so."""
    with pytest.raises(ValueError, match="'ticks' is not one"):
        view_of().apply("ticks", b"SIM", b"{}", HEADERS, 0)


def test_topics_may_have_a_prefix() -> None:
    """Several services can share one broker."""
    view = View(Metrics(), pressure_topic="eu.pressure", alerts_topic="eu.alerts")
    view.apply("eu.pressure", b"SIM", encoded(pressure()), HEADERS, 0)
    assert view.underlyings() == ["SIM"]


def test_underlyings_beyond_the_limit_are_counted_and_left_out_while_known_ones_go_on() -> None:
    """Every table has a limit."""
    view = view_of(pressure(0.1), pressure(underlying="GOOG"), pressure(0.2), underlyings=1)
    latest = view.latest("SIM")
    assert view.underlyings() == ["SIM"]
    assert latest is not None
    assert latest.pressure.feedback_gain == 0.2
    assert count_of(view, "dhpe_view_rejected_total", reason="too_many_underlyings") == 1.0


def test_alerts_come_newest_first_by_underlying_and_later_than_an_event_time() -> None:
    """The three questions that a reader asks."""
    alerts = [alert(n, ts_event_ns=START_NS + n, underlying="GOOG" if n == 2 else "SIM") for n in range(5)]
    view = view_of(*alerts)
    numbers = [[int(kept.alert.id, 16) for kept in view.alerts(*question)] for question in QUESTIONS]
    assert numbers == [[4, 3, 2, 1, 0], [4, 3, 1, 0], [4, 3], [2]]


QUESTIONS: list[tuple[str | None, int, int]] = [
    (None, 0, 100),
    ("SIM", 0, 100),
    (None, START_NS + 2, 100),
    ("GOOG", 0, 1),
]


def test_an_alert_delivered_twice_is_one_alert() -> None:
    """Its id is the same for the same fact."""
    assert len(view_of(alert(7), alert(7)).alerts(None, 0, 10)) == 1


def test_the_oldest_alerts_are_forgotten_beyond_the_limit() -> None:
    """The topic keeps them for thirty days; the view is not the topic."""
    view = view_of(*(alert(n) for n in range(10)), alerts=3)
    assert [int(kept.alert.id, 16) for kept in view.alerts(None, 0, 10)] == [9, 8, 7]


def test_history_keeps_the_last_point_of_each_interval_and_so_many_intervals() -> None:
    """Three records in each of five half seconds, of which three are kept."""
    records = [pressure(n / 100, ts_event_ns=START_NS + n * 160 * MS) for n in range(15)]
    points = view_of(*records, history_points=3, history_interval_ms=500).history("SIM")
    assert [point.feedback_gain for point in points] == [0.09, 0.12, 0.14]
    assert all(isinstance(point, HistoryPoint) for point in points)


def test_history_starts_anew_when_event_time_goes_back() -> None:
    """A chart cannot run backwards."""
    view = view_of(pressure(ts_event_ns=START_NS), pressure(0.3, ts_event_ns=START_NS - 10_000 * MS))
    assert [point.feedback_gain for point in view.history("SIM")] == [0.3]


async def test_a_listener_starts_with_what_is_known_and_gets_the_newest_state_and_every_alert() -> None:
    """Of a state only the newest matters; of alerts each one does."""
    view = view_of(pressure(0.1))
    listener = view.subscribe("SIM")
    assert [update.raw for update in await listener.take(1)] == [encoded(pressure(0.1))]
    for record in (pressure(0.2), alert(1), pressure(0.3), pressure(underlying="GOOG"), alert(2)):
        put(view, record)
    taken = await listener.take(1)
    assert [update.raw for update in taken] == [encoded(r) for r in (alert(1), pressure(0.3), alert(2))]


async def test_a_listener_who_comes_back_gets_the_alerts_that_he_missed() -> None:
    """He names the last one that he saw."""
    view = view_of(*(alert(n) for n in range(4)), alert(4, underlying="GOOG"), pressure())
    taken = await view.subscribe("SIM", alert(1).id).take(1)
    assert [update.id for update in taken] == [alert(2).id, alert(3).id, ""]


async def test_an_unknown_last_alert_brings_no_alerts_back() -> None:
    """It may have left the view long ago; the reader asks for the list instead."""
    view = view_of(alert(1), pressure())
    assert [update.event for update in await view.subscribe(None, "gone").take(1)] == ["pressure"]


async def test_a_listener_who_falls_behind_is_dropped_and_counted_and_the_others_go_on() -> None:
    """Four alerts wait for one who takes none; three are allowed."""
    view = view_of(stream_queue=3)
    slow, quick = view.subscribe(None), view.subscribe(None)
    seen = []
    for number in range(4):
        put(view, alert(number))
        seen += await quick.take(1)
    assert (slow.ended, quick.ended) == ("slow", "")
    assert len(seen) == 4
    assert await slow.take(1) == []
    assert count_of(view, "dhpe_stream_dropped_total", reason="slow") == 1.0
    assert count_of(view, "dhpe_stream_clients") == 1.0


async def test_what_is_known_at_the_beginning_is_never_too_much() -> None:
    """Hundred underlyings, and fifty alerts that were missed: the limit is on what comes while nobody takes."""
    states = [pressure(underlying=f"U{number:03}") for number in range(100)]
    view = view_of(*states, *(alert(number) for number in range(51)), stream_queue=3)
    listener = view.subscribe(None, alert(0).id)
    put(view, alert(99))
    assert (len(await listener.take(1)), listener.ended) == (151, "")


async def test_there_is_a_limit_on_listeners_and_leaving_makes_room() -> None:
    """A place is given back even where the listener leaves twice."""
    view = view_of(stream_clients=1)
    first = view.subscribe(None)
    with pytest.raises(StreamFull):
        view.subscribe(None)
    view.unsubscribe(first)
    view.unsubscribe(first)
    assert isinstance(view.subscribe(None), Subscription)
    assert count_of(view, "dhpe_stream_dropped_total", reason="full") == 1.0


async def test_closing_ends_those_who_listen_and_those_who_come_later() -> None:
    """An open stream would keep the server alive."""
    view = view_of()
    waiting = view.subscribe(None)
    taking = asyncio.create_task(waiting.take(60))
    await asyncio.sleep(0)
    view.close()
    assert await taking == []
    await waiting.pause(60)
    assert waiting.ended == "shutdown"
    assert view.subscribe(None).ended == "shutdown"


async def test_waiting_ends_without_events_after_its_time() -> None:
    """The stream then sends a sign of life."""
    assert await view_of().subscribe(None).take(0.001) == []


def test_the_limits_are_the_operators_settings() -> None:
    """Each has a name in the settings."""
    settings = Settings(stream_clients_max=2, stream_queue_max=3, recent_alerts_max=4, underlyings_max=5)
    limits = ViewLimits.of(settings)
    assert (limits.stream_clients, limits.stream_queue, limits.alerts, limits.underlyings) == (2, 3, 4, 5)
