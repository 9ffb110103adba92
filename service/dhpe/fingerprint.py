"""What must be the same for two runs to agree bit for bit."""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

from dhpe import __version__
from dhpe.numerics.jit import CPU_NAME, SOURCES_DIGEST
from dhpe.parameters import Parameters


@cache
def _sources_digest() -> str:
    """Of all our sources: one version has many states of them while it is being written."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for source in sorted(package.rglob("*.py")):
        digest.update(f"{source.relative_to(package)};".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


def engine_version(parameters: Parameters) -> str:
    """Package, compiler, libraries, CPU target and parameters in one line."""
    libc = "-".join(platform.libc_ver())
    parts = [f"dhpe-{__version__}", f"sources-{_sources_digest()[:12]}", f"kernels-{SOURCES_DIGEST[:12]}"]
    parts += [f"{package}-{version(package)}" for package in ("numba", "llvmlite", "numpy")]
    return "/".join([*parts, libc, CPU_NAME, f"parameters-{parameters.digest()}"])
