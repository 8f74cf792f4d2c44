#!/usr/bin/env bash
# Runs a fuzz target for a while, from its seeds in tests/fuzz and the heads of real files; a crash
# leaves its input beside the corpus and prints how to repeat it.
# Usage: fuzz.sh PROGRAM SECONDS [libFuzzer options]
set -euo pipefail
program=$(realpath "$1")
seconds=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
corpus=$(dirname "$program")/corpus.$(basename "$program")
name=$(basename "$program")
mkdir -p "$corpus"

cp "$root/tests/fuzz/${name#fuzz_}"/* "$corpus/"
# Of real files only the first bytes: headers and tables are where lengths are.
for seed in "$root"/tests/golden/*.gguf "$root"/examples/models/*.gguf; do
    head -c 8192 "$seed" >"$corpus/$(basename "$seed").head"
done
export ASAN_OPTIONS=allocator_may_return_null=1
"$program" "$corpus" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
    -max_len=8192 -print_final_stats=1 -artifact_prefix="$corpus." "$@" >"$corpus.log" 2>&1 || {
    tail -n 60 "$corpus.log"
    echo "repeat: $program $(ls -t "$corpus".*-* | head -n 1)"
    exit 1
}
grep -E '^stat::number_of_executed_units|^Done ' "$corpus.log"
