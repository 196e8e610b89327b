#!/usr/bin/env bash
# Builds the libFuzzer harnesses and runs each for TIME seconds, as many at a time as there are cores; prints how often each was
# executed: scripts/fuzz.sh [TIME=60] [JOBS=2] [BUDGET=seconds] [harness…]
# BUDGET is for everything, the build included: where it does not suffice for TIME each, each gets an equal part of the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
TIME=${TIME:-60} JOBS=${JOBS:-$(nproc)} BUDGET=${BUDGET:-}
harnesses=()
for argument in "$@"; do
  case "$argument" in
    TIME=*) TIME=${argument#TIME=} ;;
    JOBS=*) JOBS=${argument#JOBS=} ;;
    BUDGET=*) BUDGET=${argument#BUDGET=} ;;
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
mkdir -p "$build/logs"

run() {
  local name=$1
  mkdir -p "$build/corpus/$name" "$build/crashes/$name"
  "$build/bin/${name}_fuzz" -max_total_time="$TIME" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$build/crashes/$name/" \
    "$build/corpus/$name" "fuzz/corpus/$name" >"$build/logs/$name.log" 2>&1
}
executed_by() { sed -n 's/^stat::number_of_executed_units: *//p' "$build/logs/$1.log"; }

if [ -n "$BUDGET" ]; then
  most=$(((BUDGET - SECONDS) * JOBS / ${#harnesses[@]}))
  [ "$most" -ge "$TIME" ] || TIME=$((most > 5 ? most : 5))
fi
echo "${#harnesses[@]} harnesses, $TIME s each, $JOBS at a time"
total=0 failed=()
declare -A running=()
for name in "${harnesses[@]}" ""; do
  # Room for one more; at the end, room for all.
  while ((${#running[@]} >= ${JOBS} || (${#running[@]} > 0 && ${#name} == 0))); do
    status=0
    wait -n -p ended "${!running[@]}" || status=$?
    done_one=${running[$ended]}
    unset "running[$ended]"
    executed=$(executed_by "$done_one")
    total=$((total + ${executed:-0}))
    printf '%-24s %12d executions%s\n' "$done_one" "${executed:-0}" "$([ "$status" -eq 0 ] || echo ', FAILED')"
    [ "$status" -eq 0 ] || { failed+=("$done_one"); grep -v NEW_FUNC "$build/logs/$done_one.log" | tail -40; }
  done
  [ -z "$name" ] || { run "$name" & running[$!]=$name; }
done
printf '%-24s %12d executions\n' total "$total"
if ((${#failed[@]} > 0)); then
  echo "failed: ${failed[*]}; the inputs are in $build/crashes/" >&2
  exit 1
fi
