#!/bin/sh
# Compiles every kernel into the package's folder: a few seconds of the simulated market run through all of them.
set -eu
log=$(mktemp -u)
DHPE_EMBEDDED_LOG_PATH="$log" DHPE_HTTP_PORT=0 dhpe demo --duration 8 --speed 100
rm -f "$log" "$log"-*
kernels=$(python -c 'import dhpe, pathlib; print(pathlib.Path(dhpe.__file__).parent / "numerics" / "__kernels__")')
find "$kernels" -name '*.nbc' | grep -q . || { echo "no kernel was compiled below $kernels" >&2; exit 1; }
chmod -R a+rX "$kernels"
