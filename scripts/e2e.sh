#!/bin/bash
# e2e.sh BUILD [PYTEST ARGUMENTS]: the end-to-end tests with the binaries of that build folder. What fails side by side is
# tried once more by itself, and both summaries are printed: floods and many clusters on two cores starve each other.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/sanitizers.sh
build=$1; shift
export MEZITE_BIN="$PWD/$build/bin"
tests=("${@:-tests}")
run() { /usr/bin/python3 -m pytest -o cache_dir="$PWD/$build/pytest_cache" -q "$@" "${tests[@]}"; }
# loadfile keeps the tests of a file on one cluster.
status=0
run -n "${E2E_JOBS:-3}" --dist loadfile || status=$?
[ "$status" -eq 1 ] || exit "$status"
echo "== once more, by itself: what failed side by side"
run --last-failed --last-failed-no-failures none --maxfail=3
