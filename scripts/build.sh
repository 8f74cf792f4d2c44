#!/usr/bin/env bash
# Installs what is missing on Debian 12 and builds build/iqtile.
source "$(dirname "$0")/lib.sh"

case "${1:-}" in
    "") ;;
    *) echo "usage: scripts/build.sh" >&2; exit 2 ;;
esac
need_packages "$BUILD_PACKAGES" "$VULKAN_PACKAGES"
cmake --preset release
cmake --build --preset release
say "built: build/iqtile --help"
