# `make sweep` runs the main job, `make test` the linters and tests. Both build .venv if needed.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: sweep test lint gpu-check docs figures clean

sweep: $(READY)
	$(BIN)/python -m bench.train -m batch_size=32,256

# With stored bytecode, the processes that tests start need not compile the suite anew each. Three
# workers for two cores, as each waits for processes about a third of its time: two take 314 s, three
# 270 to 298 s, four 307 s. Tests of launchers come last and one at a time, because the two nodes of
# their SLURM share this machine.
test: lint
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -m "not cluster" \
		--numprocesses 3 --dist loadgroup
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -m cluster

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# On a machine with an NVIDIA GPU: what no other machine can show, in under eight minutes.
gpu-check: $(READY)
	$(BIN)/python -m tests.gpu.check --out gpu-check.md

# Rewrites the tables in docs/ from the code; a test fails if they are out of date.
docs: $(READY)
	$(BIN)/python -m tools.field_docs

# Draws the figures of README.md from the tables in results/published/.
figures: $(READY)
	$(BIN)/python -m tools.published draw

# Builds the virtual environment again when one of these files changes. The marker .ready is touched
# last, so an environment whose installation failed half-way is not used.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,serving,openvino,timm,transformers,slurm,maintain,search]'
	# Zeus is for the tests of its adapter. --no-deps leaves out AMD's library: without a driver it
	# prints to the terminal, through CodeCarbon, before our code can catch it.
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps zeus
	touch $@

clean:
	rm -rf $(VENV)
