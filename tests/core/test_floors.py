"""`make lint` proves the floors: broken on purpose, lazily or for types, that is seen."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAZY = "\n\ndef _late():\n    from alpa_mlir.runtime.driver import Driver\n    return Driver\n"
FOR_TYPES = """

from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from alpa_mlir.plans import Plan
"""
CIRCLE = "\n\ndef _late():\n    import alpa_mlir.schedule.values\n"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of what the contracts speak of."""
    shutil.copytree(
        ROOT / "python/alpa_mlir",
        tmp_path / "python/alpa_mlir",
        ignore=shutil.ignore_patterns("*.so", "*.pyi", "__pycache__"),
    )
    (tmp_path / "tests").mkdir()
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/import_doors.py", tmp_path / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


# As `lint-imports` does, but that an editable installation does not stand before the path.
LINT = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
from importlinter.cli import lint_imports
sys.exit(lint_imports(no_cache=True, no_logo=True))
"""


def lint(house: Path) -> tuple[int, str]:
    """As `make lint` does, with the copy in place of the package."""
    run = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=house,
        env=os.environ | {"PYTHONPATH": str(house / "python"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.returncode, run.stdout + run.stderr


def append(path: Path, code: str) -> None:
    path.write_text(path.read_text() + code)


def test_the_house_as_it_is_keeps_its_contracts(house: Path) -> None:
    code, output = lint(house)
    assert code == 0, output
    assert "0 broken" in output


def test_imports_against_the_floors_are_found(house: Path) -> None:
    """All in one run, which takes seconds."""
    package = house / "python/alpa_mlir"
    append(package / "cost/transfer.py", LAZY)
    append(package / "plan/check.py", FOR_TYPES)
    append(package / "units.py", "\n\nimport rich\n")
    append(package / "plan/json.py", "\n\nimport cvxpy\n")
    append(package / "plan/data.py", "\n\nimport pydantic\n")
    append(package / "schedule/values.py", "\n\nfrom alpa_mlir.schedule import kinds\n")
    append(
        package / "schedule/kinds.py", "\n\ndef _late():\n    import alpa_mlir.schedule.values\n"
    )
    status, output = lint(house)
    assert status != 0
    for said in (
        "alpa_mlir.cost is not allowed to import alpa_mlir.runtime",
        "alpa_mlir.plan is not allowed to import alpa_mlir.plans",
        "alpa_mlir.units -> rich",
        "alpa_mlir.plan.json -> cvxpy",
        "alpa_mlir.plan.data -> pydantic",
        "No import circles, in folders either BROKEN",
    ):
        assert said in output


@pytest.mark.parametrize(
    ("code", "door"),
    [
        ("\nimport jax._src.core\n", "private JAX"),
        ("\nfrom jax.extend.mlir import ir\n", "jaxlib's MLIR"),
        ("\nfrom alpa_mlir import Plan\n", "the package's public names"),
    ],
)
def test_a_way_past_a_door_is_found(house: Path, code: str, door: str) -> None:
    append(house / "python/alpa_mlir/cost/transfer.py", code)
    run = subprocess.run(
        [sys.executable, ".ci/import_doors.py"], cwd=house, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert door in run.stdout
