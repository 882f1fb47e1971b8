# Every target works from a fresh clone: .venv is built when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRITON_WHEEL := nvidia-pytriton==0.7.0
CHECKPOINT ?=
SERVE_FLAGS ?=

.PHONY: demo serve test lint bench clean

demo: $(VENV)
	$(BIN)/python -m standalone --demo $(SERVE_FLAGS)

serve: $(VENV)
	$(BIN)/python -m standalone "$(CHECKPOINT)" $(SERVE_FLAGS)

test: $(VENV)
	$(BIN)/python -m pytest

lint: $(VENV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)
	$(BIN)/python -m benchmarks.export
	$(BIN)/python -m benchmarks.gateway

$(VENV): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[standalone,dev]'
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --no-deps $(TRITON_WHEEL)
	touch $(VENV)

clean:
	rm -rf $(VENV) var
