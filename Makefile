# Thin: each target is one script or one tool. `make help` lists them.
SHELL := /bin/bash
SAN ?=
TIME ?= 60
PRESET := $(if $(filter address,$(SAN)),asan,$(if $(filter thread,$(SAN)),tsan,release))
BUILD := $(if $(filter release,$(PRESET)),build,build/$(PRESET))
BINARIES := mezhub mezd mezctl msh
export NINJA_STATUS := [%f of %t, %e s] 

.PHONY: help up down build test unit e2e seeds interop bench fuzz lint tidy deb clean packages
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

packages:
	@scripts/install_packages.sh build run

up: packages ## install what is missing, build, start a one-machine cluster and run a recorded SSH session through it
	@$(MAKE) --no-print-directory binaries
	@scripts/up.sh

down: ## stop what `make up` started; the data stays in .up/
	@scripts/down.sh

.PHONY: configure binaries
configure:
	@test -f $(BUILD)/build.ninja || cmake --preset $(PRESET) >/dev/null
binaries: configure
	@ninja -C $(BUILD) $(BINARIES)

build: packages binaries ## build mezhub mezd mezctl msh into build/bin/

test: ## install, build and run every test (SAN=address or SAN=thread: under that sanitizer)
	@scripts/install_packages.sh build run test
	@$(MAKE) --no-print-directory configure
	@ninja -C $(BUILD) --quiet
	@$(MAKE) --no-print-directory unit e2e

unit: configure ## unit tests only
	@scripts/unit.sh $(BUILD)

e2e: ## end-to-end tests only, on what is built
	@scripts/e2e.sh $(BUILD)

seeds: ## the acceptance table: each check of the operators' documents and its result
	@tests/seeds/table $(BUILD)

interop: ## the interoperability table: every algorithm with every peer, each cell of the product; OpenSSH's regress suite
	@scripts/install_packages.sh build run test
	@$(MAKE) --no-print-directory configure
	@ninja -C $(BUILD) --quiet ssh_probe_server ssh_probe_client regress_sshd
	@/usr/bin/python3 tests/interop/table.py $(BUILD)
	@MEZITE_INTEROP_FULL=1 scripts/e2e.sh $(BUILD) tests/interop/test_regress.py

bench: ## measure against OpenSSH in the same run (docs/performance.md)
	@scripts/install_packages.sh build run test bench
	@$(MAKE) --no-print-directory binaries
	@bench/run.sh

fuzz: ## every libFuzzer harness for TIME seconds (default 60)
	@scripts/install_packages.sh build fuzz
	@TIME=$(TIME) scripts/fuzz.sh

lint: ## format, layers, scripts, sizes; every finding is an error
	@scripts/install_packages.sh build run test lint
	@scripts/lint.sh

tidy: configure ## clang-tidy over every source file (ten minutes the first time)
	@scripts/install_packages.sh build run lint
	@ninja -C $(BUILD) --quiet mezite_proto
	@/usr/bin/python3 scripts/tidy.py $$(git ls-files 'src/*.cc' | grep -v -e _test.cc -e _bench.cc)

deb: build ## build/mezite_*.deb
	@packaging/deb.sh

clean: ## remove build/; the data of `make up` stays
	@rm -rf build
