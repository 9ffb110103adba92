"""The whole engine as plain Python: every kernel that a small market needs says what its compiled form says."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dhpe.columns import Reject, empty_batch
from dhpe.edge import formats
from dhpe.engine import Engine
from dhpe.parameters import Parameters

PROJECT = Path(__file__).resolve().parents[2]
SAMPLE = PROJECT / "tests" / "samples" / "market.jsonl"
RELATIVE = 1e-6
"""Compiled and plain arithmetic differ in last digits, which cancellations make larger."""


def said() -> list[Any]:
    """Everything that an engine says to a minute of quotes, trades, depth and indices."""
    engine = Engine(Parameters(landscape_interval_s=20.0))
    outputs: list[Any] = []
    for batch in formats.read(formats.plan([SAMPLE])):
        if not isinstance(batch, Reject):
            outputs += engine.step(empty_batch(), batch).outputs
    # A plain kernel gives numpy's scalars where a compiled one gives Python's.
    answer: list[Any] = msgspec.to_builtins(outputs, enc_hook=lambda scalar: scalar.item())
    return answer


def differences(plain: Any, compiled: Any, name: str = "") -> Iterator[str]:
    """Where two answers differ by more than digits."""
    if isinstance(plain, dict):
        for key in plain.keys() | compiled.keys():
            yield from differences(plain.get(key), compiled.get(key), f"{name}.{key}")
    elif isinstance(plain, list):
        assert len(plain) == len(compiled), name
        for place, (one, other) in enumerate(zip(plain, compiled, strict=True)):
            yield from differences(one, other, f"{name}[{place}]")
    elif isinstance(plain, float) and isinstance(compiled, float):
        if not math.isclose(plain, compiled, rel_tol=RELATIVE, abs_tol=1e-12):
            yield f"{name}: {plain} and {compiled}"
    elif plain != compiled:
        yield f"{name}: {plain} and {compiled}"


@pytest.mark.timeout(300)
def test_the_engine_says_the_same_without_the_compiler() -> None:
    """``NUMBA_DISABLE_JIT=1`` in a process of its own: books, panel, surface, sides, liquidity, regime, landscape."""
    run = subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(PROJECT / "service")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    plain, compiled = json.loads(run.stdout), json.loads(json.dumps(said()))
    assert len(plain) > 100
    found = [line for line in differences(plain, compiled) if "panel_error" not in line]
    assert found == []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(said()))
