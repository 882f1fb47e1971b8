# Every target works from a fresh clone: .venv is built when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
TRITON_WHEEL := nvidia-pytriton==0.7.0
CHECKPOINT ?=
SERVE_FLAGS ?=
# For each target of `make fuzz`.
FUZZ_SECONDS ?= 600

.PHONY: demo serve test lint bench bench-gateway fuzz clean $(VENV)

demo: $(INSTALLED)
	$(BIN)/python -m standalone --demo $(SERVE_FLAGS)

serve: $(INSTALLED)
	$(BIN)/python -m standalone $(if $(CHECKPOINT),"$(CHECKPOINT)") $(SERVE_FLAGS)

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.export
	$(BIN)/python -m benchmarks.first_requests
	$(BIN)/python -m benchmarks.gateway

# Some ten minutes; wants two cores without other work.
bench-gateway: $(INSTALLED)
	$(BIN)/python -m benchmarks.gateway_report --output docs/gateway-figures.md

fuzz: $(INSTALLED)
	$(PIP) --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

$(VENV): $(INSTALLED)

# The stamp comes last, so that an installation cut short is taken up again.
$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[standalone,dev]'
	$(PIP) --no-deps $(TRITON_WHEEL)
	touch $(INSTALLED)

clean:
	rm -rf $(VENV) var
