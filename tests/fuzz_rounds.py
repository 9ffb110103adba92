"""How long and from which seed on to fuzz: ``FUZZ_SECONDS`` and ``FUZZ_SEED``."""

import os
import random
import time
from collections.abc import Iterator
from typing import Final

SECONDS: Final = float(os.environ.get("FUZZ_SECONDS", "4"))
SEED: Final = int(os.environ.get("FUZZ_SEED", "20240805"))


def rounds() -> Iterator[tuple[int, random.Random]]:
    """Seeds until the time is up; at least one round."""
    until_s = time.monotonic() + SECONDS
    seed = SEED
    while True:
        yield seed, random.Random(seed)
        seed += 1
        if time.monotonic() >= until_s:
            return
