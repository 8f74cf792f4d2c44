#!/usr/bin/env bash
# From a fresh machine to the table: installs, builds, then lists the devices, tunes, verifies
# and measures the example models; the table goes to stdout and, with charts, to build/report.html.
source "$(dirname "$0")/lib.sh"

scripts/build.sh
exec build/iqtile report examples/models/*.gguf --html build/report.html "$@"
