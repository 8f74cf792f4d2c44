#!/usr/bin/env bash
# The style check: layout by clang-format, everything else by the rules of check_style.py.
# Usage: scripts/check_style.sh [--fix]   (--fix lets clang-format rewrite the files)
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
failed=0

mapfile -t sources < <("$python" scripts/check_style.py --list c)
if ! command -v clang-format >/dev/null; then
    echo "check_style: clang-format is missing (apt install clang-format)" >&2
    failed=1
elif [ "${1:-}" = --fix ]; then
    clang-format -i "${sources[@]}"
elif ! clang-format --dry-run -Werror "${sources[@]}" 2>/dev/null; then
    clang-format --dry-run "${sources[@]}" 2>&1 | sed -n 's/^\(.*:[0-9]*\):[0-9]*: warning: .*/\1/p' |
        sort -u -t: -k1,1 | sed 's/$/: layout: run scripts\/check_style.sh --fix/'
    failed=1
fi
"$python" scripts/check_style.py || failed=1
[ "$failed" = 0 ] && echo "check_style: ${#sources[@]} C and C++ files, all rules hold"
exit "$failed"
