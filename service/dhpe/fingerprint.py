"""What must be the same for two runs to agree bit for bit."""

import platform
from importlib.metadata import version

from dhpe import __version__
from dhpe.numerics.jit import CPU_NAME, SOURCES_DIGEST
from dhpe.parameters import Parameters


def engine_version(parameters: Parameters) -> str:
    """Package, compiler, libraries, CPU target and parameters in one line."""
    libc = "-".join(platform.libc_ver())
    parts = [f"dhpe-{__version__}", f"kernels-{SOURCES_DIGEST[:12]}"]
    parts += [f"{package}-{version(package)}" for package in ("numba", "llvmlite", "numpy")]
    return "/".join([*parts, libc, CPU_NAME, f"parameters-{parameters.digest()}"])
