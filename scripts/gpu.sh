#!/usr/bin/env bash
# Measures a GPU: check, golden, tune, bench (native and packed), stats. Leaves gpu-report.json and
# gpu-report.html in a folder. Ctrl-C keeps what is finished; the same command goes on from there.
#
#   scripts/gpu.sh [options] [MODEL.gguf]
#   --device SPEC     cuda:0, hip:0, vulkan:1 ...; default: the first GPU (IQT_SIM=cuda: a simulated one)
#   --quick | --all   minutes instead of a quarter of an hour; or more shapes and a longer search
#   -o FOLDER         default: build/gpu-report
#   --format F        one format only
#   --n LIST          numbers of vectors (default: 1,2,4,8,16; --quick: 1,4)
#   --shape LIST      MxK[,MxK...] of random weights, without MODEL
#   --target T        what `iqtile stats` counts slots for, where the device's architecture is no answer
#   --program FILE    this iqtile instead of building one (its libraries: FILE's folder/lib)
#   --bundle FOLDER   measure nothing: put the program with its libraries, this script and the golden
#                     files into FOLDER, for a machine without network or compilers
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source scripts/gpu_stages.sh

usage()
{
    sed -n '2,17s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

device= mode=normal out=build/gpu-report format= n= shape= target= program= bundle= model=
while [ $# -gt 0 ]; do
    case "$1" in
        --device | --format | --n | --shape | --target | --program | --bundle | -o)
            [ $# -ge 2 ] || usage
            declare "$(sed 's/^-*//; s/^o$/out/' <<<"$1")=$2"
            shift
            ;;
        --quick) mode=quick ;;
        --all) mode=all ;;
        -*) usage ;;
        *) [ -z "$model" ] || usage; model=$1 ;;
    esac
    shift
done
[ -z "$model" ] || [ -r "$model" ] || die "$model: cannot be read"
[ -z "$model" ] || [ -z "$shape" ] || die "--shape is for random weights: leave MODEL out"

# Builds with what is there; only then asks Debian for more.
build()
{
    say "building"
    if cmake --preset release >&2 && cmake --build --preset release >&2; then
        return 0
    fi
    scripts/build.sh >&2 || die "cannot build here. On a machine that can:" \
        "scripts/gpu.sh --bundle FOLDER; then bring FOLDER here and run FOLDER/scripts/gpu.sh"
}

# The libraries of a program that are no part of every Linux.
libraries_of()
{
    ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// && $1 !~ /^(libc|libm|libdl|librt|libpthread)\.so/ {
        print $3 }'
}

make_bundle()
{
    local library

    mkdir -p "$bundle/lib" "$bundle/scripts" "$bundle/tests"
    cp "$program" "$bundle/iqtile"
    for library in $(libraries_of "$program"); do
        cp -L "$library" "$bundle/lib/"
    done
    cp scripts/gpu.sh scripts/gpu_stages.sh scripts/lib.sh "$bundle/scripts/"
    cp -R tests/golden "$bundle/tests/"
    git rev-parse --short=12 HEAD >"$bundle/commit" 2>/dev/null || rm -f "$bundle/commit"
    say "made $bundle; there: scripts/gpu.sh"
}

if [ -z "$program" ] && [ -x iqtile ]; then # inside a bundle
    program=./iqtile
elif [ -z "$program" ]; then
    build
    program=build/iqtile
fi
[ -x "$program" ] || die "$program: no program"
[ -z "$bundle" ] || { make_bundle; exit 0; }
[ ! -d "$(dirname "$program")/lib" ] ||
    export LD_LIBRARY_PATH="$(cd "$(dirname "$program")/lib" && pwd)${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
"$program" --version >/dev/null || die "$program does not run here"
mkdir -p "$out"
# Plans of this report only; compiled kernels may stay in the user's cache.
export IQT_DB="$PWD/$out/tuned.db"
case "$out" in /*) export IQT_DB="$out/tuned.db" ;; esac

choose_device
choose_amount
write_facts
trap on_interrupt INT TERM
run_stages
merge
