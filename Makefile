# Everything a developer runs. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
CARGO ?= cargo

.PHONY: help
help: ## List what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

.PHONY: check
check: fmt lint docs test ## Everything that must hold before a commit

.PHONY: fmt
fmt: ## Check formatting
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Clippy with warnings denied
	$(CARGO) clippy --locked --workspace --all-targets -- --deny warnings

.PHONY: docs
docs: ## API documentation without warnings
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items

.PHONY: test
test: $(VENV)/ready ## All tests
	$(CARGO) test --locked --workspace

.PHONY: bench
bench: $(VENV)/ready ## Measure CPU, memory and latency hiding (release build)
	$(CARGO) build --locked --release --package rollcall --package rollcall-simulator
	$(VENV)/bin/python bench/run.py

# The Python environment of the tests, inside the project.
$(VENV)/ready: tests/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@
