#!/usr/bin/env bash
# More than CI runs, half an hour and up: all tests, every default plan with every compiler found,
# ten minutes of fuzzing. Options are those of test.sh.
source "$(dirname "$0")/lib.sh"

IQT_ALL=1 scripts/test.sh "$@"
python=$([ -x .venv/bin/python3 ] && echo .venv/bin/python3 || echo python3)
"$python" tests/test_emit_compile.py build/iqtile --all
for target in build-fuzz/tests/fuzz_*[a-z]; do
    [ ! -f "$target" ] || [ ! -x "$target" ] || tests/fuzz.sh "$target" 600
done
