# Everything a developer runs; continuous integration runs the same targets. `make help` lists them.
# Needs only make, a shell, Python 3.11-3.13 and a package index: .venv and .venv-sql are made here.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first Python on the path that runs and has a supported version; `make PYTHON=... test` chooses another.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
    "$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
    && { echo "$$p"; break; }; done)

VENV := .venv
BIN := $(VENV)/bin
SQL_VENV := .venv-sql
CONSTRAINTS := constraints/py311.txt
# Bytecode is compiled when a module is first used: compiling all of it would double the time of an installation.
PIP_QUIET := --no-compile --quiet --disable-pip-version-check --no-input --no-warn-script-location
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 8 ? n : 8 )))
SQL_FILES := $(shell find dbt_project -path dbt_project/target -prune -o -path dbt_project/logs -prune \
    -o -type f \( -name '*.sql' -o -name '*.yml' -o -name '*.csv' \) -print 2>/dev/null)

export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export MLFLOW_DISABLE_TELEMETRY := true
export OMP_WAIT_POLICY ?= PASSIVE
unexport PYTHONPATH VIRTUAL_ENV

.PHONY: help venv demo test lint lint-py lint-sql parse unit docs docs-check bench bench-models bench-features bench-backtests published leaks studies proofs clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- environments -----------------------------------------------------------------------------------------------------

define require_python
	@if [ -z "$(PYTHON)" ]; then \
	    echo "error: no Python 3.11, 3.12 or 3.13 with venv found on the path" >&2; \
	    echo "  remedy: install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; fi
endef

$(BIN)/python:
	$(require_python)
	@echo "making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)

# Enough to run; what developers need besides comes on top.
$(VENV)/.installed-run: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing trademl[train]"
	@$(BIN)/python -m pip install $(PIP_QUIET) -c $(CONSTRAINTS) -e ".[train]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	@echo "installing trademl[train,sources,dev]"
	@$(BIN)/python -m pip install $(PIP_QUIET) -c $(CONSTRAINTS) -e ".[train,sources,dev]"
	@touch $(VENV)/.installed-run $@

$(SQL_VENV)/.installed: constraints/sql.txt
	$(require_python)
	@echo "installing the SQL linter in $(SQL_VENV)"
	@[ -x $(SQL_VENV)/bin/python ] || "$(PYTHON)" -m venv $(SQL_VENV)
	@$(SQL_VENV)/bin/python -m pip install $(PIP_QUIET) -r constraints/sql.txt
	@touch $@

venv: $(VENV)/.installed-dev ## Make .venv with everything a developer needs

# --- daily actions ----------------------------------------------------------------------------------------------------

demo: $(VENV)/.installed-run ## A simulated market, from raw bars to ranked picks
	@$(BIN)/trademl demo

test: $(VENV)/.installed-dev $(SQL_VENV)/.installed ## Lint, dbt parse and all tests, as in continuous integration
	@$(MAKE) --no-print-directory -j2 lint-sql lint-py parse
	@$(MAKE) --no-print-directory unit

lint: lint-py lint-sql ## ruff, mypy --strict, import-linter and sqlfluff

lint-py: $(VENV)/.installed-dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo
	@echo "lint-py: ruff, mypy and import-linter pass"

lint-sql: $(SQL_VENV)/.linted ## sqlfluff with the dbt templater (only when the SQL has changed)

$(SQL_VENV)/.linted: $(SQL_VENV)/.installed .sqlfluff .ci/lint_sql $(SQL_FILES)
	@.ci/lint_sql $(SQL_VENV)
	@touch $@

parse: $(VENV)/.installed-dev
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	    TRADEML_LAKE="$$tmp" TRADEML_WAREHOUSE="$$tmp/warehouse.duckdb" DBT_LOG_PATH="$$tmp" DBT_TARGET_PATH="$$tmp" \
	    $(BIN)/dbt --quiet --warn-error parse --project-dir dbt_project --profiles-dir dbt_project
	@echo "parse: dbt reads dbt_project without a warning"

unit: $(VENV)/.installed-dev
	@$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal --quiet $(PYTEST_ARGS)

docs: $(VENV)/.installed-dev ## Write the generated pages
	@$(BIN)/python -m trademl.cli.reference > docs/cli.md
	@echo "wrote docs/cli.md"

docs-check: $(VENV)/.installed-dev
	@$(BIN)/pytest --quiet tests/docs

bench: $(VENV)/.installed-dev ## Time the splitter (beside skfolio and purgedcv), the audit, scoring and queries
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.cpcv --venv .venv-bench

bench-models: $(VENV)/.installed-dev ## Time cross-validation, prove ONNX parity, re-enact the seed script (needs HOME_DIR=a built home)
	@$(BIN)/python -m benchmarks.cv_speed --home "$(HOME_DIR)"
	@$(BIN)/python -m benchmarks.onnx_parity --home "$(HOME_DIR)"
	@$(BIN)/python -m benchmarks.seed003 --home "$(HOME_DIR)"
	@$(BIN)/python -m benchmarks.bad_configs

bench-backtests: $(VENV)/.installed-dev ## The SQL backtest and the event engine beside vectorbt on the same signals, trade by trade (needs TRADEML_REAL_DATA)
	@$(BIN)/python -m benchmarks.backtests --venv .venv-vbt

bench-features: $(VENV)/.installed-dev ## Alpha158 and Alpha360 beside pyqlib, pandas and polars: values, time, memory, IC, increments, growth (two hours)
	@$(BIN)/python -m benchmarks.features --venv .venv-qlib
	@$(BIN)/python -m benchmarks.features --venv .venv-qlib --size x10 --repeats 1
	@$(BIN)/python -m benchmarks.feature_builds increment --tables equities_alpha158 equities_alpha360 equities_risk
	@$(BIN)/python -m benchmarks.feature_builds backfill --tables equities_alpha158
	@$(BIN)/python -m benchmarks.features.scaling
	@$(BIN)/python -m benchmarks.bad_features

published: $(VENV)/.installed-dev ## Reproduce the published figures: expected, got, difference
	@$(BIN)/python -m benchmarks.published

leaks: $(VENV)/.installed-dev ## Plant leaks one at a time: each must be refused by a named check
	@$(BIN)/python -m benchmarks.planted_leaks

studies: $(VENV)/.installed-dev ## Simulated campaigns and candidates against the gate (hours; resumable)
	@$(BIN)/python -m benchmarks.campaigns --study power
	@$(BIN)/python -m benchmarks.candidates
	@$(BIN)/python -m benchmarks.campaigns --study null --cost 0
	@$(BIN)/python -m benchmarks.campaigns --study null

proofs: $(VENV)/.installed-dev ## The long experiments behind docs/proofs.md
	@$(BIN)/python -m benchmarks.proofs all

clean: ## Remove what tools leave behind, but no data and no environment
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dbt_project/target dbt_project/logs
	@find trademl tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the environments too
	@rm -rf $(VENV) $(SQL_VENV)
