# `make e2e` and `make test` set up what they need. Variables:
#   REMOTES=ftp,http   which remotes (all)             ON=local|docker     where they run
#   SERVING=auto|embedded|official|docker|official-docker                 DEVICE=cpu|gpu
#   SERVING_TRIAL=run|skip  whether a serving binary is tried before the first leg (docs/serving.md)
#   RELEASES=4              releases of each remote    SEED=1              of the training
#   HOURS=1                 of make soak
#   RATE=200                requests a second that the clients plan, in all
#   RUNS=runs               where run folders go       KEEP_RUNS=20        how many of them stay
#   E2E='--fail-fast'       more options for e2e: python -m harness e2e --help
#   DEMO='--every 5'        more options for demo: python -m harness demo --help
#   PYTEST='-k ftp -x'      more options for pytest
#   BROKEN='--only server'  more options for the broken parts: python -m tests.broken --help
SHELL := /bin/bash
.DEFAULT_GOAL := help
ON ?= local
SERVING ?= auto
SERVING_TRIAL ?= run
DEVICE ?= cpu
RELEASES ?= 4
RATE ?= 200
SEED ?= 1
RUNS ?= runs
E2E ?=
PYTEST ?=
BROKEN ?=
BOOT ?= python3
VENV := $(if $(filter gpu,$(DEVICE)),.venv-gpu,.venv)
ENVIRONMENT := $(if $(filter gpu,$(DEVICE)),gpu,whole)
# Relative: the path of this folder may have characters that the shell would interpret.
PY := $(VENV)/bin/python
# Without REMOTES, all that harness/remotes/registry.py lists.
ONLY_REMOTES := $(if $(filter undefined,$(origin REMOTES)),,--remotes="$$REMOTES")
# The tests start a thousand programs. Without bytecode each program compiles its modules again.
unexport PYTHONDONTWRITEBYTECODE
# Through the environment, so that the shell does not interpret the values.
export PYTHON39 REMOTES ON SERVING SERVING_TRIAL DEVICE RELEASES RATE SEED RUNS HOURS

.PHONY: help environment client setup e2e demo test proof proof-short soak test-monitor lint docker-ready test-docker test-bare
.PHONY: docs docs-links coverage test-bare-docker docker-clean locust conformance conformance-serving bench fuzz doctor clean serving-trial

help:
	@sed -n 's/^#\{2\} //p' $(MAKEFILE_LIST)

environment:
	@exec $(BOOT) harness/setup/bootstrap.py $(ENVIRONMENT)

client: environment
	@exec $(PY) -m harness setup --remotes=

## make setup    the environment, the patched client and, with hdfs in REMOTES, the Hadoop jars
setup: environment
	@exec $(PY) -m harness setup $(ONLY_REMOTES)

## make e2e      the main job on HDFS, FTP and HTTP, one table and a verdict at the end
# make passes SIGTERM only to its own child. `exec` makes the harness that child, in place of a shell.
e2e: export HARNESS_STARTED := $(shell date +%s.%N)
e2e: setup
	@exec $(PY) -m harness e2e \
	  $(ONLY_REMOTES) --on="$$ON" --serving="$$SERVING" --serving-trial="$$SERVING_TRIAL" \
	  --device="$$DEVICE" --releases="$$RELEASES" --rate="$$RATE" --seed="$$SEED" --runs="$$RUNS" $(E2E)

DEMO ?=
## make demo     the main job on a live screen, slowly (docs/by-hand.md); REMOTES=http for another remote
demo: client
	@exec $(PY) -m harness demo $(ONLY_REMOTES) --runs="$$RUNS" $(DEMO)

HOURS ?= 1
## make soak     a release every half minute for HOURS hours (docs/scenarios.md)
soak: setup
	@exec $(PY) -m harness run soak --remotes="$${REMOTES%%,*}" --serving="$$SERVING" \
	  --serving-trial="$$SERVING_TRIAL" --rate="$$RATE" --releases=$$((HOURS * 120)) --runs="$$RUNS" $(E2E)

## make test     every test that CI runs
test: setup
	@$(PY) -m pytest -n 5 --dist loadgroup --durations=15 --durations-min=5 $(PYTEST)

## make proof    broken monitors and servers that must be caught, then the long forms of tests (hours)
proof: setup
	@$(PY) -m tests.broken $(BROKEN)
	@$(PY) -m pytest -n 5 --dist loadgroup -m 'proof and not docker' $(PYTEST)

## make proof-short   each broken monitor by one case, one broken server a claim (5 minutes)
proof-short: setup
	@$(PY) -m tests.broken --short $(BROKEN)

COVERAGE := $(PY) -m coverage
GOALS ?= monitor producer harness/checker
## make coverage  the tests with branch coverage; monitor, producer and checker need 90 % each
# Programs that a test starts are measured too, except those that it kills or gives another
# environment. PYTEST='tests/unit/monitor' GOALS=monitor measures one part alone.
coverage: setup
	@$(PY) -m pytest -n 5 --dist loadgroup --cov --cov-report= $(PYTEST)
	@# Adds the data of programs that ended after the tests.
	@$(COVERAGE) combine -q --append 2>/dev/null || true
	@$(COVERAGE) report
	@for goal in $(GOALS); do echo "--- $$goal"; \
	  $(COVERAGE) report --include="$$goal/*" --format=total --fail-under=90 || exit 1; done

