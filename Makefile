# Everything runs in the virtual environment .venv; `make demo` and `make test` set it up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport PYTHONPATH
# Without saved bytecode, each process that imports torch compiles it anew, for ten seconds.
unexport PYTHONDONTWRITEBYTECODE

RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock .cargo/config.toml
TOOLS := $(VENV)/.tools
CHECKS := $(VENV)/.checks
PACKAGE := $(VENV)/.package
CHECKED := $(VENV)/.checked
RIVALS := $(VENV)/.rivals
ZIG := $(VENV)/.zig
EXTRAS := train,timm,onnx,cloud,dicomweb,ray

# Bytecode is made where it is imported: of torch and the others, most never is.
export PIP_COMPILE := 0
# For maturin's calls of pip, too.
export PIP_QUIET := 1
# Cargo would take make's number of jobs for its own.
ON_ALL_CORES := env -u MAKEFLAGS
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-rust test-aarch64 test-python lint lint-rust lint-python bench gpu-bundle wheels wheels-aarch64 \
  fmt docs screenshot fuzz clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "ctprune needs Python 3.10 or later: make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(TOOLS): $(VENV)/.created pyproject.toml requirements-build.txt
	$(PIP) --requirement requirements-build.txt
	touch $@

# What only checks need takes minutes to install: the demo does not wait for it.
$(CHECKS): $(TOOLS) requirements-dev.txt
	$(PIP) --requirement requirements-dev.txt
	touch $@

# One extension is in place: the one as users have it, or the one that checks itself.
$(PACKAGE): $(TOOLS) $(RUST_SOURCES) pyproject.toml
	maturin develop --release --quiet
	rm -f $(CHECKED)
	touch $@

# With the profile of `cargo test`, so that its dependencies are built once. Only checks and benchmarks need torch.
$(CHECKED): $(CHECKS) $(RUST_SOURCES) pyproject.toml
	$(ON_ALL_CORES) maturin develop --profile checked --quiet --extras $(EXTRAS)
	rm -f $(PACKAGE)
	touch $@

demo: $(PACKAGE) ## make a small synthetic archive, reduce it, write the report
	rm -rf demo
	ctprune phantom demo/dicoms --patients 4 --seed 1
	ctprune reduce demo/dicoms --method hash --out demo/reduction --export png --export-dir demo/kept
	ctprune report demo/reduction
	@echo
	@echo "Open demo/reduction/report.html in a browser. The manifest is demo/reduction/manifest.parquet,"
	@echo "the kept slices are pictures in demo/kept/. Next, read docs/tutorial.md."

# pip and mypy use one core each: cargo works beside them.
test: $(TOOLS) ## run all checks
	@$(MAKE) --no-print-directory --jobs 2 $(CHECKS) test-rust
	@$(MAKE) --no-print-directory --jobs 2 lint
	@$(MAKE) --no-print-directory test-python

lint: lint-rust lint-python

lint-rust: $(CHECKED)
	cargo fmt --check
	$(ON_ALL_CORES) cargo clippy --profile checked --workspace --all-targets --quiet -- --deny warnings
	$(ON_ALL_CORES) cargo clippy --profile checked --manifest-path fuzz/Cargo.toml --quiet \
	  --target-dir "$${CARGO_TARGET_DIR:-target}" -- --deny warnings

lint-python: $(CHECKED)
	ruff check .
	ruff format --check .
	mypy
	MYPYPATH=python python -m mypy.stubtest ctprune._core --mypy-config-file .ci/stubtest.ini

test-rust: $(TOOLS)
	$(ON_ALL_CORES) cargo test --profile checked --workspace --quiet

test-aarch64: ## run the Rust tests on emulated aarch64 (needs qemu-user and gcc-aarch64-linux-gnu)
	rustup target add aarch64-unknown-linux-gnu
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
	cargo test --profile checked --target aarch64-unknown-linux-gnu --workspace --exclude ctprune-py --quiet

test-python: $(CHECKED)
	python -m pytest --numprocesses auto --dist worksteal --durations 20

$(RIVALS): $(CHECKS) benches/requirements.txt
	$(PIP) --requirement benches/requirements.txt
	touch $@

bench: $(RIVALS) ## measure against other tools; results go to benches/record
	maturin develop --release --quiet --extras $(EXTRAS)
	rm -f $(CHECKED)
	touch $(PACKAGE)
	python -m benches

# zig links the wheel for older systems than this one.
$(ZIG): $(CHECKS)
	$(PIP) 'ziglang>=0.13'
	touch $@

wheels: $(ZIG) ## build the wheel for any x86-64 Linux from 2014 on into dist/, and try it in an environment of its own
	maturin build --release --locked --zig --compatibility manylinux2014 --out dist
	.ci/smoke dist

wheels-aarch64: $(ZIG) ## build the wheel for aarch64 Linux, and try it under emulation (needs Debian and qemu-user-static)
	rustup target add aarch64-unknown-linux-gnu
	maturin build --release --locked --zig --target aarch64-unknown-linux-gnu --compatibility manylinux2014 --out dist
	.ci/smoke-aarch64 dist

gpu-bundle: $(ZIG) $(PACKAGE) ## make the benchmark to carry to a GPU without a network; BUNDLE='--slices DIR …'
	python -m benches.gpu.bundle $(BUNDLE)

fmt: $(CHECKS) ## format all code
	cargo fmt
	ruff check --fix --quiet . || true
	ruff format .

docs: $(CHECKED) ## build the site into site/; every snippet of it runs in the tests
	python -m sphinx --quiet --fail-on-warning --keep-going --builder html --conf-dir docs/site . site
	@echo "Open site/index.html in a browser."

screenshot: demo ## renew the README's picture of the report (needs Chromium)
	python -m docs.screenshot demo/reduction/report.html docs/images/report.png

fuzz: $(TOOLS) ## fuzz each reader for ten minutes
	fuzz/run 600

clean: ## remove everything that make made
	rm -rf $(VENV) demo target site dist gpu-bundle fuzz/target benches/rivals/target
