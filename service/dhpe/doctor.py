"""``dhpe doctor``: every setting with its origin, and whether the surroundings can carry the service.

A check finds one fact about the machine, the broker or the files, and where it is bad, says how to mend it.
"""

import asyncio
import logging
import platform
import socket
import sqlite3
import sys
import time
import zoneinfo
from collections.abc import Callable, Iterator
from ctypes import CDLL, create_string_buffer
from pathlib import Path
from typing import Final, Literal

import msgspec
from llvmlite import binding as llvm
from rich.console import Console

from dhpe import __version__
from dhpe.edge import schemas
from dhpe.edge.kafka_clients import require_compiled_records
from dhpe.edge.log import LogError
from dhpe.edge.topics import check_topics, topics_for
from dhpe.settings import SettingFact, Settings, variable

CPU_FEATURES: Final = ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave")
"""What x86-64-v3 asks for (System V ABI for x86-64, microarchitecture levels)."""
SQLITE_MIN: Final = (3, 35, 0)
PYTHON_MIN: Final = (3, 11)
CLOCK_UNSYNCHRONISED: Final = 5
"""TIME_ERROR of adjtimex(2)."""
_TIMEX_BYTES: Final = 512


class Finding(msgspec.Struct, frozen=True):
    """What one check found. ``remedy`` is empty where nothing is to be done."""

    check: str
    status: Literal["ok", "warning", "fault"]
    detail: str
    remedy: str = ""


class Report(msgspec.Struct, frozen=True):
    """All that ``dhpe doctor --json`` says."""

    version: str
    settings: list[SettingFact]
    findings: list[Finding]


def main(settings: Settings, as_json: bool = False) -> int:
    """Print settings and findings to standard output; 1 where something is at fault, else 0."""
    report = examine(settings)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n")
    else:
        _show(report, Console(highlight=False))
    return int(any(finding.status == "fault" for finding in report.findings))


def examine(settings: Settings) -> Report:
    """Run all checks. None of them changes anything outside."""
    findings = [finding for check in _CHECKS for finding in check(settings)]
    return Report(__version__, settings.facts(), findings)


def _python(_: Settings) -> Iterator[Finding]:
    detail = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    if sys.version_info < PYTHON_MIN:
        yield Finding("python", "fault", detail, "run dhpe with Python 3.11 or newer")
    else:
        yield Finding("python", "ok", detail)


def _cpu(_: Settings) -> Iterator[Finding]:
    features = llvm.get_host_cpu_features() if platform.machine() == "x86_64" else {}
    missing = [name for name in CPU_FEATURES if not features.get(name)]
    detail = f"{platform.machine()}, {llvm.get_host_cpu_name()}"
    if missing:
        detail += f", lacks {' '.join(missing)}"
        yield Finding("cpu", "fault", detail, "the kernels need an x86-64-v3 CPU (Intel Haswell, AMD Zen or newer)")
    else:
        yield Finding("cpu", "ok", f"{detail}, x86-64-v3")


def _kernels(_: Settings) -> Iterator[Finding]:
    from numba.core import config  # noqa: PLC0415 - a second of start-up that only this check needs

    from dhpe.numerics import jit  # noqa: PLC0415 - as above; it sets the folder

    folder = Path(str(vars(config)["CACHE_DIR"]))
    compiled = len(list(folder.rglob("*.nbc")))
    detail = f"{compiled} compiled kernels of sources {jit.SOURCES_DIGEST[:16]} in {folder}"
    if compiled:
        yield Finding("kernels", "ok", detail)
    elif _writable(folder):
        yield Finding("kernels", "ok", f"{detail}; the first start compiles them")
    else:
        remedy = "every start compiles anew: set NUMBA_CACHE_DIR to a folder that can be written"
        yield Finding("kernels", "warning", f"{detail}, which cannot be written", remedy)


def _clock(_: Settings) -> Iterator[Finding]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if sys.platform == "linux" and CDLL(None).adjtimex(create_string_buffer(_TIMEX_BYTES)) == CLOCK_UNSYNCHRONISED:
        remedy = "ages are off by the clock's error: run chrony or systemd-timesyncd (a container has its host's clock)"
        yield Finding("clock", "warning", f"{now}, not synchronised", remedy)
    else:
        yield Finding("clock", "ok", now)


