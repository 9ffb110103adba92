"""Compare the locked packages with the published advisories (pip-audit), and say plainly what could not be compared.

Exit 0: all were compared and nothing is known; 1: an advisory names one of them; 2: some or all could not be compared,
which is no clean result.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

PROJECT: Final = Path(__file__).resolve().parents[2]
FILES: Final = ("run.txt", "dev.txt", "build.txt")
SERVICES: Final = ("pypi", "osv")
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2


class Audit(NamedTuple):
    """What one service said of one requirement file; ``fault`` where it said nothing."""

    compared: int = 0
    skipped: int = 0
    advisories: tuple[str, ...] = ()
    fault: str = ""


def read(report: str, complaint: str) -> Audit:
    """Understand the answer of pip-audit: its JSON, or its last line where there is none."""
    try:
        packages = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        lines = complaint.strip().splitlines()
        return Audit(fault=lines[-1][:300] if lines else "no answer")
    skipped = [one for one in packages if "skip_reason" in one]
    advisories = [
        f"{one['name']} {one['version']}: {advisory['id']}, fixed in {', '.join(advisory['fix_versions']) or 'none'}"
        for one in packages
        for advisory in one.get("vulns", ())
    ]
    return Audit(len(packages) - len(skipped), len(skipped), tuple(dict.fromkeys(advisories)))


def ask(file: str, service: str) -> Audit:
    """Let pip-audit look the packages of ``file`` up; nothing is installed or resolved."""
    command = [Path(sys.executable).parent / "pip-audit", "--requirement", PROJECT / "requirements" / file]
    options = ["--require-hashes", "--disable-pip", "--progress-spinner=off", "--timeout=10", "--format=json"]
    done = subprocess.run(
        [*command, *options, f"--vulnerability-service={service}"], capture_output=True, text=True, check=False
    )
    return read(done.stdout, done.stderr)


def verdict(file: str, audits: dict[str, Audit]) -> tuple[int, list[str]]:
    """The exit code and what to print: the first service that compared everything decides."""
    advisories = [advisory for audit in audits.values() for advisory in audit.advisories]
    if advisories:
        return VULNERABLE, [f"{file}: {advisory}" for advisory in dict.fromkeys(advisories)]
    for service, audit in audits.items():
        if not audit.fault and not audit.skipped and audit.compared:
            return CLEAN, [f"{file}: {audit.compared} packages, no advisory known to {service}"]
    said = [f"{file}: NOT AUDITED, no clean result:"]
    for service, audit in audits.items():
        reason = audit.fault or f"{audit.skipped} of {audit.compared + audit.skipped} packages could not be compared"
        said.append(f"  {service}: {reason}")
    return UNKNOWN, said


def main() -> int:
    """All files; the worst of them is the exit code, advisories before ignorance."""
    codes = []
    for file in FILES:
        audits = {}
        for service in SERVICES:
            audits[service] = ask(file, service)
            if verdict(file, audits)[0] != UNKNOWN:
                break
        code, lines = verdict(file, audits)
        codes.append(code)
        print("\n".join(lines))
    return VULNERABLE if VULNERABLE in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
