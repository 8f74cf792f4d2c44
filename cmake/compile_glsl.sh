#!/bin/sh
# compile_glsl.sh GLSLC DIR: SPIR-V beside every .comp in DIR, on as many cores as there are.
# Unoptimised: the driver's compiler does that work, and unrolled SPIR-V is three times the size.
set -eu
cd "$2"
find . -name '*.comp' -print | sed 's/\.comp$//' |
    xargs -P "$(nproc)" -I@ "$1" --target-env=vulkan1.1 -O0 @.comp -o @.spv
