"""Write docs/settings.md from the settings themselves, or with --check say whether it still agrees with them."""

import sys
from dataclasses import fields
from pathlib import Path

from deploy.documents.page import keep

from dhpe.parameters import Parameters
from dhpe.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
HEAD = """\
# Settings

Written by `make documents` from `service/dhpe/settings.py`.

Each has one name: `http_port` in a TOML file (`--config FILE.toml`, or `DHPE_CONFIG=FILE.toml`), `DHPE_HTTP_PORT` in
the environment. The command line beats the environment, the environment beats the file, the file beats the default. A
wrong one ends the start with one line that says what, where and how to mend it. `dhpe doctor` shows the values
in force.
"""
MODEL_HEAD = """\

## What changes results

The digest of these stands in every output, in `engine_version`.

| setting | default | what |
|---|---|---|
"""
SERVICE_HEAD = """\

## What does not

| setting | default | what |
|---|---|---|
"""


def document() -> str:
    """The whole page."""
    model = {field.name for field in fields(Parameters)}
    rows: dict[bool, list[str]] = {True: [], False: []}
    for name, field in Settings.model_fields.items():
        default = "" if field.default is None else f"`{field.default}`" if str(field.default) else "(empty)"
        rows[name in model].append(f"| `{name}` | {default} | {field.description} |\n")
    return HEAD + MODEL_HEAD + "".join(rows[True]) + SERVICE_HEAD + "".join(rows[False])


def main() -> int:
    """Write the page; with --check only compare it, 1 where it differs."""
    return keep(DOCUMENT, document())


if __name__ == "__main__":
    sys.exit(main())
