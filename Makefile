# make demo: train a VAE on MNIST and write its report.  make test: all checks.  make: what else there is.

PYTHON ?= python3
PYTEST_ARGS ?=
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow bench clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s%s\n", $$1, $$2 }'
	@echo
	@echo "The first of them makes .venv with $(PYTHON); pass another as in: make test PYTHON=python3.12"

install: .venv/.installed ## Make .venv with vaekit and its tools in it

demo: .venv/.installed ## Train a VAE on MNIST and write runs/demo/report.html
	$(BIN)/vaekit train vae --data mnist --out runs/demo --force

# A test is too small for several threads, so each processor has tests of its own.
test: .venv/.installed ## Lint, check the format and the types, run the tests and the examples in the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

test-slow: .venv/.installed ## Run the long tests
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

bench: .venv/.bench ## Measure speed against other libraries; wants a machine that does nothing else
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.digits
	$(BIN)/python -m benchmarks.nll
	$(BIN)/python -m benchmarks.training_speed

clean: ## Remove caches and build outputs; runs/ and .venv stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are made last: an installation that was cut short is done again.

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: vaekit needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1): pass another, as in make PYTHON=python3.12" >&2; \
		exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e ".[dev]"
	@touch $@

.venv/.bench: .venv/.installed
	$(INSTALL) -e ".[dev,bench]"
	@touch $@
