#!/usr/bin/env bash
# Compiles kernels for every GPU that there is a compiler for and looks for spills; no GPU is needed.
# Options are those of build/tests/gates: --all for everything; interrupted, it goes on where it was.
source "$(dirname "$0")/lib.sh"

use_venv
[ -f build/CMakeCache.txt ] || scripts/build.sh
cmake --build --preset release --target gates >&2
exec build/tests/gates "$@"
