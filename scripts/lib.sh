# Shared by the scripts beside it: where the root is, what Debian 12 needs, how to install it.
# Sourced, not run. Knows nothing of what the scripts do with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What builds the library and the program.
BUILD_PACKAGES="cmake ninja-build gcc g++ libc6-dev pkg-config glslc libsqlite3-dev
    zlib1g-dev libjansson-dev libcpuinfo-dev libxxhash-dev libvulkan-dev
    libshaderc-dev libbenchmark-dev"
# A Vulkan device for every machine: lavapipe.
VULKAN_PACKAGES="libvulkan1 mesa-vulkan-drivers"
# What the tests need on top.
TEST_PACKAGES="vulkan-validationlayers spirv-tools clang lld libclang-rt-dev clang-format binutils
    python3 python3-venv ca-certificates"

say()
{
    printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2
}

die()
{
    say "$*"
    exit 1
}

as_root()
{
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "needs root for: $*"
    fi
}

# Installs those of the named Debian packages that are missing. Elsewhere it only says what a
# build needs, and cmake will name what it does not find.
need_packages()
{
    local missing=() package

    if ! command -v dpkg-query >/dev/null; then
        say "no Debian: make sure that the equivalents of these are installed:" $*
        return 0
    fi
    for package in $*; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ "${#missing[@]}" = 0 ] && return 0
    say "installing ${missing[*]}"
    as_root apt-get -qq update
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Like need_packages, but a failure is a status: for things that tests can do without.
try_packages()
{
    (need_packages "$@") || { say "could not install $*"; return 1; }
}

# need_python NAME[==VERSION]...: a Python environment of our own in .venv with these PyPI packages.
need_python()
{
    local package version

    [ -x .venv/bin/python3 ] || python3 -m venv .venv || return 1
    for package in "$@"; do
        version=$(.venv/bin/python3 -m pip show "${package%%==*}" 2>/dev/null |
            sed -n 's/^Version: //p')
        case "$version" in
            "") ;;
            "${package##*==}") continue ;;
            *) [ "$package" = "${package%%==*}" ] && continue ;;
        esac
        .venv/bin/python3 -m pip install -q "$package" || return 1
    done
}

# The library and the tests find the compilers of .venv as those of an active environment.
use_venv()
{
    [ -n "${VIRTUAL_ENV:-}" ] || [ ! -d .venv ] || export VIRTUAL_ENV="$PWD/.venv"
}

# required NAME: whether $IQT_REQUIRE, a comma-separated list, has NAME.
required()
{
    case ",${IQT_REQUIRE:-}," in *,"$1",*) return 0 ;; esac
    return 1
}

# optional NAME COMMAND...: a failure counts only when NAME is required.
optional()
{
    local name=$1

    shift
    "$@" && return 0
    required "$name" && die "$name is required (IQT_REQUIRE), but: $* failed"
    say "going on without $name"
}
