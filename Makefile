# make demo: everything from nothing to a trained model; make test: the same set-up, then the tests.
PYTHON ?= python3
# Development build: _native beside the Python sources, usable with PYTHONPATH=python.
dev:
	cmake -S . -B build/dev -G Ninja -DALPA_INPLACE=ON -DPython_EXECUTABLE=$$(command -v $(PYTHON)) >/dev/null
	cmake --build build/dev
.PHONY: dev
