# Everything runs from this checkout, in .venv; `make help` lists what there is.

VENV := .venv
BIN := $(VENV)/bin/python
INSTALLED := $(VENV)/requirements.txt
BENCH_ROWS ?= 1000000
ARGS ?=
# One more than there are cores: tests wait for the servers that they ask.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)

# A Python of its own choice: make PYTHON=/path/to/python3.12 …
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; \
	done)

# An environment that lost its Python (it was upgraded, or the folder was copied) is made anew.
ifneq ($(shell test -x $(BIN) && echo works),works)
.PHONY: $(INSTALLED)
endif

MAKEFLAGS += --no-print-directory
.SILENT:
.DEFAULT_GOAL := help
.PHONY: help setup run test torture check bench bench-quick peers docs lock clean

help: ## List the targets.
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done

setup: $(INSTALLED) ## Make .venv with the locked packages (the others do it by themselves).

run: $(INSTALLED) ## Load the sample: raw feeds to PostgreSQL, warehouse, rollups. ARGS="…"
	$(BIN) -m techmart_fast run $(ARGS)

test: $(INSTALLED) ## Run all tests. ARGS="…" for pytest.
	$(BIN) -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder $(ARGS)

torture: $(INSTALLED) ## Run the long forms: crashes, cuts and fuzzing at many places. An hour or two.
	# The fuzzer has no build for every platform: without it only its tests are skipped.
	$(BIN) -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: --no-deps \
		--require-hashes --requirement requirements-fuzz.txt || \
		echo "The fuzzer (atheris) can't be installed here; its tests are skipped." >&2
	$(BIN) -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder -m torture $(ARGS)

check: $(INSTALLED) ## What a change must pass: style, types, all tests.
	$(BIN) -m ruff check --quiet .
	$(BIN) -m ruff format --check --quiet . || { \
		echo "Some files are not formatted; run: $(BIN) -m ruff format ." >&2; exit 1; }
	$(BIN) -m mypy --no-error-summary
	$(MAKE) test

bench: $(INSTALLED) ## Measure every stage, and their floors. BENCH_ROWS=1000000
	TECHMART_BENCH_ROWS=$(BENCH_ROWS) $(BIN) -m pytest benchmarks --benchmark-enable $(ARGS)

bench-quick: ## The shorter ones of them, on a small shop: indicative only.
	$(MAKE) bench BENCH_ROWS=20000 ARGS="-m 'not long' $(ARGS)"

PEERS := build/peers

peers: requirements-peers.txt ## Install the peers of the side-by-side measurement, in build/peers.
	rm -rf $(PEERS)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
		--only-binary :all: --no-deps --require-hashes --requirement requirements-peers.txt || { \
		rm -rf $(PEERS); echo "The peers can't be installed here; see above." >&2; exit 1; }

docs: $(INSTALLED) ## Write docs/reference from the code.
	$(BIN) -m techmart_fast dev reference $(ARGS)

clean: ## Remove .venv and every cache; data in TECHMART_HOME stays.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements.txt
	if [ -z "$(PYTHON)" ]; then \
		echo "Python 3.11 or later is needed, and none was found." >&2; \
		echo "Install it, or name it: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; fi
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is not Python 3.11 or later." >&2; exit 1; }
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments. On Debian and Ubuntu:" >&2; \
		echo "    apt install python3-venv" >&2; exit 1; }
	echo "Setting up $(VENV) with the locked packages: once, a minute or two ..." >&2
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	# The lock names every package, so nothing is left to resolve: an older pip, left to, may pick a
	# release newer than the locked one where packages ask for extras, and then refuse it.
	$(BIN) -m pip install --quiet --disable-pip-version-check --no-input --prefer-binary --no-deps \
		--require-hashes --requirement requirements.txt || { \
		echo "The packages can't be installed; see above. Is the network there?" >&2; exit 1; }
	$(BIN) -m pip check --disable-pip-version-check >/dev/null || { \
		$(BIN) -m pip check --disable-pip-version-check >&2; \
		echo "requirements.txt is incomplete; run: make lock" >&2; exit 1; }
	$(BIN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--editable .
	cp requirements.txt $(INSTALLED)

# Mirrors and local indexes of this machine must not decide what the lock says.
LOCK := build/lock
PLAIN_PIP := env -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null

COMPILE = $(PLAIN_PIP) $(LOCK)/bin/python -m piptools compile --quiet --generate-hashes \
	--strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-emit-options
PEER_PACKAGES := adbc-driver-postgresql 'dlt[postgres]' duckdb duckdb-extension-postgres-scanner \
	orjson pandas psycopg2-binary pyarrow sqlalchemy

lock: ## Write requirements*.txt anew. ARGS=--upgrade for newer versions.
	$(PYTHON) -m venv --clear $(LOCK)
	$(PLAIN_PIP) $(LOCK)/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(COMPILE) --all-extras --allow-unsafe --output-file=requirements.txt $(ARGS) pyproject.toml
	echo 'atheris>=3.0' | $(COMPILE) --output-file=requirements-fuzz.txt $(ARGS) -
	printf '%s\n' $(PEER_PACKAGES) | $(COMPILE) --allow-unsafe \
		--output-file=requirements-peers.txt $(ARGS) -
	rm -rf $(LOCK)
