# Everything a user, a developer and CI call. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help start stop backup restore test check format lock stack bench dashboards look screenshots demo clean \
  coding-assistant chat-bot

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A Docker engine that answers and knows compose; nothing else counts as having one.
DOCKER := $(shell docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 && echo yes)

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(BIN)/egoscope: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("egoscope needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; set PYTHON=") if sys.version_info < (3, 11) else 0'
	@echo "Installing egoscope into $(VENV) …"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/egoscope requirements-dev.lock
	@echo "Installing what the tests need …"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

start: ## The main job: docker compose where a Docker engine answers, else live in this terminal
ifeq ($(DOCKER),yes)
	@$(PYTHON) tools/start.py
else
	@$(MAKE) --no-print-directory $(BIN)/egoscope
	@$(BIN)/egoscope start
endif

stop: ## Stop what `make start` started with Docker; data is kept
	docker compose --profile demo down

BACKUP_DIR ?= backups
# Directories of servers that are plain processes: PLACES="--state DIR --prometheus DIR …"; see docs/operations.md
PLACES ?=
FROM ?=
KEY ?=

backup: ## Everything into BACKUP_DIR, the pseudonym key apart; with Docker all is stopped for the copy
	@$(PYTHON) -m tools.backup backup --to "$(BACKUP_DIR)" $(PLACES)

restore: ## FROM=a backup, into an empty place; KEY= where its key was moved
	@test -n "$(FROM)" || { echo "restore: say which backup: make restore FROM=$(BACKUP_DIR)/egoscope-…" >&2; exit 1; }
	@$(PYTHON) -m tools.backup restore --from "$(FROM)" $(if $(KEY),--key-file "$(KEY)") $(PLACES)

# Tests of real servers wait more than they compute, so more of them run at a time than there are processors.
TEST_WORKERS ?= 3

test: $(VENV)/.dev ## All tests; builds or finds the servers they need
	@test "$${EGOSCOPE_STACK:-auto}" = containers || $(PYTHON) tools/stack.py || test "$${EGOSCOPE_REQUIRE_STACK:-0}" != 1
	$(BIN)/python -m pytest -n $(TEST_WORKERS) --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.dev ## Formatting, lint, types, import rules, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	cd grafana && ../$(BIN)/python -m dashgen --check
	$(BIN)/python tools/settings_page.py --check

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## Write the lock files anew: versions and hashes only
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-header --no-annotate --no-emit-index-url --quiet --output-file requirements-dev.lock

stack: ## Build or find Collector, Prometheus, Loki and Alertmanager, once a machine
	$(PYTHON) tools/stack.py

bench: $(VENV)/.dev ## Measure everything side by side; writes docs/performance.md
	@$(PYTHON) tools/stack.py collector prometheus loki
	$(BIN)/python -m bench

dashboards: $(VENV)/.dev ## Generate the dashboards
	cd grafana && ../$(BIN)/python -m dashgen

look: $(VENV)/.dev ## Everything with a week of demo data, until Ctrl-C; needs a Grafana ($EGOSCOPE_GRAFANA_HOME)
	@$(PYTHON) tools/stack.py collector prometheus loki
	@$(BIN)/python -m tools.screenshots up

screenshots: $(VENV)/.dev ## Test the dashboards in a real Grafana; its pictures go to docs/images
	rm -rf .pytest_cache/screenshots
	EGOSCOPE_SCREENSHOTS=.pytest_cache/screenshots $(BIN)/python -m pytest tests/browser
	$(BIN)/python -m tools.screenshots docs .pytest_cache/screenshots

demo: $(BIN)/egoscope ## Write a demo log to ./demo-logs until Ctrl-C
	$(BIN)/egoscope demo --out demo-logs --days 1

ARGS ?=
coding-assistant: $(VENV)/.dev ## Example: agents that change a program; options in ARGS="…"
	@$(BIN)/python -m examples.multi_agent.coding_assistant $(ARGS)

chat-bot: $(VENV)/.dev ## Example: agents that answer a question, or hand it over; options in ARGS="…"
	@$(BIN)/python -m examples.multi_agent.chat_bot $(ARGS)

clean: ## Remove what was installed here; data and built servers stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
