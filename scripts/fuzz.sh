#!/usr/bin/env bash
# Builds the libFuzzer harnesses and runs each for TIME seconds: scripts/fuzz.sh [TIME=60] [harness…]
set -euo pipefail
cd "$(dirname "$0")/.."
TIME=${TIME:-60}
harnesses=()
for argument in "$@"; do
  case "$argument" in
    TIME=*) TIME=${argument#TIME=} ;;
    *) harnesses+=("$argument") ;;
  esac
done
if ((${#harnesses[@]} == 0)); then
  for file in fuzz/*_fuzz.cc; do
    name=$(basename "$file")
    harnesses+=("${name%_fuzz.cc}")
  done
fi

build=${FUZZ_BUILD:-build/fuzz}
test -f "$build/build.ninja" || cmake --preset fuzz -B "$build" >/dev/null
ninja -C "$build" --quiet "${harnesses[@]/%/_fuzz}"
source scripts/sanitizers.sh

failed=()
for name in "${harnesses[@]}"; do
  mkdir -p "$build/corpus/$name" "$build/crashes/$name"
  echo "== $name: $TIME s"
  if ! "$build/bin/${name}_fuzz" -max_total_time="$TIME" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$build/crashes/$name/" \
    "$build/corpus/$name" "fuzz/corpus/$name"; then
    failed+=("$name")
  fi
done
if ((${#failed[@]} > 0)); then
  echo "failed: ${failed[*]}; the inputs are in $build/crashes/" >&2
  exit 1
fi
