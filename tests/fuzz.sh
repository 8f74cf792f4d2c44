#!/usr/bin/env bash
# Runs a fuzz target for a while from the golden files and small models as seeds; a crash prints
# the command that repeats it. Usage: fuzz.sh PROGRAM SECONDS [libFuzzer options]
set -euo pipefail
program=$(realpath "$1")
seconds=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
corpus=$(dirname "$program")/corpus.$(basename "$program")
mkdir -p "$corpus"

# Only the first bytes of the seeds: headers and tables are where lengths are.
for seed in "$root"/tests/golden/*.gguf "$root"/examples/models/*.gguf; do
    head -c 8192 "$seed" >"$corpus/$(basename "$seed").head"
done
export ASAN_OPTIONS=allocator_may_return_null=1
"$program" "$corpus" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 \
    -print_final_stats=1 -artifact_prefix="$corpus." "$@" 2>&1 | tail -n 40
