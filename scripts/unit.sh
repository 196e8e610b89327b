#!/bin/bash
# unit.sh BUILD: the unit tests of that build folder, in parallel.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/sanitizers.sh
exec ctest --test-dir "$1" -j "$(nproc)" --output-on-failure --no-tests=error --progress
