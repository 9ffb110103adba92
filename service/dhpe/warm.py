"""Kernels are compiled once for a state of their sources, in processes of their own.

Compiling takes most of a minute and twice the memory of the running service; a process that ends gives it back.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from numba.core import config as numba_config

from dhpe.columns import empty_batch
from dhpe.edge.feeds import closing_clock, latest_event_ns
from dhpe.edge.formats import delimited
from dhpe.engine import Engine
from dhpe.field import copy_of, field_of
from dhpe.field_outputs import FieldLimits
from dhpe.numerics.jit import CACHE_WRITABLE
from dhpe.parameters import Parameters
from dhpe.simulate import SimulationSettings, simulate
from dhpe.underlying import Underlying

_CHUNKS: Final = 13
_START_NS: Final = 1_700_000_000_000_000_000
_FIELD_LIMITS: Final = FieldLimits(strikes_max=10, expiries_max=2, points_max=11, grid_points_max=5, grid_instants=2)
_FITS: Final = "fits"
_JUMP_MS: Final = 13_000  # beyond the slowest event-time grid of the default settings


def warm(parameters: Parameters) -> None:
    """Let every kernel be compiled or loaded now, by a moment of the simulated market on an engine of its own."""
    engine = Engine(parameters)
    market = simulate(SimulationSettings(), start_ns=_START_NS)
    last_ns = -1
    for _ in range(_CHUNKS):
        batch = next(market)
        engine.step(empty_batch(), batch)
        last_ns = latest_event_ns(batch, last_ns)
    for jump in (1, 2):
        engine.step(empty_batch(), closing_clock(last_ns, jump * _JUMP_MS))
    for underlying in engine.underlyings.values():
        field_of(copy_of(underlying, engine.offsets, engine.engine_version), _FIELD_LIMITS)
    delimited.parse((b"1\n",), fields=1)


def _warm_fits(parameters: Parameters) -> None:
    """The kernels of a refit of the surface, which are about half of all that there is to compile."""
    underlying = Underlying("SIM", parameters)
    for fact in next(simulate(SimulationSettings(), start_ns=_START_NS)).reference:
        underlying.apply_reference(fact)
    underlying.market["spot"] = 5000.0
    underlying.refit(_START_NS)


def _marker() -> Path:
    return Path(numba_config.CACHE_DIR) / "complete"


def compiled() -> bool:
    """Whether all kernels of these sources stand compiled on disk, or could not be kept there anyway."""
    return not CACHE_WRITABLE or bool(numba_config.DISABLE_JIT) or _marker().exists()


def compile_kernels() -> None:
    """Compile all kernels, unless that has been done: in two child processes, which share what each has compiled.

    Raises:
        subprocess.CalledProcessError: a child failed; it has said why.
    """
    if compiled():
        return
    command = [sys.executable, "-m", "dhpe.warm"]
    with subprocess.Popen([*command, _FITS]) as fits:  # noqa: S603 - ourselves
        subprocess.run(command, check=True)  # noqa: S603 - as above
    if fits.returncode:
        raise subprocess.CalledProcessError(fits.returncode, fits.args)
    _marker().touch()


if __name__ == "__main__":
    if _FITS in sys.argv[1:]:
        _warm_fits(Parameters())
    else:
        warm(Parameters())
