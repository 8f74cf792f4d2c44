#!/usr/bin/env bash
# `iqtile golden` on one variant of a device:
#   golden.sh IQTILE cpu portable|avx2|avx512      the instruction set (IQT_CPU)
#   golden.sh IQTILE vulkan 128|256|512            lavapipe's vector bits: subgroups of 4, 8, 16
set -uo pipefail
iqtile=$1 device=$2 variant=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)

case "$device" in
    cpu) setting=IQT_CPU need=$variant ;;
    vulkan) setting=LP_NATIVE_VECTOR_WIDTH need=vulkan ;;
    *) echo "unknown device $device"; exit 2 ;;
esac
export "$setting=$variant"

# The devices command lists "cpu:0 ..." or "cpu absent: reason".
devices=$("$iqtile" devices) || exit 1
if ! grep -q "^$device:0 " <<<"$devices"; then
    grep "^$device " <<<"$devices"
    case ",${IQT_REQUIRE:-}," in
        *,"$need",*) echo "FAIL: $need is required (IQT_REQUIRE)"; exit 1 ;;
    esac
    echo "skipped: $device $variant is not here"
    exit 77
fi
grep -A 3 "^$device:0 " <<<"$devices"
echo "repeat: $setting=$variant $iqtile golden tests/golden --device $device"
exec "$iqtile" golden "$here/golden" --device "$device" "$@"
