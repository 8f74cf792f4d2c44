#!/usr/bin/env bash
# Every public header alone: as C11 and C++17, pedantic, twice in one file, by each compiler.
# Usage: run.sh INCLUDE_DIR
set -euo pipefail
include=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
count=0

# compile COMPILER STANDARD HEADER
compile()
{
    command -v "$1" >/dev/null || return 0
    count=$((count + 1))
    "$1" -std="$2" -Wall -Wextra -Wpedantic -Werror -Wundef -I"$include" -fsyntax-only \
        "$work/one.${2%%[0-9]*}" && return 0
    echo "$3 does not compile alone: $1 -std=$2"
    failed=1
}

for header in "$include"/iqtile/*.h; do
    name=iqtile/$(basename "$header")
    printf '#include <%s>\n#include <%s>\nextern int one;\n' "$name" "$name" >"$work/one.c"
    cp "$work/one.c" "$work/one.c++"
    for compiler in gcc clang; do
        compile "$compiler" c11 "$name"
    done
    for compiler in g++ clang++; do
        compile "$compiler" c++17 "$name"
    done
done
[ "$count" -gt 0 ] || { echo "no compiler and no header found"; exit 1; }
[ "$failed" = 0 ] && echo "$count compilations of public headers, all clean"
exit "$failed"
