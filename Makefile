# Needs make and a Python >= 3.10 with venv; everything else goes into .venv.
#
#   make run        serve examples/hello.py with Gunicorn and our worker
#   make test       format, lint, types, tests (ARGS="..." is handed to pytest)
#   make test-all   the tests on every Python found, with the oldest and the newest Gunicorn
#   make help       the rest
#
# PYTHON=/path/to/python3 chooses the interpreter of a new .venv; HOST and PORT are for `make run`.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run check format test test-all test-oldest bench coverage clean

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?= 1
ARGS ?=

help:  ## Say what the targets do.
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST) | awk -F': ' '{printf "make %-12s%s\n", $$1, $$2}'

run: $(VENV)/.installed-run  ## Serve examples/hello.py on http://127.0.0.1:8000.
	@echo "Serving examples/hello.py on http://$(HOST):$(PORT) (Ctrl-C stops it)"
	@exec $(BIN)/python -m gunicorn --chdir examples -k uvicorn_worker.UvicornWorker \
		--workers $(WORKERS) --bind $(HOST):$(PORT) hello:app

check: $(VENV)/.installed-dev  ## Check format, lint and types.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

test: check .panther/.installed  ## Check format, lint and types, then run the tests.
ifeq ($(ARGS),)
	$(BIN)/python -m pytest --numprocesses=4 tests/unit tests/contract tests/server
	$(BIN)/python -m pytest --numprocesses=5 tests/process
else
	$(BIN)/python -m pytest $(ARGS)
endif

test-all: check .panther/.installed  ## Run the tests on every Python found, with the oldest and newest Gunicorn.
	.ci/test-all $(ARGS)

test-oldest:  ## Run the tests with the oldest releases that pyproject.toml allows.
	.ci/test-all --oldest $(ARGS)

format: $(VENV)/.installed-dev  ## Format the code and mend what the linter can.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed-dev  ## Compare with other servers, write RESULTS.md (ARGS="--help" for the options).
	$(BIN)/python -m tests.benchmarks --report $(ARGS)

coverage: $(VENV)/.installed-dev  ## Run the tests and report the lines and branches not run.
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# Panther's requirements exclude ours (httptools~=0.7.1), and it imports Uvicorn for its log format:
# it gets a folder of its own, which only its test looks into.
.panther/.installed: | $(BIN)/python
	@$(PIP) install --no-deps --upgrade --target .panther panther pantherdb simple-ulid uvicorn pytz
	@touch $@

clean:  ## Remove environments, caches and builds.
	rm -rf $(VENV) .venvs .bench-venv build dist htmlcov .coverage .coverage.* \
		.hypothesis .mypy_cache .panther .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@python=$$(.ci/find-python) && echo "Making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)

# The stamps are older than pyproject.toml when it changed: install again.
$(VENV)/.installed-run: pyproject.toml | $(BIN)/python
	@echo "Installing uvicorn-worker into $(VENV)"
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing uvicorn-worker and its development tools into $(VENV)"
	@$(PIP) install --editable '.[dev]'
	@touch $(VENV)/.installed-run $@
