# Everything a developer runs. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
CARGO ?= cargo

# Always this selection: cargo builds a dependency for all features that the packages of one command ask of it, so another
# selection would build other ones. tests/lib.rs builds the programs by the same.
ALL := --workspace --features rollcall/aws

.PHONY: help
help: ## List what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

.PHONY: check
check: fmt lint docs template test ## Everything that must hold before a commit

.PHONY: fmt
fmt: ## Check formatting
	$(CARGO) fmt --all --check

.PHONY: lint
lint: ## Clippy with warnings denied
	$(CARGO) clippy --locked $(ALL) --all-targets -- --deny warnings
	$(CARGO) clippy --locked --package rollcall -- --deny warnings

.PHONY: docs
docs: ## API documentation without warnings
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --locked $(ALL) --no-deps --document-private-items

.PHONY: test
test: $(VENV)/ready $(VENV)-lint/ready ## All tests
	$(CARGO) test --locked $(ALL)

.PHONY: e2e
e2e: $(VENV)/ready $(VENV)-lint/ready ## The AWS half end to end, on an emulator
	$(CARGO) test --locked $(ALL) --test e2e

.PHONY: template
template: $(VENV)-lint/ready $(VENV)-checkov/ready ## Check the AWS template and the state machine; no account is needed
	AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 \
		$(VENV)-lint/bin/python tests/infra/check_template.py --checkov-python $(VENV)-checkov/bin/python

.PHONY: bench
bench: $(VENV)/ready ## Measure CPU, memory and latency hiding (release build)
	$(CARGO) build --locked --release --package rollcall --package rollcall-simulator
	$(VENV)/bin/python bench/run.py

# The Python environment of the tests, inside the project.
$(VENV)/ready: tests/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

# The template's checkers disagree on what they need, so each kind has an environment of its own.
$(VENV)-lint/ready $(VENV)-checkov/ready: $(VENV)-%/ready: tests/infra/requirements-%.txt
	python3 -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
