"""Write what the image holds as a CycloneDX bill of materials: the locked packages and the web files of others.

sbom.py [FILE]      default: build/sbom.cdx.json
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PROJECT: Final = Path(__file__).resolve().parents[2]
VENDOR: Final = PROJECT / "service" / "dhpe" / "edge" / "web" / "vendor"
SPECIFICATION: Final = SchemaVersion.V1_6


def locked() -> dict[str, Any]:
    """The packages of the requirement file, as cyclonedx-py reads them."""
    command = [Path(sys.executable).parent / "cyclonedx-py", "requirements", PROJECT / "requirements" / "run.txt"]
    options = ["--pyproject", PROJECT / "pyproject.toml", "--output-reproducible", "--sv", SPECIFICATION.to_version()]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    bill: dict[str, Any] = json.loads(done.stdout)
    return bill


def vendored() -> list[dict[str, Any]]:
    """The rows of the table in the folder of the web files."""
    rows = re.findall(
        r"^\| `([\w-]+)` \| \[(.+?)\]\((.+?)\) \| (\S+) \| (\S+),", (VENDOR / "README.md").read_text(), re.MULTILINE
    )
    return [
        {
            "type": "library",
            "bom-ref": f"web-{folder}",
            "name": name,
            "version": version,
            "licenses": [{"license": {"id": licence}}],
            "externalReferences": [{"type": "vcs", "url": address}],
        }
        for folder, name, address, version, licence in rows
    ]


def bill() -> dict[str, Any]:
    """The whole document."""
    document = locked()
    root = document["metadata"]["component"]
    source = (PROJECT / "service" / "dhpe" / "__init__.py").read_text()
    root["version"] = re.search(r'__version__ = "(.+)"', source)[1]  # type: ignore[index]
    for component in document["components"]:
        component.pop("description", None)  # the line of the requirement file with all its hashes
    document["components"] += vendored()
    named = {component["name"].lower(): component["bom-ref"] for component in document["components"]}
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    direct = [re.match(r"[\w.-]+", line)[0].lower() for line in project["dependencies"]]  # type: ignore[index]
    needed = sorted([named[name] for name in direct] + [one["bom-ref"] for one in vendored()])
    others = [entry for entry in document["dependencies"] if entry["ref"] != root["bom-ref"]]
    document["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": needed}, *others]
    return document


def main() -> int:
    """Write it; 1 where it is not what the standard's schema says."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else PROJECT / "build" / "sbom.cdx.json"
    text = json.dumps(bill(), indent=2, sort_keys=True) + "\n"
    fault = JsonStrictValidator(SPECIFICATION).validate_str(text)
    if fault is not None:
        print(f"sbom: not CycloneDX {SPECIFICATION.to_version()}: {fault}", file=sys.stderr)
        return 1
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    print(f"{len(json.loads(text)['components'])} components in {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
