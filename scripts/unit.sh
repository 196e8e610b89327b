#!/bin/bash
# unit.sh BUILD: the unit tests of that build folder, in parallel.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/sanitizers.sh
# Properties are tried less often where each try costs forty times as much.
case "$1" in */asan | */tsan) export RC_PARAMS="max_success=30" ;; esac
exec ctest --test-dir "$1" -j "$(nproc)" --output-on-failure --no-tests=error --progress
