"""``dhpe doctor``: what it finds in good and bad surroundings, and that each fault comes with a remedy."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dhpe import doctor
from dhpe.doctor import Finding, examine, main
from dhpe.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of one's own to work in, and no broker that the machine may have named."""
    monkeypatch.delenv("DHPE_KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody listens on and answers nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def findings(settings: Settings) -> dict[str, Finding]:
    """What the doctor finds, by check."""
    return {finding.check: finding for finding in examine(settings).findings}


def test_a_good_machine_has_no_fault() -> None:
    """Here, where the kernels run, nothing is at fault."""
    found = findings(Settings(http_port=0))
    assert set(found) == {"python", "cpu", "kernels", "clock", "time zones", "embedded log", "schemas", "http"}
    assert {name: one.detail for name, one in found.items() if one.status == "fault"} == {}


def test_everything_that_is_not_ok_says_how_to_mend_it(taken_port: int, tmp_path: Path) -> None:
    """A finding without a remedy is only a complaint."""
    (tmp_path / "file").touch()
    settings = Settings(http_port=taken_port, embedded_log_path=tmp_path / "file" / "log.sqlite")
    bad = [finding for finding in examine(settings).findings if finding.status != "ok"]
    assert {"embedded log", "http"} <= {finding.check for finding in bad}
    assert all(finding.remedy for finding in bad)


def test_a_taken_port_is_named_with_its_settings(taken_port: int) -> None:
    """The page cannot come up on a port that somebody else has."""
    found = findings(Settings(http_port=taken_port))["http"]
    assert found.status == "warning"
    assert f"127.0.0.1:{taken_port}" in found.detail
    assert "DHPE_HTTP_PORT" in found.remedy


def test_a_broker_that_does_not_answer_is_a_fault_that_names_its_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1, one line, and nothing else on standard error."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        servers = f"127.0.0.1:{closed.getsockname()[1]}"
    settings = Settings(http_port=0, kafka_bootstrap_servers=servers, kafka_connect_timeout_s=0.2)
    assert main(settings, as_json=True) == 1
    captured = capsys.readouterr()
    (fault,) = [one for one in json.loads(captured.out)["findings"] if one["status"] == "fault"]
    assert fault["check"] == "kafka"
    assert servers in fault["detail"]
    assert "DHPE_KAFKA_BOOTSTRAP_SERVERS" in fault["detail"] + fault["remedy"]
    assert captured.err == ""


def test_an_old_cpu_is_a_fault_that_names_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits are promised for x86-64-v3 only."""
    features = dict.fromkeys(doctor.CPU_FEATURES, True) | {"avx2": False, "fma": False}
    monkeypatch.setattr(doctor.llvm, "get_host_cpu_features", lambda: features)
    found = findings(Settings(http_port=0))["cpu"]
    assert (found.status, found.detail.endswith("lacks avx2 fma")) == ("fault", True)


def test_the_listing_names_every_setting_with_value_and_origin(capsys: pytest.CaptureFixture[str]) -> None:
    """What stands nowhere has its default; secrets are masked."""
    assert main(Settings(http_port=0, http_api_key="very-secret")) == 0  # type: ignore[arg-type]
    printed = capsys.readouterr().out
    rows = {words[0]: words[1:] for words in (line.split() for line in printed.splitlines()) if words}
    assert rows["dealer_share"] == ["1.0", "default"]
    assert rows["http_api_key"] == ["**********", "code"]
    assert set(Settings.model_fields) <= set(rows)
    assert "very-secret" not in printed
