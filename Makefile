# Everything a newcomer or CI runs. `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
DEMO_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
# Many tests wait for processes and sockets: two at once for each core. Files are taken in their order: the longest
# tests, those of conformance, begin first.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(2 * (os.cpu_count() or 1))")

.PHONY: help demo test bench lint format lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

demo: $(VENV)/.runtime ## install and serve the simulated sample; DEMO_ARGS="--port 8001 --state DIR"
	@exec $(BIN)/vo-service demo $(DEMO_ARGS)

test: $(VENV)/.dev ## run all tests; PYTEST_ARGS="-k cone"
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=20 $(PYTEST_ARGS)

bench: $(VENV)/.dev ## measure everything (20 minutes); BENCH_ARGS="--rows 1000000 --only cones rows"
	$(BIN)/python -m tests.benchmarks $(BENCH_ARGS)

lint: $(VENV)/.dev ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff put the sources in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev ## pin the newest versions that pyproject.toml allows (minutes)
	$(BIN)/pip-compile $(LOCK_OPTIONS) -o requirements.lock pyproject.toml
	$(BIN)/pip-compile $(LOCK_OPTIONS) -c requirements.lock --extra test --extra dev -o requirements-dev.lock pyproject.toml

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

LOCK_OPTIONS := --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# The package itself is installed in place: what is edited is what runs.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is older or missing (PYTHON=python3.11 make ...)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "No virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(INSTALL) --require-hashes -r requirements.lock
	@$(INSTALL) --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@$(INSTALL) --require-hashes -r requirements-dev.lock
	@$(INSTALL) --no-deps --editable .
	@touch $@ $(VENV)/.runtime
