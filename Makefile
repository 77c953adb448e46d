# Everything a developer does here, on a machine with Python 3.11+ and make. Each target sets up what it needs.
#   make demo    one simulated day of 25 homes and 4 members, then the APIs on port 8000    ONCE=1: only the summary
#   make test    the tests, with real brokers, databases and a proxy
#   make check   style, types, and who may import whom
#   make bench   measure this machine: packs and purchases per second
#   make clean   forget everything that was made here but the data
# ARGS='...' is passed on: make test ARGS='tests/contracts -k funded', make test ARGS='--hypothesis-profile=deep'

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check bench clean runtime development servers

PYTHON ?=
ARGS ?=
ONCE ?=
BIN := .venv/bin

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

demo: runtime
	@exec $(BIN)/sparks demo $(if $(ONCE),--once) $(ARGS)

# The servers of the tests keep their files under TMPDIR. Their system user must reach it, so it is not in the checkout.
test: development servers
	@export TMPDIR=$$(mktemp -d) && trap 'rm -rf "$$TMPDIR"' EXIT && chmod 711 "$$TMPDIR" && \
		$(BIN)/python -m pytest -n 2 --dist worksteal --basetemp="$$TMPDIR/pytest" $(ARGS)

check: development
	@$(BIN)/ruff format --check --quiet . || { echo 'make check: run .venv/bin/ruff format .' >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

bench: development servers
	@$(BIN)/sparks bench ingest $(ARGS)
	@$(BIN)/sparks bench checkout $(ARGS)

clean:
	@rm -rf .venv .cache build *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@PYTHON='$(PYTHON)' scripts/python-packages

development:
	@PYTHON='$(PYTHON)' scripts/python-packages test,check

servers:
	@scripts/system-packages mosquitto postgresql nginx
