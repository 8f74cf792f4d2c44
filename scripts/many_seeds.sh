#!/usr/bin/env bash
# Runs the unit tests of a build with many seeds, where test.sh draws one: finds the bound that one seed
# in a hundred misses. Names each failure with the command that repeats it.
#
#   many_seeds.sh [--build DIR] [--seconds N] [TEST...]     N (60) seconds for each test, all of them
source "$(dirname "$0")/lib.sh"

build=build seconds=60
while [ $# -gt 0 ]; do
    case "$1" in
        --build) build=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        -*) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
        *) break ;;
    esac
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ $# -gt 0 ] || set -- $(cd "$build/tests" && ls | grep -E '^test_[a-z0-9_]*$')

# The fastest test gives up at so many seeds. A skip (77) is no failure.
many=1000 bad=0
for name in "$@"; do
    seeds=0 failed=0 end=$((SECONDS + seconds))
    while [ $seeds -lt $many ] && { [ $SECONDS -lt $end ] || [ $seeds = 0 ]; }; do
        seeds=$((seeds + 1)) status=0
        "$build/tests/$name" --seed $((RANDOM * 32768 + RANDOM)) >"$log" 2>&1 || status=$?
        case $status in
            0 | 77) ;;
            *) failed=$((failed + 1)); grep 'FAIL' "$log" || tail -n 3 "$log" ;;
        esac
    done
    echo "$name: $failed of $seeds seeds failed"
    [ $failed = 0 ] || bad=$((bad + 1))
done
[ $bad = 0 ] || die "$bad of $# tests failed with some seed"
