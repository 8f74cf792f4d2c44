#!/usr/bin/env bash
# Installs a build into a temporary prefix, moves that, and builds main.c and the example of the
# README and examples/*.c against it: through the CMake package and through pkg-config.
# Usage: run.sh BUILD_DIR
set -euo pipefail
build=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$(dirname "$here")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >"$work/log" || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/prefix" # a package must not remember where it was installed
prefix=$work/prefix
grep -rIl --include=*.cmake --include=*.pc -e "$work/first" -e "$root" "$prefix" &&
    { echo "the files above name a folder of the build"; exit 1; }
export PKG_CONFIG_PATH XDG_CACHE_HOME=$work/cache
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name iqtile.pc)")
libdir=$(pkg-config --variable=libdir iqtile)

echo "== CMake package"
cmake -S "$here" -B "$work/cmake" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" >"$work/log" ||
    { cat "$work/log"; exit 1; }
cmake --build "$work/cmake" >"$work/log" || { cat "$work/log"; exit 1; }
"$work/cmake/consumer"

echo "== pkg-config"
flags="-std=c11 -Wall -Wextra -Wpedantic -Werror"
cc $flags "$here/main.c" -o "$work/consumer" $(pkg-config --cflags --libs iqtile) -lm
LD_LIBRARY_PATH=$libdir "$work/consumer"
readelf -d "$work/consumer" | grep -q 'NEEDED.*libiqtile\.so\.[0-9]*\]' ||
    { echo "the program does not ask for the soname"; readelf -d "$work/consumer"; exit 1; }

echo "== README"
# The first ```c block of the README is a whole program.
awk '/^```c$/ { on = 1; next } /^```$/ { if (on) exit } on' "$root/README.md" >"$work/readme.c"
cc $flags "$work/readme.c" -o "$work/readme" $(pkg-config --cflags --libs iqtile)
model=$(ls "$root"/examples/models/*.gguf | head -n 1)
LD_LIBRARY_PATH=$libdir "$work/readme" "$model"

echo "== examples"
for source in "$root"/examples/*.c; do
    cc $flags "$source" -o "$work/example" $(pkg-config --cflags --libs iqtile) -lm
    LD_LIBRARY_PATH=$libdir "$work/example" "$model" blk.0.ffn_up.weight cpu
done

echo "== program"
"$prefix/bin/iqtile" --help >/dev/null
echo "the install works: CMake package, pkg-config, README, examples, program"
