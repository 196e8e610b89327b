#!/bin/bash
# install_packages.sh SECTION…: installs the Debian packages of these sections of packages.txt that are missing.
set -euo pipefail
cd "$(dirname "$0")"
wanted=()
for section in "$@"; do
  mapfile -t lines < <(awk -v want="# [$section]" '/^# \[/ {on = ($0 == want)} on && !/^#/ && NF' packages.txt)
  wanted+=("${lines[@]}")
done
missing=()
for line in "${wanted[@]}"; do
  read -r name command <<<"$line"
  [ -n "$command" ] && command -v "$command" >/dev/null && continue
  status=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$name")
done
[ ${#missing[@]} -eq 0 ] && exit 0
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "packages are missing: ${missing[*]}; install them as root, then try again" >&2; exit 1; }
  as_root=(sudo)
fi
echo "installing ${#missing[@]} packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -q -o DPkg::Lock::Timeout=300 &&
       "${as_root[@]}" apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"; } >"$log" 2>&1; then
  tail -30 "$log" >&2
  echo "installing packages failed; the lines above say why" >&2
  exit 1
fi
