"""The field of a real SPX chain, from the log to the four answers, on a worker and on a replica that only tails."""

from pathlib import Path

import httpx
import pytest

from dhpe.app import Service
from dhpe.columns import Reject
from dhpe.edge import formats
from dhpe.edge.encode import encode_batch
from dhpe.edge.feeds import closing_clock, latest_event_ns
from dhpe.edge.topic_names import TopicNames
from dhpe.settings import Settings
from edge.test_app import serving
from worker_room import put, until

PATHS = ("field", "landscape", "potential", "surface")
DAY = "2026-08-20"


def evening(folder: Path) -> list:
    """The messages of one evening's chain, closed by a clock."""
    batches = []
    last_ns = -1
    for item in formats.read(formats.plan([folder / "spx_chain" / f"{DAY}.csv.gz"])):
        if not isinstance(item, Reject):
            batches.append(item)
            last_ns = latest_event_ns(item, last_ns)
    batches.append(closing_clock(last_ns, 100))
    return [message for batch in batches for message in encode_batch(batch, records_per_message=500)]


@pytest.mark.timeout(240)
async def test_the_field_of_a_real_chain_is_answered_by_worker_and_replica_alike(
    shared_data: Path, tmp_path: Path
) -> None:
    """Equal but for the age; every part is there, from 30,000 contracts."""
    settings = Settings(embedded_log_path=tmp_path / "log.sqlite", http_port=0, kyle_lambda=5e-13, stale_after_s=600.0)
    names = TopicNames.of(settings)
    async with serving(settings, works=True) as worker, serving(settings, works=False) as replica:
        await put(worker.log, evening(shared_data), names)
        last = (await worker.log.span((names.ticks, 0))).end - 1
        answers = []
        for service in (worker, replica):
            await until(lambda service=service: reaches(service, last))  # type: ignore[misc]
            async with httpx.AsyncClient(base_url=service.address) as client:
                answers.append({path: (await client.get(f"/v1/SPX/{path}")).json() for path in PATHS})
    for path in PATHS:
        first, second = (answer[path] | {"age_s": None} for answer in answers)
        assert first == second
        assert first["quality"]["status"] != "stale"
    found = answers[0]
    assert sum(found["surface"]["vol_sources"].values()) == found["surface"]["series"] > 29_000
    assert len(found["surface"]["expiries"]) > 50
    calls, puts = (sum(found["field"]["by_strike"][right]["gamma_field"]) for right in ("calls", "puts"))
    assert calls + puts == pytest.approx(found["field"]["gamma_field"])
    assert found["landscape"]["put_wall"] <= found["landscape"]["spot"] <= found["landscape"]["call_wall"]
    assert len(found["potential"]["force_by_price"]) == len(found["landscape"]["prices"]) > 200


def reaches(service: Service, offset: int) -> bool:
    """Whether the newest field was read at the end of the input."""
    kept = service.view.field("SPX")
    return kept is not None and kept.parts.offsets.ticks == offset
