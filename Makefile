# `make e2e` and `make test` set up what they need. Variables:
#   REMOTES=hdfs,ftp,http   which remotes              ON=local|docker     where they run
#   SERVING=auto|embedded|official|docker|official-docker                 DEVICE=cpu|gpu
#   SERVING_TRIAL=run|skip  whether a serving binary is tried before the first leg (docs/serving.md)
#   RELEASES=4              releases of each remote    SEED=1              of the training
#   PYTEST='-k ftp -x'      more options for pytest
SHELL := /bin/bash
.DEFAULT_GOAL := help
REMOTES ?= hdfs,ftp,http
ON ?= local
SERVING ?= auto
SERVING_TRIAL ?= run
DEVICE ?= cpu
RELEASES ?= 4
SEED ?= 1
PYTEST ?=
BOOT ?= python3
VENV := $(if $(filter gpu,$(DEVICE)),.venv-gpu,.venv)
ENVIRONMENT := $(if $(filter gpu,$(DEVICE)),gpu,whole)
PY := $(CURDIR)/$(VENV)/bin/python
# Through the environment, so that no value is read by the shell.
export PYTHON39 REMOTES ON SERVING SERVING_TRIAL DEVICE RELEASES SEED

.PHONY: help setup e2e test test-monitor lint docker-ready test-docker test-bare test-bare-docker
.PHONY: conformance bench doctor clean serving-trial docker-clean

help:
	@sed -n 's/^#\{2\} //p' $(MAKEFILE_LIST)

## make setup    the environment, the cured client, the Hadoop jars
setup:
	@$(BOOT) harness/bootstrap.py $(ENVIRONMENT)
	@$(PY) -m harness setup

## make e2e      the main job on HDFS, FTP and HTTP, one table and a verdict at the end
# make hands SIGTERM on to its child alone: `exec`, so that this is the harness and no shell.
e2e: export HARNESS_STARTED := $(shell date +%s.%N)
e2e: setup
	@exec $(PY) -m harness e2e \
	  --remotes="$$REMOTES" --on="$$ON" --serving="$$SERVING" --serving-trial="$$SERVING_TRIAL" \
	  --device="$$DEVICE" --releases="$$RELEASES" --seed="$$SEED"

## make test     every test that CI runs
test: setup
	@$(PY) -m pytest -n 3 --dist loadgroup $(PYTEST)

# pyenv's own interpreters, because its shims only start the versions that are switched on.
PYENVS := $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.*/bin)
MONITORS ?= monitor-py39,monitor-py310,monitor-py311,monitor-py312,monitor-py313
empty :=
space := $(empty) $(empty)
## make test-monitor   the monitor alone, without Paddle, on each of CPython 3.9 to 3.13 found here
test-monitor: setup
	@PATH="$(subst $(space),:,$(PYENVS)):$$PATH" $(PY) -m tox run --skip-missing-interpreters true \
	  -e $(MONITORS)

## make docker-ready   a Docker engine, compose and base images, or what to type to get them
docker-ready: setup
	@$(PY) -m harness.containers ready

## make test-docker    the tests in containers, and those that Compose is enough for
test-docker: docker-ready
	@$(PY) -m harness.containers build
	@CONTAINERS_REQUIRED=1 $(PY) -m pytest -m 'not slow' tests/docker tests/unit/containers $(PYTEST)

BARE ?= bullseye,bookworm,trixie,jammy
## make test-bare      both commands above as a new user on bare Debian 11, 12, 13 (as root)
test-bare: setup
	@$(PY) -m tests.bare --roots $(BARE)

## make test-bare-docker   a bare Debian, in a container, made ready for containers (15 minutes)
test-bare-docker: docker-ready
	@$(PY) -m pytest -m 'docker and slow' tests/docker $(PYTEST)

## make docker-clean   removes images of ours that a newer one has superseded, and nothing else
docker-clean: setup
	@$(PY) -m harness.containers prune

KNOWN := $(patsubst %,--monitor harness/conformance/monitors/%.json,ours stock stock-dash)
JOBS ?= 8
## make conformance    the whole conformance suite, ours and the stock monitor; makes its page
conformance: setup
	@$(PY) -m harness conformance $(KNOWN) --jobs $(JOBS) --page docs/conformance.md

BENCHES ?= likeness engine engine_reloads fuzz_engine fuzz_amplifying monitor_publish
# A line each, so that SIGTERM reaches the bench (see e2e).
define BENCH
@echo "--- bench.$(1)"
@exec $(PY) -m bench.$(1)

endef
## make bench    the benchmarks, a table each (BENCHES=engine: one of them)
bench: setup
	$(foreach name,$(BENCHES),$(call BENCH,$(name)))

## make lint     ruff and mypy --strict
lint: setup
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

## make serving-trial   downloads the official serving binary if need be, and tries it (again)
serving-trial: setup
	@$(PY) -m harness serving-trial --serving="$$SERVING" --device="$$DEVICE"

## make doctor   what this machine has, and what is missing for what
doctor:
	@$(BOOT) harness/bootstrap.py $(ENVIRONMENT)
	@$(PY) -m harness doctor

## make clean    removes environments, caches and runs
clean:
	rm -rf .venv .venv-gpu .venv-monitor .cache .tox runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
