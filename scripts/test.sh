#!/usr/bin/env bash
# Installs what is missing, builds everything, runs all tests. The last lines are CTest's.
#
#   --quick       no sanitizers, no fuzzing, one subgroup size
#   --with-cuda   get NVRTC from PyPI if there is none: compiles the CUDA text
#   --with-hip    get a newer clang: compiles the HIP text for more GPUs
#
# A test that lacks something says so and is skipped. IQT_REQUIRE=vulkan,glslc,gguf,clang,nvrtc,
# hip,avx2,avx512 (any of them) turns such skips into failures. Arguments after -- go to ctest.
source "$(dirname "$0")/lib.sh"

quick= cuda= hip=
while [ $# -gt 0 ]; do
    case "$1" in
        --quick) quick=1 ;;
        --with-cuda) cuda=1 ;;
        --with-hip) hip=1 ;;
        --) shift; break ;;
        *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

have_nvrtc()
{
    python3 tests/nvrtc.py --find >/dev/null
}

configure=()
need_packages "$BUILD_PACKAGES" "$VULKAN_PACKAGES" "$TEST_PACKAGES"
optional gguf need_python gguf numpy
if [ -n "$cuda" ] && ! have_nvrtc; then
    optional nvrtc need_python nvidia-cuda-nvrtc
fi
if [ -n "$hip" ]; then
    optional hip try_packages clang-22 lld-22
fi
if [ -z "$quick" ]; then
    cmake --preset asan
    cmake --build --preset asan
    cmake --preset fuzz
    cmake --build --preset fuzz
    configure=(-DIQT_ASAN_DIR="$PWD/build-asan" -DIQT_FUZZ_DIR="$PWD/build-fuzz")
else
    configure=(-DIQT_ASAN_DIR= -DIQT_FUZZ_DIR=)
fi
cmake --preset release -DIQT_WERROR=ON "${configure[@]}"
cmake --build --preset release
# One test at a time: several of them use all cores themselves.
exec ctest --test-dir build --output-on-failure ${quick:+-LE slow} "$@"
