"""What the page of guarantees says is held by tests, is."""

import re
from pathlib import Path


def test_every_test_that_the_guarantees_name_exists(project: Path) -> None:
    """A promise whose test was renamed or removed is nobody's."""
    promised = set(re.findall(r"`(test_\w+)`", (project / "docs" / "guarantees.md").read_text(encoding="utf-8")))
    sources = "".join(path.read_text(encoding="utf-8") for path in (project / "tests").rglob("test_*.py"))
    assert promised
    assert {name for name in promised if f"def {name}(" not in sources} == set()
