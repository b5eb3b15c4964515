# Everything here sets itself up on a machine that has only Python 3.11 (or later) and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
VENV := .venv
READY := $(VENV)/.ready

export UV_PYTHON_DOWNLOADS = never

.PHONY: demo test check install lock clean

demo: $(READY)
	$(VENV)/bin/renku-metrics demo

test: $(READY)
	$(VENV)/bin/pytest

check: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

install: $(READY)

LOCK := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header -q

# The image gets the same versions without what only development needs.
lock:
	$(LOCK) --upgrade pyproject.toml --extra dev -o requirements.lock
	$(LOCK) --upgrade pyproject.toml hosting/requirements.in --constraint requirements.lock -o hosting/requirements.lock
	$(LOCK) --upgrade benchmarks/peers/requirements.in -o benchmarks/peers/requirements.lock

# Byte-compiling once saves a second at each start of a dagster command.
$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(VENV)/bin/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	$(VENV)/bin/uv pip install --quiet --no-deps -e .
	touch $(READY)

clean:
	rm -rf $(VENV) data .dagster
