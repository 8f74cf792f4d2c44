#!/bin/sh
# compile_glsl.sh GLSLC DIR: SPIR-V beside every .comp in DIR that changed, on all cores. Many texts a process: glslc
# takes ten times as long to start as to compile one.
# Unoptimised: the driver's compiler does that work, and unrolled SPIR-V is three times the size.
set -eu
cd "$2"
rm -f ./*.comp.spv
find . -name '*.comp' -print | sed 's/\.comp$//' |
    while read -r name; do [ "$name.spv" -nt "$name.comp" ] || echo "$name.comp"; done |
    xargs -r -n 64 -P "$(nproc)" "$1" --target-env=vulkan1.1 -O0 -c
for made in ./*.comp.spv; do
    [ ! -e "$made" ] || mv "$made" "${made%.comp.spv}.spv"
done
