#!/bin/bash
# e2e.sh BUILD [PYTEST ARGUMENTS]: the end-to-end tests with the binaries of that build folder.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/sanitizers.sh
build=$1; shift
export LSAN_OPTIONS="suppressions=$PWD/scripts/lsan.supp:print_suppressions=0"
export MEZITE_BIN="$PWD/$build/bin"
# loadfile keeps the tests of a file on one cluster.
exec /usr/bin/python3 -m pytest -o cache_dir="$PWD/$build/pytest_cache" -q -n "${E2E_JOBS:-3}" --dist loadfile "${@:-tests}"
