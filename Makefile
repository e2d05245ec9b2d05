# make demo: from nothing to a trained model. make test: the same set-up, then every test layer.
#
# On Debian 12 the set-up installs what is missing (apt, as root or through sudo). Elsewhere, name an MLIR 22.1:
# make demo MLIR_DIR=<prefix>/lib/cmake/mlir. Another Python: PYTHON=/path/to/python3.12 (3.11 to 3.13).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?=
unexport PYTHONPATH
VENV ?= .venv
BUILD ?= build/dev
export MLIR_DIR PYTHON

bin := $(VENV)/bin
run := $(bin)/python
pytest := $(run) -m pytest -q
pip := $(run) -m pip --quiet --disable-pip-version-check --no-input
# Two cores are enough, and as much as a small machine has.
jobs := $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$(( n < 2 ? 1 : n > 8 ? 8 : n )))

.PHONY: demo test setup dev test-core test-passes test-plan test-run test-slow test-whole test-sanitize fuzz lint docs wheel clean

demo: setup
	$(run) examples/demo.py

test: test-core test-passes test-plan test-run

# --- Set-up: system packages, a virtual environment, the package built in place ---

setup: $(VENV)/.installed
	@cmake --build $(BUILD) -j $(jobs) | tail -n 1

$(VENV)/.created:
	@python=$$(.ci/python) && .ci/system $$python
	@rm -rf $(VENV) && echo "creating $(VENV)" && $$(.ci/python) -m venv $(VENV)
	@touch $@

# The package is installed editable, its extension built in place in $(BUILD): afterwards only that build is repeated.
$(VENV)/.installed: $(VENV)/.created pyproject.toml
	@.ci/system $(run)
	@echo "installing Python packages"
	@mkdir -p build; $(pip) install 'scikit-build-core>=0.10' 'nanobind>=2.4' >build/pip.log 2>&1 \
	  || { echo 'error: pip could not install; is the package index reachable? See build/pip.log' >&2; exit 1; }
	@echo "building alpa_mlir (some minutes the first time)"
	@CMAKE_BUILD_PARALLEL_LEVEL=$(jobs) $(pip) install --no-build-isolation --editable '.[test,lint]' \
	  --config-settings=build-dir=$(BUILD) --config-settings=cmake.define.ALPA_INPLACE=ON \
	  --config-settings=cmake.define.ALPA_PLUGIN=ON >build/pip.log 2>&1 \
	  || { grep -iE -m 3 'error[: ]' build/pip.log >&2; \
	       echo 'error: could not build or install alpa_mlir; the rest is in build/pip.log' >&2; exit 1; }
	@touch $@

# With a Python that has the dependencies already: make dev PYTHON=..., then PYTHONPATH=python.
dev:
	@cmake -S . -B $(BUILD) -G Ninja -DALPA_INPLACE=ON -DPython_EXECUTABLE=$$(.ci/python) \
	  $(if $(MLIR_DIR),-DMLIR_DIR=$(MLIR_DIR)) >/dev/null
	@cmake --build $(BUILD) -j $(jobs)

# --- Test layers, each alone ---

test-core: setup
	$(pytest) -n 2 -m "not slow" tests/core

test-passes: setup
	$(bin)/lit -sv -j $(jobs) tests/passes

test-plan: setup
	$(pytest) -n 2 --dist loadgroup -m "not slow" tests/plan

test-run: setup
	$(pytest) -n 2 --dist loadgroup tests/run

# With the slow tests of other layers. As those, a part of what `make test-whole` tries (tests/oracles/extent.py).
test-slow: setup
	$(pytest) -n 2 --dist loadgroup --durations 20 --ignore tests/slow/test_iopddl.py -m slow tests/slow tests/core tests/plan
	$(pytest) tests/slow/test_iopddl.py  # with goals in seconds: alone

test-whole:
	ALPA_TEST_EXTENT=whole $(MAKE) test test-slow

# The core's solver on random problems, against trying everything, under ASan and UBSan.
test-sanitize: setup
	@cmake -S . -B build/sanitize -G Ninja -DALPA_SANITIZE=ON -DALPA_PYTHON=OFF -DALPA_PLUGIN=OFF >/dev/null
	@cmake --build build/sanitize --target sharding_fuzz -j $(jobs) | tail -n 1
	build/sanitize/sharding_fuzz 5000

# N random training steps from seed SEED, sharded and in pipelines, against one device; what fails is made small.
N ?= 2000
SEED ?= 0
fuzz: setup
	PYTHONPATH=tests $(run) -m oracles.random_steps.fuzz $(N) --seed $(SEED) --workers $(jobs)

lint: setup
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(bin)/pyright --pythonpath $(run)
	$(bin)/codespell
	$(bin)/lint-imports --no-logo --no-cache
	$(run) .ci/import_doors.py
	$(run) .ci/sizes.py
	git ls-files '*.cpp' '*.h' | xargs $(bin)/clang-format --dry-run --Werror

# --- The rest ---

docs: setup
	$(run) docs/generate.py

wheel: $(VENV)/.installed
	$(pip) wheel --no-deps --wheel-dir dist .

clean:
	rm -rf build dist python/alpa_mlir/_native*.{so,pyi} python/alpa_mlir/plugin
