"""The image and the composition: what they name exists, and the image is built and started for real."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dhpe.settings import Settings, variable

PROJECT = Path(__file__).resolve().parent.parent
VARIABLES = {variable(name) for name in Settings.model_fields}


@pytest.fixture(scope="module")
def dockerfile() -> str:
    """The text of the Dockerfile."""
    return (PROJECT / "Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def composition() -> dict[str, Any]:
    """The services of docker-compose.yml."""
    services: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return services


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_feels(dockerfile: str) -> None:
    """A numeric user, so that Kubernetes can check it is not root; a health check; signals reach dhpe itself."""
    last_stage = dockerfile.rpartition("\nFROM ")[2]
    assert re.search(r"^USER 10001:10001$", last_stage, flags=re.MULTILINE)
    assert "HEALTHCHECK" in last_stage
    assert '\nENTRYPOINT ["dhpe"]\n' in last_stage


def test_every_setting_that_the_image_makes_is_a_setting(dockerfile: str) -> None:
    """A misspelt variable would end the start."""
    made = set(re.findall(r"\bDHPE_[A-Z_]+(?==)", dockerfile))
    assert made
    assert made <= VARIABLES


def test_every_file_that_the_image_copies_is_let_through(dockerfile: str) -> None:
    """What .dockerignore keeps out would fail only on somebody else's machine."""
    ignore = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line.removeprefix("!").rstrip("/") for line in ignore if line.startswith("!")}
    for line in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.*)$", dockerfile, flags=re.MULTILINE):
        for source in line.split()[:-1]:
            assert (PROJECT / source).exists(), source
            assert any(source == one or source.startswith(f"{one}/") for one in allowed), source


def test_every_setting_of_the_composition_is_a_setting(composition: dict[str, Any]) -> None:
    """As for the image."""
    made = {
        name for service in composition.values() for name in service.get("environment", {}) if name.startswith("DHPE_")
    }
    assert "DHPE_KAFKA_BOOTSTRAP_SERVERS" in made
    assert made <= VARIABLES


def test_ours_in_the_composition_can_write_nowhere_and_gain_nothing(composition: dict[str, Any]) -> None:
    """Read-only, without any capability, and without a way to new privileges; the user is the image's."""
    ours = [service for service in composition.values() if "build" in service]
    assert len(ours) >= 3
    for service in ours:
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not {"privileged", "cap_add", "user", "devices", "pid", "network_mode"} & set(service)


def test_the_composition_mounts_what_is_there(composition: dict[str, Any]) -> None:
    """A missing folder would be made by Docker, empty and owned by root."""
    mounts = [mount.split(":")[0] for service in composition.values() for mount in service.get("volumes", [])]
    paths = [mount for mount in mounts if mount.startswith("./")]
    assert paths
    assert [path for path in paths if not (PROJECT / path).exists()] == []


def test_the_composition_listens_to_this_machine_only(composition: dict[str, Any]) -> None:
    """Nothing of it has a password."""
    ports = [port for service in composition.values() for port in service.get("ports", [])]
    assert len(ports) >= 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.container
@pytest.mark.timeout(900)
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("buildah") is None,
    reason="an image without a container service needs root and buildah (`make setup` installs it on Debian as root)",
)
def test_the_image_builds_and_its_entry_point_answers_healthz() -> None:
    """Every line of the Dockerfile runs; then the image's own entry point, user and health check, root read-only."""
    done = subprocess.run(
        ["bash", PROJECT / "deploy" / "image" / "prove.sh"], capture_output=True, text=True, check=False, timeout=870
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "/healthz answered" in done.stdout
    assert "SIGTERM ended it cleanly" in done.stdout
