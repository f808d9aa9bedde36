# Shorthorn: the entry for everyone. `make help` lists the targets.
#
# Cargo decides what of it is out of date; a target that has nothing to do ends within a second. The wheel and
# the build with mutants have target folders of their own: sharing one would compile the binding anew each time.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CACHE := .cache
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
MUTANTS := $(CACHE)/mutants
PROGRAMS := shorthorn-engine shorthorn-replica
PYTEST_FLAGS ?=
CARGO_DENY_VERSION := 0.18.3
CARGO_DENY_ROOT := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/shorthorn-tools/cargo-deny-$(CARGO_DENY_VERSION)
CARGO_DENY := $(CARGO_DENY_ROOT)/bin/cargo-deny

export CARGO_TARGET_DIR := $(TARGET)
export UV_PYTHON_DOWNLOADS := never
export UV_NO_CONFIG := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The native module is loaded by an interpreter, it does not link one (maturin says the same).
export PYO3_BUILD_EXTENSION_MODULE := 1

# ---- set-up

.PHONY: help
help:                ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## ?/\1\t/' | expand -t 16

.PHONY: venv
venv: $(VENV)/.synced   ## the virtual environment, from hash-pinned requirement files

$(VENV)/.synced: requirements/uv.txt requirements/dev.txt pyproject.toml tools/link.py
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -c 'import ensurepip' || { echo "this Python has no ensurepip: make packages" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements/dev.txt
	@$(BIN)/python tools/link.py
	@touch $@

.PHONY: packages
packages:            ## the Debian packages of debian-packages.txt (root installs; others are told the command)
	@$(PYTHON) tools/packages.py

.PHONY: build
build: venv          ## release build of the Rust workspace; programs and native module into the package
	@cargo build --quiet --release --locked --workspace
	@mkdir -p src/shorthorn/bin
	@for p in $(PROGRAMS); do install -C -m 755 $(TARGET)/release/$$p src/shorthorn/bin/$$p; done
	@install -C -m 755 $(TARGET)/release/lib_native.so src/shorthorn/native/_native.abi3.so

.PHONY: build-mutants
build-mutants: venv  ## the same with the Cargo feature `mutants`, apart from the package (tests/mutants)
	@CARGO_TARGET_DIR=$(TARGET)/mutants cargo build --quiet --release --locked --workspace --features mutants
	@mkdir -p $(MUTANTS)
	@for p in $(PROGRAMS); do install -C -m 755 $(TARGET)/mutants/release/$$p $(MUTANTS)/$$p; done
	@install -C -m 755 $(TARGET)/mutants/release/lib_native.so $(MUTANTS)/_native.abi3.so

.PHONY: wheel
wheel: $(CACHE)/wheel.stamp   ## dist/: one wheel with the package, the native module and both programs

WHEEL_SOURCES := $(shell find src crates -type f -not -path '*/__pycache__/*' -not -name '*.so' -not -path 'src/shorthorn/bin/*' 2>/dev/null)
$(CACHE)/wheel.stamp: pyproject.toml Cargo.toml Cargo.lock README.md LICENSE $(WHEEL_SOURCES) | build
	@rm -rf dist && mkdir -p dist $(CACHE)
	@CARGO_TARGET_DIR=$(TARGET)/wheel $(BIN)/maturin build --quiet --release --locked --out dist
	@ls dist/*.whl
	@touch $@

# ---- the main job

.PHONY: demo
demo: packages build ## a three-node cluster, real clients, faults: every step checked
	@$(BIN)/python -m tools.demo

.PHONY: chaos
chaos: packages build $(if $(MUTANT),build-mutants)   ## random faults under load: make chaos MINUTES=10 NODES=4 SEED=7 MUTANT=no-grants
	@$(BIN)/python -m tools.chaos --minutes $(or $(MINUTES),10) --nodes $(or $(NODES),4) $(addprefix --seed ,$(SEED)) \
	  $(addprefix --mutant ,$(MUTANT)) $(addprefix --json ,$(JSON))

.PHONY: prove
prove: packages build build-mutants   ## all proofs at length, an hour or two; writes docs/proofs.md (make prove ONLY="explorer sim")
	@$(BIN)/python -m tools.prove $(if $(ONLY),--only $(ONLY))

.PHONY: measure
measure: packages build   ## the figures of README.md: fio against a volume and against nbdkit, side by side
	@$(BIN)/python -m tools.measure

# ---- tests

.PHONY: test
test: packages test-rust test-proofs test-python   ## everything that runs

.PHONY: test-rust
test-rust: build
	@tools/steps.sh "rust tests" cargo test --quiet --release --locked --workspace --exclude shorthorn-py

.PHONY: test-proofs
test-proofs: build   # the long ones are `make prove`
	@tools/steps.sh "explorer, quick" $(BIN)/shorthorn explore --quick
	@tools/steps.sh "simulator, fixed seeds" $(BIN)/shorthorn sim --seeds 1-12 --jobs 2
	@tools/steps.sh "simulator, SQLite" $(BIN)/shorthorn sim --seeds 1-2 --store sqlite --jobs 2
	@first=$$((1000 + RANDOM)); tools/steps.sh "simulator, fresh seeds" $(BIN)/shorthorn sim --seeds $$first-$$((first + 11)) --jobs 2

.PHONY: test-python
test-python: build build-mutants wheel
	@code=0; \
	tools/steps.sh "python tests, side by side" $(BIN)/pytest -n 2 --dist loadfile -m "not serial" $(PYTEST_FLAGS) || code=$$?; \
	tools/steps.sh "python tests, one by one" $(BIN)/pytest -m serial $(PYTEST_FLAGS) || code=$$?; \
	exit $$code

# ---- checks

.PHONY: check
check: check-fast check-rust check-stubs check-licences check-generated   ## all that can be said without running it

.PHONY: check-fast
check-fast: check-format check-lint check-types check-layers check-tidy   ## the part without Rust, for each save

.PHONY: check-format check-lint check-types check-layers check-tidy
check-format: venv
	@tools/steps.sh "ruff format" $(BIN)/ruff format --quiet --check .

check-lint: venv
	@tools/steps.sh "ruff check" $(BIN)/ruff check --quiet --output-format concise .

check-types: venv
	@tools/steps.sh "mypy" $(BIN)/mypy

check-layers: venv
	@tools/steps.sh "layers" $(BIN)/lint-imports --no-cache --no-logo

check-tidy: venv
	@tools/steps.sh "tidy" $(BIN)/python -m tools.tidy

.PHONY: check-rust check-rustfmt check-clippy check-clippy-mutants
check-rust: check-rustfmt check-clippy check-clippy-mutants

check-rustfmt:
	@tools/steps.sh "cargo fmt" cargo fmt --all --check

check-clippy:
	@tools/steps.sh "clippy" cargo clippy --quiet --workspace --all-targets --locked -- -D warnings

check-clippy-mutants:
	@tools/steps.sh "clippy, mutants" cargo clippy --quiet --workspace --all-targets --locked --features mutants -- -D warnings

.PHONY: check-stubs
check-stubs: build
	@test -f src/shorthorn/native/_native.pyi   # stubtest has nothing to say about a stub that is missing
	@tools/steps.sh "stubtest" env MYPYPATH=src $(BIN)/stubtest --mypy-config-file pyproject.toml shorthorn.native._native

.PHONY: check-licences
check-licences: venv $(CARGO_DENY)
	@tools/steps.sh "licences, python" $(BIN)/python -m tools.licences
	@tools/steps.sh "licences, rust" $(CARGO_DENY) --log-level error check licenses bans sources
	@$(CARGO_DENY) list --layout license

# Compiled once for this user and version, outside the checkout: a fresh clone finds it. Without optimisation,
# since it runs for a second. The newest version that Rust 1.85 compiles.
$(CARGO_DENY):
	@echo "compiling cargo-deny $(CARGO_DENY_VERSION), once"
	@CARGO_TARGET_DIR=$(CARGO_DENY_ROOT)/target CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked \
	  --root $(CARGO_DENY_ROOT) cargo-deny --version $(CARGO_DENY_VERSION)
	@rm -rf $(CARGO_DENY_ROOT)/target

.PHONY: check-generated
check-generated: venv
	@tools/steps.sh "generated files" $(BIN)/python -m tools.generated --check

.PHONY: fix
fix: venv            ## format, and mend what the linters can mend
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format --quiet .
	@cargo fmt --all

.PHONY: generate
generate: venv       ## write the generated files anew
	@$(BIN)/python -m tools.generated

.PHONY: lock
lock: venv           ## pin the requirement files anew (newest versions that fit the .in files)
	@for n in uv runtime dev; do \
	  constraints=$$( [ $$n = dev ] && echo "-c requirements/uv.txt -c requirements/runtime.txt" || true ); \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
	    --no-emit-index-url --no-header $$constraints -o requirements/$$n.txt requirements/$$n.in; done

.PHONY: clean
clean:               ## remove everything that was made here
	@rm -rf $(VENV) $(CACHE) dist target src/shorthorn/bin src/shorthorn/native/*.so
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
