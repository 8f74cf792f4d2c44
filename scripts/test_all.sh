#!/usr/bin/env bash
# More than CI runs, an hour and up: all tests, every default plan for every target, ten minutes of
# fuzzing. Options are those of test.sh.
source "$(dirname "$0")/lib.sh"

IQT_ALL=1 scripts/test.sh "$@"
scripts/gates.sh --all
for target in build-fuzz/tests/fuzz_*[a-z]; do
    [ ! -f "$target" ] || [ ! -x "$target" ] || tests/fuzz.sh "$target" 600
done
