# The commands of this project; `make` alone lists them. From elsewhere: make -C <this folder> <command>.
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
AGENT := $(VENV)/.agent-installed
TOOLS := $(VENV)/.tools-installed
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))" 2>/dev/null \
	&& echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo plants shift test bench lint format clean

help: ## list the commands
	@sed -n "s/^\([a-z-]*\):.*## /  make \1\t/p" Makefile | expand -t 16

demo: $(AGENT) ## a simulated line, the agent, a broker and a receiving MES for a minute, compared to the unit
	$(BIN)/edge-agent demo --for 60s --seed 7 $(ARGS)

test: $(TOOLS) ## run the tests; ARGS="-k name" for some of them
	$(BIN)/python -m pytest -n auto $(ARGS)

bench: $(AGENT) ## what the agent costs, beside raw ceilings of the same run; ARGS="engine --json FILE" for some
	$(BIN)/python -m benchmarks $(ARGS)

plants: $(TOOLS) ## 3,000 plants made up at random: do the books agree with what truly moved?
	PYTHONPATH=.:simulators $(BIN)/python -m tests.plants $(ARGS)

shift: $(TOOLS) ## eight hours of movements in ten minutes with everything going wrong once: exact, and flat?
	PYTHONPATH=.:simulators $(BIN)/python -m tests.system.hard_shift --for 600 $(ARGS)

lint: $(TOOLS) ## style, types and floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(TOOLS) ## put the style right where a machine can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what these commands made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find edge_agent simulators tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(AGENT): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Needed: Python 3.11 or newer with venv (Debian: python3-venv)." >&2; exit 1; }
	@echo "Making $(VENV) and installing the agent into it: once, about a minute."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(TOOLS): $(AGENT)
	@echo "Installing the development tools into $(VENV): once. pip goes first: --group needs 25.1 or newer."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@
