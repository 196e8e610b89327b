#!/bin/bash
# run.sh [ARGUMENTS OF bench.py]: builds the load programs and measures the release build. Needs root (sshd does).
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bench/run bench/results
[ bench/run/pump -nt bench/load/pump.c ] || gcc -O2 -pthread -o bench/run/pump bench/load/pump.c
if [ ! bench/run/goload -nt bench/load/goload.go ]; then
  GO111MODULE=off GOFLAGS= GOPATH=$PWD/bench/run/gopath:/usr/share/gocode GOCACHE=$PWD/bench/run/gocache \
    go build -o bench/run/goload bench/load/goload.go
fi
exec /usr/bin/python3 bench/bench.py "$@"
