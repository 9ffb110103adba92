"""Property tests once more with our kernels as plain Python; ``test_engine_uncompiled`` runs all of them together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROPERTIES = (
    "test_black.py",
    "test_black_forward.py",
    "test_american_properties.py",
    "test_implied_vol.py",
    "test_kinematics.py",
    "test_order_book.py",
    "test_ssvi.py",
    "test_sticky_delta.py",
    "-k",
    "not derivative",
)


@pytest.mark.timeout(300)
def test_the_properties_hold_without_the_compiler(project: Path) -> None:
    """``NUMBA_DISABLE_JIT=1`` in a process of its own: nothing leans on what only the compiler allows."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *PROPERTIES],
        cwd=project / "tests" / "numerics",
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(project / "service")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_switch_reaches_our_kernels_and_spares_the_library(project: Path) -> None:
    """Our own functions stay plain; the solver that cannot be imported without the compiler is compiled."""
    asked = (
        "import types; from dhpe.numerics import implied_vol as this; "
        "assert isinstance(this.invert, types.FunctionType); "
        "assert not isinstance(this.infer_bsm_implied_vol, types.FunctionType); "
        "print(this.invert(8.0, 100.0, 100.0, 1.0, 1.0, 1)[1])"
    )
    run = subprocess.run(
        [sys.executable, "-c", asked],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(project / "service")},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert run.stdout.strip() == "0"
