"""Write docs/limits.md from the settings and the constants that bound the service; with --check only compare it."""

import re
import sys
from pathlib import Path
from typing import Final

from deploy.documents.page import keep

from dhpe import duplicates, underlying
from dhpe.app import LISTEN_BACKLOG
from dhpe.edge import dead_letters, door, messages, metrics, tail
from dhpe.edge.api import limits, routes
from dhpe.edge.formats import jsonl
from dhpe.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "limits.md"
LIMITING: Final = re.compile(r"_max$|_timeout_s$")
"""How a setting is named that bounds something."""

NUMBERS: Final = frozenset(("quote_spread_max", "gain_breach_share_max"))
"""Thresholds of the model, which bound no resource."""

REJECTED: Final = 'the record is refused, counted in `dhpe_rejected_total{reason="%s"}` and kept as a dead letter'
REFUSED: Final = 'counted in `dhpe_http_refused_total{reason="%s"}`'
AT_THE_LIMIT: Final = {
    "topic_partitions": "as many workers as partitions; another count refuses to start",
    "message_bytes_max": REJECTED % "too_large",
    "message_records_max": REJECTED % "too_many_records",
    "future_limit_ms": REJECTED % "future_time",
    "sources_max": REJECTED % "too_many_sources",
    "underlyings_max": "the next one's records are refused, and counted as `too_many_underlyings`: by a worker in"
    " `dhpe_rejected_total`, by the view in `dhpe_view_rejected_total`",
    "contracts_max": REJECTED % "too_many_contracts",
    "kafka_connect_timeout_s": "the process ends with one line; a broker that refuses us ends it at once",
    "kafka_request_timeout_s": "a commit whose answer does not come is given up; both producers are made anew",
    "kafka_session_timeout_s": "the group gives the partitions to others; our next commit is fenced",
    "kafka_transaction_timeout_s": "the broker aborts what a dead worker left open; readers stall no longer",
    "kafka_linger_ms": "a feed's batch is sent though not full",
    "kafka_batch_bytes_max": "the next batch begins",
    "kafka_fetch_bytes_max": "the rest comes with the next fetch; a longer message is fetched alone",
    "step_records_max": "the rest waits in the log for the next step",
    "step_wait_ms": "the step is over without records, and begins anew",
    "state_bytes_max": "a restart that finds no kept state begins with the log",
    "embedded_log_bytes_max": "what a restart needs, states and alerts stay; where they are more, a line says so",
    "explain_timeout_s": "503; one alert is explained at a time, the next question meanwhile gets 503",
    "progress_timeout_s": "records wait and none is applied: the process ends, to be started afresh",
    "drain_timeout_s": "the step under way is cut off; its transaction is aborted and done again by the next owner",
    "http_requests_per_minute": f"429 with Retry-After, {REFUSED % 'rate'}",
    "http_connections_max": f"503 and closed, {REFUSED % 'connections'}",
    "http_head_bytes_max": f"400 and closed, {REFUSED % 'malformed'}",
    "http_body_bytes_max": f"413, {REFUSED % 'body'}",
    "http_request_timeout_s": f"closed before the head is whole, 408 before the body is, {REFUSED % 'slow_request'}",
    "http_send_timeout_s": f"the connection is cut off with what it has not read, {REFUSED % 'slow_reader'}",
    "http_idle_timeout_s": "the connection is closed",
    "http_shutdown_timeout_s": "what is still being answered is cut off",
    "stream_clients_max": '503 with Retry-After, counted in `dhpe_stream_dropped_total{reason="full"}`',
    "stream_clients_of_address_max": '429 with Retry-After, counted in `dhpe_stream_dropped_total{reason="address"}`',
    "stream_queue_max": 'the stream is ended, counted in `dhpe_stream_dropped_total{reason="slow"}`; its reader comes'
    " back with Last-Event-ID",
    "liquidity_bars_max": "the oldest bar goes",
    "history_points_max": "the oldest point goes; 0.3 KB each, for every underlying",
    "recent_alerts_max": "the oldest goes from the API; the topic keeps it",
}
"""What happens, where the setting's own description does not say it."""

FIXED: Final = (
    ("instruments of an underlying", underlying.INSTRUMENTS_MAX, REJECTED % "too_many_instruments"),
    ("sequences remembered of a source", duplicates.MEMORY, "a repetition from further back is not noticed"),
    ("levels of a depth record", door.LEVELS_MAX, REJECTED % "too_many_levels"),
    ("characters of a name", messages.NAME_LENGTH_MAX, REJECTED % "wrong_shape"),
    ("bytes of a dead letter whose message is too long", dead_letters.EXCERPT_BYTES, "cut; size and SHA-256 are told"),
    ("indices of bad records in a dead letter", dead_letters.INDICES_MAX, "the rest is only counted"),
    ("lines read at once from a file", jsonl.LINES_MAX, "the rest comes with the next batch"),
    ("records that the view takes at once", tail.RECORDS_MAX, "the rest waits in the log"),
    ("series of the metrics", metrics.SERIES_MAX, "kept by the next two"),
    ("underlyings with series of their own", metrics.UNDERLYINGS_MAX, "counted in `dhpe_underlyings_hidden`"),
    ("reasons, flags and rules with series of their own", metrics.REASONS_MAX, "counted together as `other`"),
    ("addresses whose requests are counted", limits.ADDRESSES_MAX, "the one silent longest begins anew"),
    ("alerts of one answer", routes.ALERTS_MAX, "422"),
    ("connections that wait to be accepted", LISTEN_BACKLOG, "the kernel lets the client try again"),
)

HEAD = """\
# Limits

Written by `make documents` from the settings and the code.

Every queue, batch, wait, request and number of clients has an end. Between the parts nothing is queued: a source is
read when the log has taken what came before, a step begins when the one before is committed, and what does not fit
waits in the log, where retention bounds it. Memory is bounded by what is kept: the contracts of the underlyings, the
history of the view, and for each stream the newest state of each underlying and `stream_queue_max` alerts.

A flood on one underlying is applied in the order of its partition, and so stands before what its neighbours there send
after it: they wait as long as the backlog takes, `step_records_max` messages a step, and no longer. The other
partitions of the worker are tasks of their own, with which it shares the processor and nothing else. Under a constant
flood their share is the ratio of a quiet underlying's latency with it to that without, which `make bench` prints for
both. More partitions and workers make it smaller.

| setting | default | what | at the limit |
|---|---|---|---|
"""
FIXED_HEAD = """\

What no setting changes:

| what | limit | beyond it |
|---|---|---|
"""


def document() -> str:
    """The whole page."""
    rows = []
    for name, field in Settings.model_fields.items():
        if name in AT_THE_LIMIT or (name not in NUMBERS and LIMITING.search(name)):
            rows.append(f"| `{name}` | `{field.default}` | {field.description} | {AT_THE_LIMIT.get(name, '')} |\n")
    fixed = [f"| {what} | {limit:,} | {beyond} |\n" for what, limit, beyond in FIXED]
    return HEAD + "".join(rows) + FIXED_HEAD + "".join(fixed)


def main() -> int:
    """Write the page; with --check only compare it, 1 where it differs."""
    return keep(DOCUMENT, document())


if __name__ == "__main__":
    sys.exit(main())
