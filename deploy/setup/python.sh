#!/usr/bin/env bash
# Makes .venv hold the locked packages of a purpose (run or dev) and dhpe itself; returns at once when nothing changed.
# Packages come from wherever this machine's own pip configuration points; every file is checked against its hash.
set -euo pipefail
purpose=${1:?usage: deploy/setup/python.sh run|dev}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

digest_of() { sha256sum pyproject.toml requirements/build.txt "$@" | sha256sum | cut -c1-16; }
run_stamp=.venv/.run-$(digest_of requirements/run.txt)
dev_stamp=.venv/.dev-$(digest_of requirements/run.txt requirements/dev.txt)
if [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null; then
    if [ -e "$dev_stamp" ] || { [ "$purpose" = run ] && [ -e "$run_stamp" ]; }; then exit 0; fi
else
    rm -rf .venv
fi

if [ ! -d .venv ]; then
    python=
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$candidate; break; fi
    done
    if [ -z "$python" ]; then
        echo "setup: no Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python3 ..." >&2
        exit 1
    fi
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        bash deploy/setup/system.sh python-venv
    fi
    "$python" -m venv .venv
fi

started=$SECONDS
echo "setup: installing the locked packages ($purpose) into .venv ..."
pip=(.venv/bin/python -m pip --quiet --disable-pip-version-check --no-input install)
files=(--requirement requirements/build.txt --requirement requirements/run.txt)
if [ "$purpose" = dev ]; then files=(--requirement requirements/build.txt --requirement requirements/dev.txt); fi
"${pip[@]}" --no-deps --require-hashes "${files[@]}"
"${pip[@]}" --no-deps --no-build-isolation --editable .
# Where bytecode may not be written later, each of many processes would compile its imports anew: half of its start.
.venv/bin/python -m compileall -q -j 0 .venv/lib || echo "setup: some installed file does not compile, see above" >&2
rm -f .venv/.run-* .venv/.dev-*
if [ "$purpose" = dev ]; then touch "$dev_stamp"; else touch "$run_stamp"; fi
echo "setup: done in $((SECONDS - started)) s"
