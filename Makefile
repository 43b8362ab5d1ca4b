# MFN Studio. `make demo` and `make test` each install what they need first, into .venv.
#
#   PYTHON=python3.12    the Python to make .venv with (3.11 or newer; the first that fits otherwise)
#   TORCH_INDEX_URL=...  where to take torch from, e.g. https://download.pytorch.org/whl/cpu for the small build
#                        without CUDA; PyPI otherwise
#   ARGS=...             passed on, e.g. `make demo ARGS="--port 9000"`, `make test ARGS="tests/core -k layer"`

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
TORCH_INDEX_URL ?=
ARGS ?=
BASE := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# Files go to processes in the order that tests/conftest.py says.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
CHECKS := node_modules/.installed
# Node comes out of a Python package, for these checks alone: nobody who uses the dashboard needs it.
NODE := $(BIN)/node
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

export TOKENIZERS_PARALLELISM ?= false

.PHONY: help install demo test test-full lint lint-js format bench wheel constraints docs cli-docs screenshots clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

install: $(DEV)  ## install everything for work on the project into .venv

demo: $(BASE)  ## open the dashboard on the demo model
	$(BIN)/mfn demo $(ARGS)

test: $(DEV)  ## run the tests, except slow ones
	$(PYTEST) -m "not slow and not gpu" $(ARGS)

test-full: $(DEV)  ## run all tests
	$(PYTEST) $(ARGS)

lint: $(DEV) lint-js  ## check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

lint-js: $(CHECKS)  ## check the dashboard's JavaScript alone: types and rules
	$(BIN)/python -m scripts.js_types
	$(NODE) node_modules/eslint/bin/eslint.js --max-warnings 0 frontend
	$(BIN)/python -m scripts.js_sent

format: $(DEV)  ## mend style and formatting
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(DEV)  ## list the benchmarks, or run one: make bench ARGS="layer --quick"
	$(BIN)/python -m benchmarks $(ARGS)

wheel: $(DEV)  ## build the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

docs: $(DEV)  ## build the reference of mfn_core from its docstrings into site/
	$(BIN)/python -m scripts.api_docs

cli-docs: $(DEV)  ## write docs/reference/cli.md anew from the commands' --help
	$(BIN)/python -m scripts.cli_docs

screenshots: $(DEV)  ## take the screenshots of README anew, into docs/images (needs Chromium)
	$(BIN)/python -m tests.browser.screenshots docs/images --readme

constraints: $(DEV)  ## pin what .venv holds in constraints.txt
	{ sed -n '/^#/p' constraints.txt; \
	  $(BIN)/python -m pip freeze --exclude-editable | sed -E 's/^([^=]+==[^+]+)\+.*/\1/'; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove .venv, builds and caches
	rm -rf $(VENV) node_modules build dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@set -e; \
	for python in $(or $(PYTHON),python3.11 python3.12 python3.13 python3.14 python3 python); do \
	  if "$$python" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "making $(VENV) with $$("$$python" --version)"; "$$python" -m venv $(VENV); exit 0; \
	  fi; \
	done; \
	echo "MFN Studio needs Python 3.11 or newer with venv: install one (Debian, Ubuntu: apt install python3-venv)," >&2; \
	echo "or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; \
	exit 1

# A stamp is as old as the newest successful installation: a change of what is required installs again.
$(BASE): pyproject.toml constraints.txt hatch_build.py | $(BIN)/python
	@echo "installing MFN Studio into $(VENV) (the first time takes minutes: torch is large)"
	@$(if $(TORCH_INDEX_URL),$(PIP) --no-deps --index-url $(TORCH_INDEX_URL) torch)
	@$(PIP) -e .
	@touch $@

$(DEV): $(BASE)
	@echo "installing what work on it needs"
	@$(PIP) -e '.[dev]'
	@touch $@

$(CHECKS): package.json package-lock.json $(DEV)
	@echo "installing what checks the dashboard's JavaScript"
	@PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
