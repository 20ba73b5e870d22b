# The README's two commands: `make demo` and `make test`. Each sets up what it needs on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

SERVER := $(VENV)/server-ready

.PHONY: demo test test-long test-server check format clean help

help:
	@echo "make demo    set up, then run the demo study: base, shipped MRI expert and four patients' adaptation"
	@echo "make test    set up, then run the tests"
	@echo "make test-long    set up, then run the tests of some ten seconds and more: whole trainings, benchmarks"
	@echo "make test-server  set up, then run the tests that need other projects' clients and browsers"
	@echo "make check   formatting, lint, types and architecture"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(READY)
	$(BIN)/segevolution study demo -o runs/demo

test: $(READY)
	$(BIN)/python -m pytest -n 2

test-long: $(READY)
	$(BIN)/python -m pytest -n 2 -m long

$(SERVER): $(READY) requirements-server.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-server.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps monailabel==0.8.5  # its client alone
	@touch $@

test-server: $(SERVER)
	$(BIN)/python -m pytest -n 2 -m server

check: $(READY)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_architecture.py

format: $(READY)
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