def _time_zones(_: Settings) -> Iterator[Finding]:
    try:
        zoneinfo.ZoneInfo("America/New_York")
    except zoneinfo.ZoneInfoNotFoundError:
        yield Finding("time zones", "fault", "no zone America/New_York", "install the package tzdata")
    else:
        yield Finding("time zones", "ok", "America/New_York is known")


def _sqlite(settings: Settings) -> Iterator[Finding]:
    if settings.kafka_bootstrap_servers is not None:
        return
    detail = f"SQLite {sqlite3.sqlite_version}, embedded log {settings.embedded_log_path.absolute()}"
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        yield Finding("embedded log", "fault", detail, "use a Python that is built with SQLite 3.35 or newer")
    elif not _writable(settings.embedded_log_path):
        remedy = f"name a file in a writable folder with {variable('embedded_log_path')}"
        yield Finding("embedded log", "fault", f"{detail} cannot be written", remedy)
    else:
        yield Finding("embedded log", "ok", detail)


def _kafka(settings: Settings) -> Iterator[Finding]:
    if settings.kafka_bootstrap_servers is None:
        return
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would say stands in the finding
    try:
        require_compiled_records()
        faults = asyncio.run(check_topics(settings))
    except (LogError, OSError) as error:
        yield _split("kafka", str(error))
        return
    if not faults:
        count = len(topics_for(settings))
        yield Finding("kafka", "ok", f"{settings.kafka_bootstrap_servers}: {count} topics as they must be")
    yield from (_split("kafka", fault) for fault in faults)


def _split(check: str, fault: str) -> Finding:
    """Make a finding of a sentence of the edge, which says the remedy after the semicolon if it needs one more."""
    detail, _, remedy = fault.partition("; ")
    return Finding(check, "fault", detail, remedy)


def _schemas(_: Settings) -> Iterator[Finding]:
    folder = Path("schemas")
    if not folder.is_dir():
        yield Finding("schemas", "ok", f"{len(schemas.documents())} documents; `dhpe schemas` writes them")
        return
    problems = schemas.check(folder)
    if not problems:
        yield Finding("schemas", "ok", f"{len(schemas.documents())} documents, as they stand in {folder.absolute()}")
    for problem in problems:
        yield Finding("schemas", "warning", problem, "write them anew with `dhpe schemas`")


def _http(settings: Settings) -> Iterator[Finding]:
    address = f"{settings.http_host}:{settings.http_port}"
    family = socket.AF_INET6 if ":" in settings.http_host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.http_host, settings.http_port))
        except OSError as error:
            remedy = f"stop what uses it, or change {variable('http_host')} or {variable('http_port')}"
            yield Finding("http", "warning", f"{address}: {error.strerror or error}", remedy)
        else:
            yield Finding("http", "ok", f"{address} is free")


_CHECKS: Final[tuple[Callable[[Settings], Iterator[Finding]], ...]] = (
    _python,
    _cpu,
    _kernels,
    _clock,
    _time_zones,
    _sqlite,
    _kafka,
    _schemas,
    _http,
)


def _writable(path: Path) -> bool:
    """Say whether a file could be made at or below ``path``, without making one."""
    import os  # noqa: PLC0415 - only the permission bits; settings.py alone reads the environment

    if path.is_file():
        return os.access(path, os.W_OK)
    nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


_COLOURS: Final = {"ok": "green", "warning": "yellow", "fault": "red"}


def _show(report: Report, console: Console) -> None:
    console.print(f"dhpe {report.version}", style="bold")
    for fact in report.settings:
        line = f"  {fact.name:32} {fact.value or '-':24} {fact.origin}"
        console.print(line, style="dim" if fact.origin == "default" else "bold", markup=False, soft_wrap=True)
    for finding in report.findings:
        console.print(f"{finding.status:8}", style=_COLOURS[finding.status], end="")
        console.print(f"{finding.check}: {finding.detail}", markup=False, soft_wrap=True)
        if finding.remedy:
            console.print(f"        -> {finding.remedy}", markup=False, soft_wrap=True)
