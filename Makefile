# Every target sets up what it needs: `make demo` and `make test` work in a clean clone
# with nothing but Python 3.11 (or newer) and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo test coverage lint types docs screenshots bench campaign weights clean install

help:            ## what can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 12

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (about two minutes, once) ..."
	$(PIP) install -q -c constraints.txt -e '.[specpy,ipython]'
	@touch $@

$(VENV)/.dev-installed: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	@echo "Installing into $(VENV) with what the tests need (about three minutes, once) ..."
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.run-installed

install: $(VENV)/.run-installed   ## the virtual environment, pinned

demo: $(VENV)/.run-installed      ## optimise a simulated STED microscope: 60 images, table, picture
	$(BIN)/stedopt run --catalog demo --figure demo/run.png

test: $(VENV)/.dev-installed lint types   ## linters, types, tests, documentation
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist worksteal -q
	$(MAKE) docs

coverage: $(VENV)/.dev-installed  ## the tests, and which lines they run: a quarter slower
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term -q

lint: $(VENV)/.dev-installed      ## ruff, the floors' contracts, the facility's containers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/yamllint profiles
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec profiles/facility/compose.yaml

types: $(VENV)/.dev-installed     ## mypy
	$(BIN)/mypy

docs: $(VENV)/.dev-installed      ## the documentation, warnings are errors
	$(BIN)/python -m sphinx -W -q -b html docs docs/_build/html

screenshots: $(VENV)/.dev-installed  ## pictures of the page for the documentation, from a real browser
	OMP_NUM_THREADS=1 STEDOPT_SCREENSHOTS=docs/_static $(BIN)/python -m pytest tests/web/page -q -k picture -m "not campaign"

$(VENV)/.bench-installed: $(VENV)/.dev-installed
	$(PIP) install -q -c constraints.txt -e '.[dev,pysted]'
	@touch $@

bench: $(VENV)/.bench-installed   ## speed and quality, against the peers, fifteen minutes; figures in bench/
	$(BIN)/python -m tests.benchmarks

campaign: $(VENV)/.bench-installed  ## all benchmarks with all seeds and peers, most of a day; goes on where it was stopped
	$(BIN)/python -m pytest -m campaign -q
	$(BIN)/python -m tests.benchmarks --slow-seeds 20 --out bench/campaign

weights: $(VENV)/.dev-installed   ## train the shipped networks anew on the twin, about an hour; goes on where it was stopped
	$(BIN)/python -m stedopt_bluesky.experiments.shipped_weights
	$(BIN)/python -m stedopt_bluesky.experiments.shipped_preference

clean:           ## remove everything that make made
	rm -rf $(VENV) demo bench docs/_build .coverage htmlcov
