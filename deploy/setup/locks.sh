#!/usr/bin/env bash
# Compiles the requirement files: exact versions with hashes, for Python 3.11 and newer, without index addresses.
# With --upgrade the newest versions are taken, without it those of the present files are kept.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
compile=(.venv/bin/uv --quiet pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes
    --no-emit-index-url --no-emit-find-links --no-header "$@")
"${compile[@]}" --output-file requirements/run.txt >/dev/null
"${compile[@]}" --constraint requirements/run.txt --group dev --output-file requirements/dev.txt >/dev/null
"${compile[@]/pyproject.toml/--group=build}" --constraint requirements/dev.txt --output-file requirements/build.txt >/dev/null
