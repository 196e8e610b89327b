#!/bin/bash
# lint.sh: format, layers, scripts and sizes over the tree. Each finding is an error.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0
mapfile -t sources < <(git ls-files 'src/*.cc' 'src/*.hh' 'fuzz/*.cc' 'bench/*.cc' 'tests/*.cc' 'tests/*.hh')

clang-format-19 --dry-run -Werror "${sources[@]}" || { echo "lint: run clang-format-19 -i on the files above"; failed=1; }
/usr/bin/python3 scripts/check_includes.py || failed=1
for script in $(git ls-files '*.sh' .ci/run); do bash -n "$script" || failed=1; done

# A source file past 600 lines holds more than one idea; a list of cases may be a little longer.
while read -r lines file; do
  most=600; [[ $file == *_test.cc ]] && most=700
  [ "$lines" -le $most ] || { echo "lint: $file has $lines lines; split it by concept"; failed=1; }
done < <(wc -l "${sources[@]}" | grep -v ' total$')

[ $failed -eq 0 ] && echo "lint: clean"
exit $failed
