#!/bin/sh
# compile_ptx.sh IQT_PTX DIR: PTX beside every .cu in DIR that changed, or that another compiler than
# $IQT_NVRTC made, on all cores.
set -eu
cd "$2"
[ "$(cat compiler 2>/dev/null)" = "$IQT_NVRTC" ] || rm -f ./*.ptx
echo "$IQT_NVRTC" >compiler
find . -name '*.cu' -print | sed 's/\.cu$//' |
    while read -r name; do [ "$name.ptx" -nt "$name.cu" ] || echo "$name.cu"; done |
    xargs -r -n 16 -P "$(nproc)" "$1"
