#!/bin/bash
# run.sh [core|cluster|audit|login|recording] [ARGUMENTS OF core.py OR cluster.py]: builds the load programs and measures the release build,
# by default all: the agent's server alone against other SSH servers, a whole cluster, the audit log, what recording costs. Needs root (sshd does).
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bench/run bench/results
newer() { [ "bench/run/$1" -nt "bench/load/$2" ]; }
newer pump pump.c || gcc -O2 -pthread -o bench/run/pump bench/load/pump.c
newer libssh_server libssh_server.cc || g++ -O2 -std=c++20 -pthread -o bench/run/libssh_server bench/load/libssh_server.cc -lssh
newer floor floor.cc || g++ -O2 -std=c++20 -o bench/run/floor bench/load/floor.cc -lcrypto
newer goload goload.go ||
  GO111MODULE=off GOFLAGS= GOPATH=$PWD/bench/run/gopath:/usr/share/gocode GOCACHE=$PWD/bench/run/gocache \
    go build -o bench/run/goload bench/load/goload.go
part=all
case "${1:-}" in core | cluster | audit | login | recording) part=$1; shift ;; esac
failed=0
if [ "$part" = all ] || [ "$part" = core ]; then
  ninja -C build --quiet node_sshd login_bench issue_bench
  /usr/bin/python3 bench/core.py "$@" || failed=1
  /usr/bin/python3 bench/issue.py || failed=1
fi
if [ "$part" = all ] || [ "$part" = cluster ]; then /usr/bin/python3 bench/cluster.py "$@" || failed=1; fi
if [ "$part" = all ] || [ "$part" = audit ]; then
  ninja -C build --quiet audit_bench
  (cd bench/run && ../../build/bin/audit_bench --benchmark_filter='append|verify') || failed=1
fi
if [ "$part" = login ]; then /usr/bin/python3 bench/login.py "$@" || failed=1; fi
if [ "$part" = all ]; then /usr/bin/python3 bench/login.py || failed=1; fi
if [ "$part" = all ]; then /usr/bin/python3 bench/recording.py || failed=1; fi
if [ "$part" = recording ]; then /usr/bin/python3 bench/recording.py "$@" || failed=1; fi
exit $failed
