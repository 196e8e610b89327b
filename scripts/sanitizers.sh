# Sourced by whatever runs instrumented programs; harmless for the others.
export ASAN_OPTIONS="detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}"
export TSAN_OPTIONS="second_deadlock_stack=1:history_size=7:halt_on_error=1:suppressions=$(pwd)/scripts/tsan.supp${TSAN_OPTIONS:+:$TSAN_OPTIONS}"
