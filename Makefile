# `make serve` and `make test` are all that is needed: each does its own set-up, once.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help serve test check bench soak lock clean

BIN := .venv/bin

# The first Python of the machine that will do; PYTHON=/path/to/python3 chooses another.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$name" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; \
	done)
PREPARE = @test -n "$(PYTHON)" || { \
	echo "CryoProtect needs Python 3.11 or newer with its venv module (on Debian: apt install python3-venv)."; \
	echo "Found: $$(python3 --version 2>&1). With another one: make $@ PYTHON=/path/to/python3"; exit 2; } >&2; \
	"$(PYTHON)" deploy/environment.py

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: ## Run the service at http://127.0.0.1:8000 (PORT, HOST, DATABASE_URL ...: see .env.example)
	$(PREPARE) serve
	@$(BIN)/cryoprotect serve --with-parent

test: ## Run all tests; what needs programs that are not here is skipped (arguments: ARGS="-k salt")
	$(PREPARE) dev
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: ## Run the checkers, as CI does
	$(PREPARE) dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/yamllint --strict docker-compose.yml .pre-commit-config.yaml .yamllint.yml
	$(BIN)/hadolint Dockerfile
	@rm -rf build/sql
	@$(BIN)/python -m migrations.sql_files build/sql
	$(BIN)/squawk 'build/sql/upgrade/*.sql'
	$(BIN)/squawk --config .squawk-downgrade.toml 'build/sql/downgrade/*.sql'

bench: ## Measure the service beside its peers and the limit
	$(PREPARE) dev
	@$(BIN)/cryoprotect bench $(ARGS)

soak: ## Break the database for ten minutes under load and write docs/soak.md (ARGS=--help)
	$(PREPARE) dev
	@$(BIN)/python -m tests.faults.soak $(ARGS)

lock: ## Resolve the dependencies anew and write both lock files
	$(PREPARE) dev
	$(BIN)/uv pip compile $(LOCK_OPTIONS) pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile $(LOCK_OPTIONS) pyproject.toml --extra otel --group dev --constraint requirements.lock \
		--output-file requirements-dev.lock

# Valid on every platform and Python, with hashes, and without the address of any package index.
LOCK_OPTIONS := --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links

clean: ## Remove what was made here, but for the data
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
