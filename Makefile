# What one can do here: `make help`. Needs CPython 3.11 with venv; everything else is installed into .venv.
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
ARGS ?=

.PHONY: help install packages servers demo incident up down test check bench screenshots proto lock clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install: .venv/.installed ## everything into .venv, at the versions of requirements.lock

.venv/.installed: pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install CPython 3.11 with venv, or say make PYTHON=..."; exit 1; }
	$(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), f"CPython 3.11 is needed, this is {sys.version}"'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet "uv>=0.8,<1"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

packages: ## Debian's packages that some tests want: a browser, Chinese letters, Prometheus, PostgreSQL (as root; elsewhere it says what to do)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  (apt-get update -qq; apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk prometheus postgresql) >/dev/null 2>&1 \
	    || echo "Some of chromium, fonts-noto-cjk, prometheus, postgresql could not be installed: tests that want them will say so."; \
	else echo "For the tests with a browser, Prometheus and PostgreSQL: apt install chromium fonts-noto-cjk prometheus postgresql"; fi

servers: install ## fetch the real servers that some tests want (once; says what it skipped and why)
	$(BIN)/python tests/servers/fetch.py

demo: install ## a portrait and a speech recording to a traced video, in one command
	$(BIN)/sonoscope demo $(ARGS)

incident: install ## an incident to practise on: the console on recorded requests, and the commands that find the cause
	$(BIN)/python -m examples.incident.show $(ARGS)

up: install ## start the service in the background
	$(BIN)/sonoscope up -d $(ARGS)

down: install ## stop it
	$(BIN)/sonoscope down

test: install ## every test whose servers are there; then those that want the machine for themselves
	$(BIN)/python -m pytest -ra -n 2 --dist loadgroup -m "not alone" $(ARGS)
	$(BIN)/python -m pytest -ra -m alone $(ARGS) || [ $$? -eq 5 ] # 5: ARGS has none of them

check: install ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

proto: install ## serve/grpc/sonoscope_pb2*.py anew from the .proto beside them
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. serve/grpc/sonoscope.proto

bench: install ## all benchmarks at small size, in one table: docs/benchmarks.md
	$(BIN)/python -m bench.table $(ARGS)

screenshots: install ## pictures of the console for its page in docs (needs chromium, and the video of a `make demo`)
	$(BIN)/python -m docs.screenshots $(ARGS)

lock: ## requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --quiet -o requirements.lock

clean: ## remove what was built; data of the service stays
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build dist
