# The two commands a newcomer needs are `make demo` and `make test`. Both set up all they use.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
TESTS ?=
PORT ?= 3000
ROUNDS ?= 3
SEED ?=
OUTPUT ?=
WORKERS ?=
EVENTS ?=

.PHONY: help demo dev scale test lint types unit chaos chaos-engine docs site lock clean

help:
	@echo "make demo   see the loop once: sample events fail, are sent again, and settle"
	@echo "make dev    start everything and keep the Dagster UI open"
	@echo "make scale  several Celery workers share a queue: WORKERS=4 EVENTS=50000"
	@echo "make test   lint, import contracts, types and the whole test suite"
	@echo "make chaos  kill workers, break databases and sinks; which promise holds under which fault"
	@echo "make chaos-engine  kill Celery workers, flush the broker, stop runs (needs redis-server)"
	@echo "make docs   write the generated pages of docs/ anew"
	@echo "make site   draw docs/ as a web site in site/"
	@echo "make lock   pin the newest allowed versions again (needs uv)"
	@echo "make clean  remove the virtual environment and the embedded database"

# A stamp and not the folder: an interrupted install is done again, a finished one is not.
$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; (3, 10) <= sys.version_info[:2] <= (3, 13) or sys.exit("Python 3.10 to 3.13 is needed, found %d.%d: call make PYTHON=python3.12" % sys.version_info[:2])'
ifneq ($(UV),)
	@test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV)
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
# To pip the pin of "google-auth[requests]" is none of "google-auth": the names alone are pinned too.
	@sed -E 's/^([A-Za-z0-9._-]+)\[[^]]*\]==/\1==/' requirements.lock > $(VENV)/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock -c $(VENV)/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

demo: $(VENV)/.installed
	@$(BIN)/tracking-pipeline demo

dev: $(VENV)/.installed
	@$(BIN)/tracking-pipeline dev --port $(PORT)

scale: $(VENV)/.installed
	@command -v redis-server >/dev/null || { echo "make scale needs redis-server: apt-get install redis-server"; exit 1; }
	@$(BIN)/python -m benchmarks.scale $(if $(WORKERS),--workers $(WORKERS)) $(if $(EVENTS),--events $(EVENTS))

test: lint types unit

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed
	$(BIN)/mypy

# One worker more than two cores have: the long tests mostly wait for a daemon.
unit: $(VENV)/.installed
	$(BIN)/pytest -n 3 --dist worksteal $(TESTS)

# Each round has dice of its own seed, and takes some minutes: make chaos SEED=7 ROUNDS=1.
chaos: $(VENV)/.installed
	$(BIN)/python -m tracking_pipeline_tests.chaos --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(if $(OUTPUT),--output $(OUTPUT))

# Faults of the engine of make scale; some twenty minutes.
chaos-engine: $(VENV)/.installed
	$(BIN)/python -m tracking_pipeline_tests.chaos.engine $(if $(OUTPUT),--output $(OUTPUT))

# The pages of docs/ that are made from the code; a test tells when they are out of date.
docs: $(VENV)/.installed
	$(BIN)/python -m docs.generate

# In an environment of its own: nothing of it is needed by the project.
site: docs/requirements.lock
	@test -x $(VENV)-site/bin/mkdocs || $(PYTHON) -m venv $(VENV)-site
	$(VENV)-site/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.lock
	$(VENV)-site/bin/mkdocs build --strict

lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-header --no-strip-extras --quiet --upgrade -o requirements.lock
	uv pip compile --group docs --universal --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-header --quiet --upgrade -o docs/requirements.lock
	sed -E 's/^([A-Za-z0-9._-]+)\[[^]]*\]==/\1==/' requirements.lock > deploy/constraints.tmp
	uv pip compile pyproject.toml --extra image --universal --python-version 3.10 --generate-hashes \
	  --no-emit-index-url --no-header --no-strip-extras --no-annotate --quiet --upgrade -c deploy/constraints.tmp -o deploy/requirements.lock
	rm deploy/constraints.tmp

clean:
	rm -rf $(VENV) $(VENV)-site site .tracking
