"""What the image holds is written down in a form that tools read, and an audit that could not ask is not clean."""

import json
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jsonschema
import referencing
from deploy.supply.audit import CLEAN, UNKNOWN, VULNERABLE, Audit, read, verdict

ANSWERED = '{"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "version": "2", "vulns": []}]}'
SKIPPED = '{"dependencies": [{"name": "a", "skip_reason": "not found"}, {"name": "b", "version": "2", "vulns": []}]}'
FOUND = (
    '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "GHSA-x", "fix_versions": ["2"]}]},'
    ' {"name": "b", "skip_reason": "not found"}]}'
)


def test_the_bill_of_materials_names_every_locked_package_and_every_web_file_of_others(
    project: Path, tmp_path: Path
) -> None:
    """Valid by the standard's own schema."""
    file = tmp_path / "sbom.cdx.json"
    subprocess.run([sys.executable, project / "deploy" / "supply" / "sbom.py", file], check=True, capture_output=True)
    bill = json.loads(file.read_text(encoding="utf-8"))
    folder = resources.files("cyclonedx.schema") / "_res"
    schemas = {
        name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text())
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    registry = referencing.Registry().with_resources(
        (f"http://cyclonedx.org/schema/{name}.SNAPSHOT.schema.json", referencing.Resource.from_contents(schema))
        for name, schema in schemas.items()
    )
    jsonschema.Draft7Validator(schemas["bom-1.6"], registry=registry).validate(bill)
    locked = dict(
        re.findall(r"^([\w.-]+)==(\S+)", (project / "requirements" / "run.txt").read_text(), flags=re.MULTILINE)
    )
    held = {component["name"]: component["version"] for component in bill["components"]}
    vendored = {path.name for path in (project / "service" / "dhpe" / "edge" / "web" / "vendor").iterdir()}
    assert {name: held.get(name) for name in locked} == locked
    assert len(held) == len(locked) + len(vendored - {"README.md"})
    assert held["uPlot"]
    assert bill["metadata"]["component"]["version"]
    assert len(bill["dependencies"][0]["dependsOn"]) > 15


def test_an_audit_that_could_not_compare_everything_is_not_clean() -> None:
    """pip-audit itself ends with 0 where the index knows none of the packages."""
    assert verdict("run.txt", {"pypi": read(ANSWERED, "")}) == (
        CLEAN,
        ["run.txt: 2 packages, no advisory known to pypi"],
    )
    code, said = verdict("run.txt", {"pypi": read(SKIPPED, ""), "osv": read("", "Traceback\nno route to host")})
    assert code == UNKNOWN
    assert "NOT AUDITED" in said[0]
    assert said[1:] == ["  pypi: 1 of 2 packages could not be compared", "  osv: no route to host"]
    assert verdict("run.txt", {"pypi": read('{"dependencies": []}', "")})[0] == UNKNOWN
    assert verdict("run.txt", {"pypi": Audit(fault="x"), "osv": Audit(2)})[0] == CLEAN


def test_an_advisory_is_told_even_if_others_could_not_be_compared() -> None:
    """With the version that mends it."""
    assert verdict("run.txt", {"pypi": read(FOUND, "")}) == (VULNERABLE, ["run.txt: a 1: GHSA-x, fixed in 2"])
