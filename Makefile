# make test      everything that CI runs: lint, types, import rules, all suites
# make unit      one suite alone; so are integration, simulation, infra, e2e; and lint
# make up        start the local cloud; make down stops it and leaves nothing behind
# make demo      a payment's way through the running system, told step by step
# make package   build what is deployed, into build/package
# make checks    check what is deployed: rules, AWS's limits, linters
# make rights    after make e2e: which rights of the functions' roles no test needed
# make vulnerabilities   ask for known vulnerabilities of what is pinned: build/vulnerabilities.md
# make deploy STAGE=…     package, check and deploy to AWS, asking before anything is changed
# make rollback STAGE=…   back to the release before; make destroy STAGE=… removes the stack
#     YES=1 agrees to everything; REGION=…, ALLOW="<logical ids>", RELEASE=…, ENDPOINT=<emulator>,
#     PARAMETERS="DomainName=… CertificateArn=… AlarmEmail=…": see docs/deploy.md
# make bench     the write budget and the speed of the core
# make cost      what an installation costs and what bounds it, counted anew
# make openapi   write openapi.json anew
# make manufacturers   write docs/manufacturers/README.md anew; make channels, that of channels
# make roles     write docs/roles.md anew: what each function may do
# make metrics   write the tables of metrics and the alarms of manufacturers anew
# make screenshots   take the pictures of docs/website.md anew
# make clean     remove all that make made
#
# Nothing has to be set up first: the virtual environment is made when it is needed, and again
# when the requirements change.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The interpreter decides which Lambda runtime Chalice packages for.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
READY := $(VENV)/.ready
RUN := $(VENV)/bin/python
CHECKS_VENV := .venv-checks
CHECKS_READY := $(CHECKS_VENV)/.ready
PYTEST := $(RUN) -m pytest -q
PARALLEL := -n 2 --dist loadfile

export PYTHONDONTWRITEBYTECODE := 1
# No tool may reach a real account by accident. These three goals alone are meant to: each is
# called by itself, with the credentials of whoever calls it.
ON_AWS := deploy rollback destroy
ifeq ($(filter $(ON_AWS),$(MAKECMDGOALS)),)
unexport AWS_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN AWS_ENDPOINT_URL
export AWS_ACCESS_KEY_ID := test
export AWS_SECRET_ACCESS_KEY := test
export AWS_DEFAULT_REGION := eu-west-1
else ifneq ($(words $(MAKECMDGOALS)),1)
$(error make $(filter $(ON_AWS),$(MAKECMDGOALS)) wants to be called by itself)
endif

.PHONY: help test beside-e2e lint unit integration simulation infra e2e browser screenshots up down demo bench package checks rights vulnerabilities openapi manufacturers channels roles metrics $(ON_AWS) clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^Nothing/,$$d'

# Two things at a time, where neither needs the other. The end-to-end tests mostly wait, for timers
# and for vendors that keep silent; the other suites use that time.
OUTPUT_APART := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
TWO := $(MAKE) --no-print-directory --jobs=2 $(OUTPUT_APART)
test:
	@$(TWO) $(READY) $(CHECKS_READY)
	@$(TWO) package lint
	@$(TWO) e2e beside-e2e

beside-e2e: $(READY)
	@$(MAKE) --no-print-directory tested-core
	@$(MAKE) --no-print-directory tested-rest

lint: $(READY)
	@echo "== lint, types, import rules"
	@$(RUN) -m ruff check --quiet .
	@$(RUN) -m ruff format --check --quiet . || { echo "run: ruff format ." >&2; exit 1; }
	@$(RUN) -m mypy
	@mkdir -p build
	@$(VENV)/bin/lint-imports --no-cache >build/import-rules.log || { cat build/import-rules.log; exit 1; }

# What these suites reach of the rules and of what the system does is counted: every branch.
.PHONY: tested-core tested-rest
tested-core: $(READY)
	@echo "== rules, services and API"
	@$(PYTEST) $(PARALLEL) tests/unit/domain tests/unit/services \
		tests/integration/services tests/integration/api --cov --cov-report=
	@$(RUN) -m coverage report --include='chalicelib/domain/*,chalicelib/services/*' --fail-under=100

