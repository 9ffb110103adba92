"""Metrics: base units, counters that end in _total, no series that grows with the market."""

import re
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from dhpe.edge.metrics import REASONS_MAX, SERIES_MAX, UNDERLYINGS_MAX, Metrics, UnderlyingSample
from web.records import alert, pressure

NUMBERS: Mapping[str, float | None] = {"amplification": 1.25, "feedback_gain": 0.2, "spot": None}


def sample(underlying: str) -> UnderlyingSample:
    """One underlying at a scrape, its spot not known."""
    return UnderlyingSample(underlying, 0.25, "normal", "ok", NUMBERS)


def busy() -> Metrics:
    """Metrics after everything has happened, with more reasons, partitions and underlyings than there should be."""
    metrics = Metrics()
    metrics.step_done(chain=3, ticks=40, seconds=0.002)
    metrics.rejected({f"reason_{number}": 1 for number in range(100)})
    metrics.flagged({f"flag_{number}": 2 for number in range(100)})
    metrics.published([pressure(), pressure(), alert()])
    metrics.transaction_done(0.004)
    metrics.transaction_aborted()
    metrics.fenced()
    metrics.rebalanced()
    for partition in range(12):
        metrics.restored(partition, 1.5)
        metrics.lag("ticks", partition, 7, 0.1)
        metrics.lag("chain", partition, 0, None)
    metrics.loop_lag(0.001)
    metrics.stream_clients(2)
    metrics.stream_dropped("slow")
    metrics.view_rejected("undecodable")
    metrics.field_done("written", 0.7)
    metrics.watch(lambda: [sample(f"U{number:03}") for number in range(100)])
    return metrics


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample of the registry."""
    return metrics.registry.get_sample_value(name, labels)


def test_every_name_is_ours_or_the_process_and_counters_end_in_total() -> None:
    """Prefix dhpe_, base units, ASCII words."""
    for family in text_string_to_metric_families(busy().render().decode()):
        assert re.fullmatch(r"(dhpe|process)_[a-z0-9_]+", family.name), family.name
        assert family.documentation
        assert not re.search(r"_(ms|milliseconds|us|minutes|percentage)$", family.name)
        for point in family.samples:
            if family.type == "counter":
                assert point.name.endswith(("_total", "_created"))


def test_the_registry_stays_under_its_limit_however_large_the_market() -> None:
    """Hundred underlyings, hundred reasons and hundred flags, twelve partitions."""
    lines = [line for line in busy().render().decode().splitlines() if not line.startswith("#")]
    assert len(lines) < SERIES_MAX
    assert not any("symbol" in line or "contract" in line for line in lines)


def test_reasons_beyond_the_limit_are_counted_as_other() -> None:
    """None is lost from the sum."""
    metrics = busy()
    assert value(metrics, "dhpe_rejected_total", reason="other") == 100 - REASONS_MAX
    assert value(metrics, "dhpe_flagged_total", flag="other") == 2 * (100 - REASONS_MAX)


def test_underlyings_beyond_the_limit_are_counted_as_hidden() -> None:
    """The page and the API show them all."""
    assert value(busy(), "dhpe_underlyings_hidden") == 100 - UNDERLYINGS_MAX


def test_a_number_that_is_not_known_has_no_sample() -> None:
    """It is neither 0 nor the last one."""
    metrics = Metrics()
    metrics.watch(lambda: [sample("SIM")])
    assert value(metrics, "dhpe_amplification_ratio", underlying="SIM") == 1.25
    assert value(metrics, "dhpe_spot_price", underlying="SIM") is None
    assert value(metrics, "dhpe_regime_state", underlying="SIM", state="normal") == 1.0
    assert value(metrics, "dhpe_regime_state", underlying="SIM", state="burnout") == 0.0


def test_the_worker_counts_steps_transactions_and_outputs() -> None:
    """Once a batch, in records and seconds."""
    metrics = busy()
    assert value(metrics, "dhpe_records_total", topic="ticks") == 40
    assert value(metrics, "dhpe_pressure_total") == 2
    assert value(metrics, "dhpe_alerts_total", rule="bulldozer", severity="critical") == 1
    assert value(metrics, "dhpe_step_seconds_count") == 1
    assert value(metrics, "dhpe_fields_total", result="written") == 1
    assert value(metrics, "dhpe_field_seconds_sum") == 0.7
    assert value(metrics, "dhpe_transaction_seconds_sum") == 0.004
    assert value(metrics, "dhpe_lag_records", topic="ticks", partition="3") == 7
    assert value(metrics, "dhpe_lag_seconds", topic="chain", partition="3") is None


def test_the_gauges_of_a_revoked_partition_are_gone() -> None:
    """They would tell of the past for ever; revoking what was never assigned is harmless."""
    metrics = busy()
    metrics.revoked(3)
    metrics.revoked(99)
    assert value(metrics, "dhpe_lag_records", topic="ticks", partition="3") is None
    assert value(metrics, "dhpe_restore_seconds", partition="3") is None
    assert value(metrics, "dhpe_lag_records", topic="ticks", partition="4") == 7
