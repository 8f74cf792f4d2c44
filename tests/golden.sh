#!/usr/bin/env bash
# `iqtile golden` on one variant of a device:
#   golden.sh IQTILE cpu portable|avx2|avx512           the instruction set (IQT_CPU)
#   golden.sh IQTILE vulkan 128|256|512                 lavapipe's vector bits: subgroups of 4, 8, 16
#   golden.sh IQTILE cuda:0|hip:1|... ORDER             simulated device and its order of threads
# Further arguments go to the command. Kernels and products on GPUs that are not there take minutes, so IQT_SEED draws:
#   a third of the cases, except on vulkan 256 and in order `forward`, which all cases go through;
#   of these a third for products that show one weight each, of sixteen columns, which nothing of the order of threads
#   matters to: they are done in order `forward` only;
#   two numbers of columns on vulkan;
#   the layout where accesses are watched (IQT_SIM_CHECK); CUDA and HIP get different ones.
# IQT_ALL=1 takes all of them.
set -uo pipefail
iqtile=$1 device=$2 variant=$3
shift 3
here=$(cd "$(dirname "$0")" && pwd)

case "$device" in
    cpu) setting="IQT_CPU=$variant" need=$variant ;;
    vulkan) setting="LP_NATIVE_VECTOR_WIDTH=$variant" need=vulkan ;;
    cuda:* | hip:*) setting="IQT_SIM=${device%:*} IQT_SIM_ORDER=$variant" need=sim ;;
    *) echo "unknown device $device"; exit 2 ;;
esac
# Watched accesses take minutes with all columns, so those stay as they are.
[ -z "${IQT_ALL:-}" ] || [ "$need" != sim ] || [ -n "${IQT_SIM_CHECK:-}" ] ||
    set -- "$@" --n 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16
third=$((${IQT_SEED:-$RANDOM} % 3 + 1))/3
[ $((${IQT_SEED:-$RANDOM} / 3 % 2)) = 0 ] && pair=1,16 || pair=2,5
case "${IQT_ALL:+all}$device:$variant" in
    all* | cpu:*) ;;
    vulkan:256) set -- "$@" --one-hot "$third" --n "$pair" ;;
    *:forward) set -- "$@" --one-hot "$third" ;;
    vulkan:*) set -- "$@" --cases "$third" --n "$pair" ;;
    *) set -- "$@" --cases "$third" --one-hot none ;;
esac
[ -z "${IQT_SIM_CHECK:-}" ] || setting="IQT_SIM_CHECK=$IQT_SIM_CHECK $setting"
export $setting

# The devices command lists "cpu:0 ..." or "cpu absent: reason".
devices=$("$iqtile" devices) || exit 1
case "$device" in *:*) spec=$device ;; *) spec=$device:0 ;; esac
if ! grep -q "^$spec " <<<"$devices"; then
    grep "^${device%:*} " <<<"$devices"
    case ",${IQT_REQUIRE:-}," in
        *,"$need",*) echo "FAIL: $need is required (IQT_REQUIRE)"; exit 1 ;;
    esac
    echo "skipped: $device $variant is not here"
    exit 77
fi
grep -A 3 "^$spec " <<<"$devices"
drawn=
if [ -n "${IQT_SIM_CHECK:-}" ] && [ -z "${IQT_ALL:-}" ]; then
    case "$device" in cuda:*) layouts=(native packed) ;; *) layouts=(packed native) ;; esac
    drawn=${layouts[${IQT_SEED:-$RANDOM} % 2]}
    set -- "$@" --layout "$drawn"
fi
echo "repeat: $setting $iqtile golden tests/golden --device $device $*"
golden=("$iqtile" golden "$here/golden" --device "$device" "$@")
[ "$need" = sim ] && [ -z "$drawn" ] || exec "${golden[@]}"
# A simulated GPU is one thread: the layouts, which share no kernel, one on each core.
"${golden[@]}" --layout native &
"${golden[@]}" --layout packed && packed=0 || packed=1
wait $! && exit $packed