TOX := .venv-tox/bin/python
MONITORS ?= monitor-py39,monitor-py310,monitor-py311,monitor-py312,monitor-py313,branches-py39
## make test-monitor   the monitor alone, without Paddle, on each of CPython 3.9 to 3.13 found here
# pyenv's own interpreters, because its shims only start the versions that are switched on.
test-monitor:
	@$(BOOT) harness/setup/bootstrap.py tox
	@for bin in "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.*/bin; do PATH="$$bin:$$PATH"; done; \
	  $(TOX) harness/setup/sources.py $(TOX) -m tox run --skip-missing-interpreters true -e $(MONITORS)

## make docker-ready   a Docker engine, compose and base images, or what to type to get them
docker-ready: environment
	@$(PY) -m docker.bootstrap

## make test-docker    the tests in containers, and those that Compose is enough for
test-docker: docker-ready
	@$(PY) -m harness containers build
	@CONTAINERS_REQUIRED=1 $(PY) -m pytest -m 'not proof' tests/docker tests/unit/harness/containers $(PYTEST)

BARE ?= bullseye,bookworm,trixie,jammy
## make test-bare      both commands above as a new user on bare Debian 11, 12, 13 (as root)
test-bare: environment
	@$(PY) -m tests.bare --roots $(BARE)

## make test-bare-docker   makes a bare Debian ready for containers, runs long forms there
test-bare-docker: docker-ready
	@$(PY) -m pytest -m 'docker and proof' tests/docker $(PYTEST)

## make docker-clean   removes images of ours that a newer image replaces, and nothing else
docker-clean: environment
	@$(PY) -m harness containers prune

KNOWN := $(patsubst %,--monitor harness/conformance/monitor/monitors/%.json,ours stock stock-dash)
JOBS ?= 8
## make conformance    the whole conformance suite, ours and the stock monitor; makes its pages
conformance: setup
	@$(PY) -m harness conformance $(KNOWN) --jobs $(JOBS) --page docs/conformance.md \
	  --html build/conformance

## make conformance-serving  the promises and facts of servers, with the embedded engine; makes two pages
conformance-serving: setup
	@$(PY) -m harness conformance serving --serving-bin '$(VENV)/bin/embedded-serving' \
	  --serving-bin '$(VENV)/bin/embedded-serving --strict-compat' --page docs/conformance-serving.md \
	  --html build/conformance-serving || [ $$? = 1 ]
	@$(PY) -m harness conformance serving --facts --page docs/serving-facts.md

BENCHES ?= engine monitor_publish polls checker load
# One line of the recipe for each bench, so that SIGTERM reaches the bench (see e2e).
define BENCH
@[ -e bench/$(1).py ] || [ -d bench/$(1) ] || { echo "there is no bench $(1): name files of bench/" >&2; exit 2; }
@echo "--- bench.$(1)"
@exec $(PY) -m bench.$(1)

endef
## make bench    the benchmarks, a table each (BENCHES=engine: one of them)
bench: client
	$(foreach name,$(BENCHES),$(call BENCH,$(name)))

## make fuzz     damaged and random bytes for each of the engine's parsers
fuzz: environment
	@exec $(PY) -m fuzz.engine

## make lint     ruff, the import graph, mypy --strict and the language
lint: environment
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(VENV)/bin/lint-imports --no-cache
	@$(PY) -m mypy && $(PY) -m tests.language

## make locust   the environment for load from several machines (docs/load.md)
locust:
	@exec $(BOOT) harness/setup/bootstrap.py locust

## make docs     the pages as a site in build/site (docs/index.md is the start)
docs:
	@exec $(BOOT) harness/setup/bootstrap.py docs
	@.venv-docs/bin/check-jsonschema --builtin-schema vendor.github-workflows docs/examples/ci/github-actions.yml
	@.venv-docs/bin/check-jsonschema --builtin-schema vendor.gitlab-ci docs/examples/ci/gitlab-ci.yml
	@.venv-docs/bin/kubernetes-validate --strict docs/examples/kubernetes/deployment.yaml docs/examples/kubernetes/service.yaml
	@if command -v actionlint >/dev/null; then actionlint docs/examples/ci/github-actions.yml; fi
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet --strict && echo "docs: build/site/index.html"

## make docs-links   asks every external address that a page names
docs-links: environment
	@exec $(PY) -m tests.links

## make serving-trial   downloads the official serving binary if need be, and tries it (again)
serving-trial: client
	@$(PY) -m harness serving-trial --serving="$$SERVING" --device="$$DEVICE"

## make doctor   what this machine has, and what is missing for what
doctor:
	@exec $(BOOT) harness/cli/doctor.py $(ENVIRONMENT)

## make clean    removes environments, caches and runs
clean:
	rm -rf .venv .venv-gpu .venv-monitor .venv-locust .venv-docs .venv-s3 .venv-tox .cache .tox runs build monitor/build
	rm -rf *.egg-info monitor/*.egg-info .coverage .coverage.* monitor/.coverage htmlcov .hypothesis
	rm -rf monitor/.hypothesis .pytest_cache .mypy_cache .ruff_cache
	@# The registries of ports and projects that all checkouts share, where no run uses them.
	@for name in ports projects; do $(BOOT) -c 'import fcntl, os, sys; name = sys.argv[1]; \
	  file = open(name, "r+"); fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB); os.unlink(name)' \
	  /tmp/.hot-loading-$$name-$$UID 2>/dev/null || true; done
	find bench docker engine fuzz harness monitor producer tests -name __pycache__ -prune -exec rm -rf {} +
