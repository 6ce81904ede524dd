# `make sweep` runs the main job, `make test` the linters and tests; both set up what is missing.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: sweep test lint docs figures clean

sweep: $(READY)
	$(BIN)/python -m bench.train -m batch_size=32,256

test: lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tables of docs/, from the code; a test fails where they are out of date.
docs: $(READY)
	$(BIN)/python -m tools.field_docs

# The figures of README.md, from the tables in results/published/.
figures: $(READY)
	$(BIN)/python -m tools.published draw

# Built again when what it is built from changes; a half-built one is not ready.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,serving,openvino]'
	# For the tests of its adapter; without AMD's library, which prints to the terminal where it has
	# no driver (through CodeCarbon, before anything of ours can catch it).
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps zeus
	touch $@

clean:
	rm -rf $(VENV)
