#!/bin/sh
# Compiles every kernel into the package's folder.
set -eu
dhpe kernels
kernels=$(python -c 'import dhpe, pathlib; print(pathlib.Path(dhpe.__file__).parent / "numerics" / "__kernels__")')
find "$kernels" -name '*.nbc' | grep -q . || { echo "no kernel was compiled below $kernels" >&2; exit 1; }
chmod -R a+rX "$kernels"
