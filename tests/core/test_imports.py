"""What importing the package costs: `alpa-opt` and every other command pay it at each start."""

import json
import os
import subprocess
import sys

import pytest

UNUSED = [
    *("cvxpy", "highspy", "scipy", "click", "pydantic"),
    *("plotly", "matplotlib", "optax", "flax", "equinox", "orbax"),
]


def loaded_by(imports: str) -> set[str]:
    program = f"import sys, json, {imports}; print(json.dumps(list(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return set(json.loads(result.stdout))


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    return loaded_by("alpa_mlir")


@pytest.mark.parametrize("name", UNUSED)
def test_import_leaves_unloaded(loaded: set[str], name: str) -> None:
    assert name not in loaded


def test_import_loads_nothing_experimental_that_jax_does_not(loaded: set[str]) -> None:
    more = loaded - loaded_by("jax, jax.numpy, jax.extend.mlir, jax.interpreters.mlir")
    assert [name for name in sorted(more) if name.startswith("jax.experimental")] == []
