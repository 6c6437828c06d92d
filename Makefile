# Needs GNU make and Python 3.11 or newer; everything else goes into .venv, from requirements.lock.

# The first of these that is new enough; `make PYTHON=/path/to/python3.12 demo` chooses another.
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.kikuchinet-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PYTEST_ARGS ?=
# Processes that share the tests, a file at a time; `make unit JOBS=0` runs them in one, as a debugger needs it.
JOBS ?= 2
# Large pages for arrays (src/kikuchinet/cli/_huge_pages.py): pytest does not go through the command that asks for them.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1

.DEFAULT_GOAL := help
.PHONY: help setup demo docs test test-slow check lint format types layers unit fuzz lock benchmark clean distclean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

# Written last, so that an interrupted set-up is taken up again and a finished one costs nothing.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "kikuchinet needs Python 3.11 or newer: none found. Try 'make PYTHON=/path/to/python3 ...'" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "kikuchinet needs Python 3.11 or newer: $(PYTHON) is older" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $(PYTHON)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing what requirements.lock names into $(VENV) (once; PyTorch is large)"
	@$(PIP) install --quiet --requirement requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@# orix compiles its kernels when it is first imported; two processes that do so at once leave a cache that crashes every later import.
	@$(BIN)/python -c "import orix.quaternion.symmetry"
	@touch $(STAMP)

setup: $(STAMP) ## Set up .venv from the lock file

demo: $(STAMP) ## Identify the measured nickel patterns that ship inside kikuchipy; writes demo/report.html
	@$(BIN)/kikuchinet identify --example --out demo

test: lint types layers unit ## Everything that must hold: lint, format, types, layers, tests

lint: $(STAMP) ## ruff: lint and format, without changing anything
	$(BIN)/ruff check src tests
	$(BIN)/ruff format --check src tests

format: $(STAMP) ## ruff: put the code into its format and mend what can be mended
	$(BIN)/ruff check --fix src tests
	$(BIN)/ruff format src tests

types: $(STAMP) ## mypy
	$(BIN)/mypy

layers: $(STAMP) ## import-linter: data flows one way
	$(BIN)/lint-imports --no-cache

# A process that crashes ends the run: pytest-xdist 3.8 would start another and then wait for ever (its issue 1378).
unit: $(STAMP) ## pytest; `make unit PYTEST_ARGS="tests/crystal -x"` for a part
	$(BIN)/python -m pytest -m "not slow" --numprocesses $(JOBS) --dist loadfile --max-worker-restart 0 $(PYTEST_ARGS)

test-slow: $(STAMP) ## The tests that `make test` leaves out for their length
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

fuzz: $(STAMP) ## Thousands of damaged files of every format: a line each, no crash, no hang, no gigabytes
	KIKUCHINET_FUZZ=5000 $(BIN)/python -m pytest -s tests/patterns/test_fuzz.py $(PYTEST_ARGS)

docs: $(STAMP) ## The pages of docs/, the notebooks, run anew, and the API as a site in site/; a warning is an error
	$(BIN)/sphinx-build --quiet -W --keep-going -b html docs site

benchmark: $(STAMP) ## The benchmarks, printed as ratios to what they are measured against
	$(BIN)/kikuchinet benchmark

lock: ## Solve pyproject.toml anew and pin the result in requirements.lock
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip --disable-pip-version-check install --quiet '.[dev,docs]'
	{ echo '# Every package kikuchinet and its tests run with, pinned by `make lock`.'; \
	build/lock/bin/python -m pip freeze --all | grep -viE '^(pip|kikuchinet)[ =]' \
	| sed -E '/^(nvidia-|cuda-|triton)/ s/$$/ ; sys_platform == "linux"/'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf build/lock

clean: ## Remove results and caches, keep .venv
	rm -rf demo site docs/generated build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf $(VENV)
