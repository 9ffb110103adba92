"""Every panel and every alert rule runs on a real Prometheus that scrapes the real application."""

import json
import math
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from web.records import START_NS, alert, pressure
from web.service import Service

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
PATIENCE_S = 60.0
SERVES_THE_PROCESS = {
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
    "process_open_fds",
    "process_max_fds",
}


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """The panels that show numbers."""
    return [panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Title and expression of every target, its variables set as Grafana would."""
    found = []
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel["targets"]:
                expression = target["expr"].replace("$underlying", ".*").replace("$__rate_interval", "5s")
                found.append((f"{panel['title']} {target['refId']}", expression))
    return found


def busy(service: Service, number: int) -> None:
    """What a worker and its view report in one step."""
    metrics = service.metrics
    ts_event_ns = START_NS + number * 100_000_000
    outputs = [pressure(0.2, ts_event_ns=ts_event_ns), alert(number, ts_event_ns=ts_event_ns)]
    for record in outputs:
        service.put(record)

    def report() -> None:
        metrics.step_done(chain=1, ticks=100, seconds=0.003)
        metrics.rejected({"unknown_contract": 1})
        metrics.flagged({"crossed_quote": 2})
        metrics.published(outputs)
        metrics.transaction_done(0.006)
        metrics.lag("ticks", 0, 12, 0.05)
        metrics.restored(0, 0.8)
        metrics.loop_lag(0.0004)
        metrics.stream_dropped("slow")
        metrics.http_refused("rate")
        metrics.view_rejected("undecodable")
        metrics.field_done("written", 0.4)
        metrics.snapshot_written(0, 60_000)

    service.run(report)


@pytest.fixture(scope="module")
def scraped() -> Iterator[Service]:
    """A running service whose worker takes ten steps a second."""
    with Service().serve() as service:
        over = threading.Event()

        def work() -> None:
            number = 0
            while not over.wait(0.1):
                number += 1
                busy(service, number)

        worker = threading.Thread(target=work)
        worker.start()
        yield service
        over.set()
        worker.join(10)


@pytest.fixture(scope="module")
def prometheus(scraped: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Prometheus with our own configuration, its target and its pace aside."""
    program = shutil.which("prometheus")
    assert program, "install prometheus (make setup does, on Debian as root)"
    folder = tmp_path_factory.mktemp("prometheus")
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", folder)
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [scraped.address.removeprefix("http://")]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        ],
        stderr=log,
    )
    until = time.monotonic() + PATIENCE_S
    while not answers(f"http://{address}/-/ready"):
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < until, (folder / "log").read_text()
        time.sleep(0.1)
    yield f"http://{address}"
    process.terminate()
    process.wait(20)
    log.close()


def answers(address: str) -> bool:
    """Whether something there says 200."""
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


def ask(prometheus: str, expression: str) -> list[float]:
    """The values of an instant query, NaN left out."""
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", answer
    values = [float(series["value"][1]) for series in answer["data"]["result"]]
    return [value for value in values if not math.isnan(value)]


@pytest.mark.prometheus
@pytest.mark.parametrize(("title", "expression"), expressions(), ids=[title for title, _ in expressions()])
def test_every_panel_shows_data_of_a_running_service(prometheus: str, title: str, expression: str) -> None:
    """No panel of a dashboard is empty when everything has happened."""
    until = time.monotonic() + PATIENCE_S
    while not (values := ask(prometheus, expression)):
        assert time.monotonic() < until, f"{title}: {expression} returns nothing"
        time.sleep(0.2)
    assert all(math.isfinite(value) for value in values)


@pytest.mark.prometheus
def test_the_rules_are_loaded_and_healthy_on_the_running_service(prometheus: str) -> None:
    """Each was evaluated without an error."""
    until = time.monotonic() + PATIENCE_S
    while True:
        groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
        health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        if health and set(health.values()) == {"ok"}:
            break
        assert time.monotonic() < until, health
        time.sleep(0.2)
    assert "DhpeNoProgress" in health


@pytest.mark.prometheus
@pytest.mark.parametrize("command", [["check", "config", "prometheus.yml"], ["test", "rules", "rules_test.yml"]])
def test_promtool_agrees_with_configuration_and_rules(command: list[str]) -> None:
    """Each rule fires when it should and not before: rules_test.yml."""
    program = shutil.which("promtool")
    assert program, "install prometheus (make setup does, on Debian as root)"
    done = subprocess.run(
        [program, *command], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr


def test_every_rule_is_tested() -> None:
    """A rule that no test makes fire is a wish."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "rules.yml").read_text())
    tested = (DEPLOY / "prometheus" / "rules_test.yml").read_text()
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert [name for name in names if name not in tested] == []


def test_every_metric_of_ours_is_looked_at_and_every_name_looked_at_exists() -> None:
    """Dashboard, rules and code agree on the names."""
    service = Service()
    busy(service, 1)
    families = text_string_to_metric_families(service.metrics.render().decode())
    exported = {family.name for family in families if not family.name.endswith("_created")}
    text = " ".join(expression for _, expression in expressions())
    unseen = {name for name in exported if name not in text} - SERVES_THE_PROCESS
    assert unseen == set()
    for title, expression in expressions():
        promql_parser.parse(expression)
        assert any(name in expression for name in exported), title


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=[path.stem for path in DASHBOARDS])
def test_panels_have_a_unit_a_sentence_the_provisioned_source_and_room(dashboard: Path) -> None:
    """What Grafana would show without a word of complaint and without help."""
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    identities, taken = set(), set()
    for panel in json.loads(dashboard.read_text())["panels"]:
        identities.add(panel["id"])
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == source["uid"]
        assert all(target["datasource"]["uid"] == source["uid"] for target in panel["targets"])
    assert len(identities) == len(json.loads(dashboard.read_text())["panels"])
