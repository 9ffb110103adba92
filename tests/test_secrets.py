"""No secret leaves by any door: every one is set to a word of its own, and all that the service says is searched."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from dhpe.settings import Settings, variable

SECRETS = {
    name: f"sentinel-of-{name.replace('_', '-')}"
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
}
"""Whatever is secret now or will be."""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Every secret set, HTTPS and a port where no Kafka answers; debug level."""
    issued = trustme.CA().issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    with socket.socket() as probe:  # bound and not listening: nobody answers, and nobody else gets it
        probe.bind(("127.0.0.1", 0))
        chosen = {
            "log_level": "debug",
            "http_port": "0",
            "http_tls_certificate_file": str(tmp_path / "certificate.pem"),
            "http_tls_key_file": str(tmp_path / "key.pem"),
            "embedded_log_path": str(tmp_path / "log.sqlite"),
            "kafka_bootstrap_servers": f"127.0.0.1:{probe.getsockname()[1]}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": "dhpe",
            "kafka_ssl_certificate_file": str(tmp_path / "certificate.pem"),
            "kafka_ssl_key_file": str(tmp_path / "key.pem"),
            "kafka_connect_timeout_s": "1",
        } | SECRETS
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DHPE_")}
        yield clean | {variable(name): value for name, value in chosen.items()}


def found_in(text: str) -> list[str]:
    """The settings whose secret stands in ``text``."""
    return [name for name, secret in SECRETS.items() if secret in text]


def dhpe(environment: dict[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    """One command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "dhpe", *command],
        env=environment,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )


def test_there_are_secrets_to_look_for() -> None:
    """Four of them at least; a search for nothing would find nothing."""
    assert {"http_api_key", "kafka_sasl_password", "kafka_ssl_key_password", "http_tls_key_password"} <= set(SECRETS)


@pytest.mark.parametrize("command", ["doctor --json", "run"])
def test_a_command_that_fails_says_no_secret(environment: dict[str, str], command: str) -> None:
    """At debug level, with a broker that does not answer."""
    done = dhpe(environment, *command.split())
    assert done.returncode == 1
    assert "Kafka" in done.stdout + done.stderr
    assert found_in(done.stdout + done.stderr) == []
    if command.startswith("doctor"):
        assert "**********" in done.stdout


def test_a_wrong_setting_says_no_secret(environment: dict[str, str]) -> None:
    """Not even where the secret itself is what is wrong, or stands in a setting that does not exist."""
    half = {name: value for name, value in environment.items() if name != "DHPE_KAFKA_SASL_USERNAME"}
    for wrong in (half, environment | {"DHPE_HTTP_PORT": "none"}, environment | {"DHPE_HTTP_API_KEYS": "strange"}):
        done = dhpe(wrong, "doctor")
        assert done.returncode == 2
        assert found_in(done.stdout + done.stderr) == []


def test_the_running_service_says_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    """Answers, errors, documents, metrics, its log at debug level, and what other users see of the process."""
    kafka = [name for name in environment if name.startswith("DHPE_KAFKA")]
    alone = {name: value for name, value in environment.items() if name not in kafka}
    alone |= {variable(name): SECRETS[name] for name in ("kafka_ssl_key_password",)}
    with subprocess.Popen(
        [sys.executable, "-m", "dhpe", "serve"],
        env=alone,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            assert process.stdout is not None
            address = next(line for line in process.stdout if "dhpe on " in line).split()[2]
            said = [Path(f"/proc/{process.pid}/cmdline").read_text()]
            right = {"X-API-Key": SECRETS["http_api_key"]}
            with httpx.Client(base_url=address, verify=False) as client:  # noqa: S501 - its own certificate
                for path in ("/", "/docs", "/openapi.json", "/metrics", "/readyz", "/v1/underlyings", "/v1/X/status"):
                    for headers in (right, {"X-API-Key": "wrong"}, {}):
                        answer = client.get(path, headers=headers)
                        said += [answer.text, str(answer.headers)]
                said.append(client.get("/v1/alerts?since=x", headers=right).text)
                assert client.get("/metrics", headers=right).status_code == 200
        finally:
            process.send_signal(signal.SIGTERM)
            killer = threading.Timer(30, process.kill)
            killer.start()
            said.append(process.stdout.read() if process.stdout is not None else "")
            killer.cancel()
    assert found_in("\n".join(said)) == []


def test_settings_hide_their_secrets_in_every_form() -> None:
    """As text, as Python, as JSON, in a log line and in a traceback's values."""
    settings = Settings(
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="dhpe",
        **SECRETS,  # type: ignore[arg-type]
    )
    record = logging.LogRecord("dhpe", logging.ERROR, "", 0, "%s", (settings,), None)
    forms = [str(settings), repr(settings), settings.model_dump_json(), record.getMessage(), str(settings.model_dump())]
    forms.append(json.dumps([fact._asdict() for fact in settings.facts()]))
    assert found_in("\n".join(forms)) == []
