"""How a page of docs/ is kept that is made of the service itself: written, or with --check only compared."""

import sys
from pathlib import Path


def keep(document: Path, text: str) -> int:
    """Write ``text``; with --check only compare it, 1 where the page differs."""
    if "--check" not in sys.argv[1:]:
        document.write_text(text, encoding="utf-8")
        return 0
    if document.exists() and document.read_text(encoding="utf-8") == text:
        return 0
    print(f"{document.name} no longer says what it is made of: make documents", file=sys.stderr)
    return 1
