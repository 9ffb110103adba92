"""The one compiler setting of all kernels.

Kernels are compiled for x86-64-v3 whatever the machine, without fastmath, so that the same log gives the
same bits everywhere. The disk cache lives in a folder named after the content of every kernel source,
because numba's own cache does not notice an edit in an imported file.
"""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as numba_config

F = TypeVar("F", bound=Callable[..., Any])

CPU_NAME = "x86-64-v3"


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for package in ("numba", "llvmlite", "numpy", "vanilla-option-pricers"):
        digest.update(f"{package}=={version(package)};".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


SOURCES_DIGEST = _sources_digest()


def _cache_folder() -> str:
    # Beside the package where that is writable (the image compiles its kernels in), else numba's own default.
    return str(Path(__file__).parent / "__kernels__" / SOURCES_DIGEST[:16])


numba_config.CPU_NAME = CPU_NAME
numba_config.CPU_FEATURES = ""
if not numba_config.CACHE_DIR:
    numba_config.CACHE_DIR = _cache_folder()


def kernel(function: F) -> F:
    """Compile ``function`` in nopython mode, without the GIL and without fastmath, cached on disk."""
    compiled: F = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)
    return compiled
