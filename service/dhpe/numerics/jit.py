"""The one compiler setting of all kernels.

Kernels are compiled for x86-64-v3 whatever the machine, without fastmath, so that the same log gives the
same bits everywhere. The disk cache lives beside them, in a folder named after the content of every kernel source,
because numba's own cache does not notice an edit in an imported file. Where that folder cannot be written, as in an
image with a read-only root, the kernels that were compiled in are read, and a kernel that is missing is compiled for
the process alone; numba's own cache would refuse to start there.
"""

import hashlib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import caching
from numba.core import config as numba_config

F = TypeVar("F", bound=Callable[..., Any])

CPU_NAME = "x86-64-v3"


def _sources_digest() -> str:
    digest = hashlib.sha256()
    for package in ("numba", "llvmlite", "numpy", "vanilla-option-pricers"):
        digest.update(f"{package}=={version(package)};".encode())
    # The kernels' constants come from columns.py, and are frozen into the compiled code.
    for source in (*sorted(Path(__file__).parent.glob("*.py")), Path(__file__).parent.parent / "columns.py"):
        digest.update(source.read_bytes())
    return digest.hexdigest()


SOURCES_DIGEST = _sources_digest()


numba_config.CPU_NAME = CPU_NAME
numba_config.CPU_FEATURES = ""
if not numba_config.CACHE_DIR:
    numba_config.CACHE_DIR = str(Path(__file__).parent / "__kernels__" / SOURCES_DIGEST[:16])


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


class _CompiledInLocator(caching.UserProvidedCacheLocator):  # type: ignore[misc]
    def ensure_cache_path(self) -> None:
        """Accept a folder that cannot be written."""


class _CompiledInFiles(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_CompiledInLocator,)


class _CompiledIn(caching.FunctionCache):  # type: ignore[misc]
    _impl_class = _CompiledInFiles

    def save_overload(self, sig: object, data: object) -> None:
        """Keep a kernel that was not compiled in for this process alone."""


@contextmanager
def compiled_when_called() -> Iterator[None]:
    """Import in here a library that names the types of its functions, and so has them compiled at the import.

    Few of them are ever called, and our kernels hold theirs compiled; it took a sixth of every start.
    """
    at_once = numba.njit, numba.vectorize

    def without_types(compiler: Callable[..., Any], *given: object, **options: object) -> object:
        return compiler(*(one for one in given if inspect.isfunction(one)), **options)

    numba.njit, numba.vectorize = (partial(without_types, compiler) for compiler in at_once)
    try:
        yield
    finally:
        numba.njit, numba.vectorize = at_once


@contextmanager
def compiler_on() -> Iterator[bool]:
    """Compile what is imported and first called in here, even with ``NUMBA_DISABLE_JIT=1``; yields whether it is set.

    A library that compiles while it is imported cannot do without; our own kernels can.
    """
    disabled = numba_config.DISABLE_JIT
    numba_config.DISABLE_JIT = 0
    try:
        yield bool(disabled)
    finally:
        numba_config.DISABLE_JIT = disabled


CACHE_WRITABLE = _writable(Path(numba_config.CACHE_DIR))


def _compiled(function: F, *, counts_references: bool) -> F:
    compile_it = numba.njit(
        cache=CACHE_WRITABLE, nogil=True, fastmath=False, error_model="numpy", _nrt=counts_references
    )
    compiled: F = compile_it(function)
    if not CACHE_WRITABLE and not numba_config.DISABLE_JIT:
        compiled._cache = _CompiledIn(function)  # type: ignore[attr-defined]  # noqa: SLF001 - as enable_caching does
    return compiled


def kernel(function: F) -> F:
    """Compile ``function`` in nopython mode, without the GIL and without fastmath, cached on disk."""
    return _compiled(function, counts_references=True)


def borrowing_kernel(function: F) -> F:
    """Compile a kernel that counts no references to its arrays: it borrows them and cannot allocate.

    numba counts with atomic instructions at every array taken out of a tuple, which costs more than a spot tick.
    """
    return _compiled(function, counts_references=False)