# Tracing makes tests slower, so it is left out where it would show nothing new. One more at a time
# than there are processors, for many of these wait for servers and for processes of their own.
tested-rest: $(READY) $(CHECKS_READY)
	@echo "== everything around them, crashes, simulation and the built template"
	@$(PYTEST) -n 3 --dist loadfile --ignore=tests/unit/domain --ignore=tests/unit/services tests/unit \
		tests/integration/store tests/integration/crash tests/simulation tests/infra

infra: $(CHECKS_READY)
unit integration simulation infra: $(READY)
	@echo "== $@"
	@$(PYTEST) tests/$@

# A Chromium for the tests of the website: one that is there, or Debian's.
browser: $(READY)
	@$(RUN) -m infra.local.browser

# Two local clouds, the files shared between them; each proves its books in the end.
e2e: $(READY) browser
	@echo "== $@"
	@rm -rf build/role-calls
	@$(PYTEST) $(PARALLEL) --no-loadscope-reorder tests/e2e

bench: $(READY)
	@$(PYTEST) -s tests/bench

# Counts what payments take, writes it down with the tables of docs/cost.md, and prints them.
.PHONY: cost
cost: $(READY)
	@$(RUN) -m tests.integration.counting
	@$(RUN) -m infra.cost --docs
	@$(RUN) -m infra.cost

up down demo: $(READY)
	@$(RUN) -m infra.local.$@

# The pictures of docs/website.md, taken anew from a local cloud of their own.
screenshots: $(READY) browser
	@$(RUN) -m infra.local.screenshots

package: $(READY)
	@$(RUN) -m infra.package

checks: $(READY) $(CHECKS_READY)
	@$(RUN) -m infra.checks

# What `make e2e` did not need, though a role allows it.
rights: $(READY)
	@$(RUN) -m infra.checks.rights

vulnerabilities: $(READY) $(CHECKS_READY)
	@$(RUN) -m infra.vulnerabilities

$(ON_AWS): $(READY) $(CHECKS_READY)
	@: $${STAGE:?which stage? make $@ STAGE=…}
	@$(RUN) -m infra.deploy $@ --stage "$(STAGE)" $(if $(REGION),--region "$(REGION)") \
		$(if $(ENDPOINT),--endpoint "$(ENDPOINT)") $(if $(YES),--yes) \
		$(if $(RELEASE),--release "$(RELEASE)") --allow "$(ALLOW)" --parameters "$(PARAMETERS)"

openapi: $(READY)
	@$(RUN) -m chalicelib.api.openapi openapi.json

# The table of all manufacturers, from what their modules state.
manufacturers: $(READY)
	@$(RUN) -m infra.manufacturers

# The same of all payment channels.
channels: $(READY)
	@$(RUN) -m infra.channels

# What each function may do, from the built template.
roles: $(READY)
	@$(RUN) -m infra.checks.roles

# The table of all metrics, and an alarm for each manufacturer that is called.
metrics: $(READY)
	@$(RUN) -m infra.metrics
	@$(RUN) -m infra.alarms_of_vends

clean:
	@if [ -x $(RUN) ]; then $(RUN) -m infra.local.down; fi
	@rm -rf $(VENV) $(CHECKS_VENV) .local build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

# pip's own words are shown only where it fails.
$(READY): requirements.txt requirements-dev.txt
	@echo "== virtual environment ($(PYTHON))"
	@mkdir -p build
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make PYTHON=…")'
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt >build/pip.log 2>&1 \
		|| { cat build/pip.log; exit 1; }
	@touch $@

# Every package is listed, so none has to be looked for.
$(CHECKS_READY): requirements-checks.txt
	@echo "== virtual environment of the linters"
	@mkdir -p build
	@rm -rf $(CHECKS_VENV) && $(PYTHON) -m venv $(CHECKS_VENV)
	@$(CHECKS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
		-r $< >build/pip-checks.log 2>&1 || { cat build/pip-checks.log; exit 1; }
	@touch $@
