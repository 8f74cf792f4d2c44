#!/bin/sh
# compile_glsl.sh GLSLC DIR: SPIR-V beside every .comp in DIR that changed, on all cores.
# Unoptimised: the driver's compiler does that work, and unrolled SPIR-V is three times the size.
set -eu
cd "$2"
find . -name '*.comp' -print | sed 's/\.comp$//' |
    while read -r name; do [ "$name.spv" -nt "$name.comp" ] || echo "$name"; done |
    xargs -r -P "$(nproc)" -I@ "$1" --target-env=vulkan1.1 -O0 @.comp -o @.spv
