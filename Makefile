PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench samples wheels mutants clean

demo: $(READY) ## play the sample recordings through every app, with the page on 127.0.0.1:8080
	$(BIN)/edgeai demo

test: $(READY) ## run the tests
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(READY) ## lint, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(READY) ## print the tables of the README that need no data set
	for script in loop streams runners alerts server; do $(BIN)/python -m benchmarks.$$script || exit 1; done

samples: $(READY) ## make data_samples/ anew, and show which decisions changed
	$(BIN)/python -m apps.healthcare.simulation.samples
	$(BIN)/python -m apps.manufacturing.simulation.samples
	$(BIN)/python -m apps.manufacturing.simulation.machine_samples
	$(BIN)/python -m apps.automotive.simulation.samples
	$(BIN)/edgeai decisions check

mutants: $(READY) ## every small change to the code that decides must fail a test, or be named with its reason
	$(BIN)/python tools/mutants.py

wheels: ## the base dependencies as binary wheels for aarch64 Linux, Python 3.11 to 3.13
	$(PYTHON) tools/wheels.py

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "EdgeAI needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[wfdb,dicom]' --group dev
	@touch $(READY)

clean: ## forget the environment and the caches
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
