# `make demo` and `make test` do all the set-up: Python >= 3.11 with venv, and make, are all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint setup lock clean

demo: $(READY)
	$(BIN)/reseed demo

test: $(READY)
	# Two processes of one thread each, the longest files first (tests/conftest.py).
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p $(VENV)/src && ln -sfn "$(CURDIR)" $(VENV)/src/reseed
	$(BIN)/mypy

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "reseed needs Python >= 3.11; set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(READY)

# Pins every package with its hashes, for all platforms; no download address is written.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
	  --extra campplus --extra demo --extra dev --extra kubernetes --extra search --extra service --extra silero --extra slurm pyproject.toml -o requirements.lock

# The environment alone: runs are results, which nothing here removes.
clean:
	@test ! -e $(VENV) || test -e $(VENV)/pyvenv.cfg || { echo "$(VENV) is no environment, so it is not removed"; exit 1; }
	rm -rf $(VENV)
