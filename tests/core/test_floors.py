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


def lint(house: Path) -> tuple[int, str]:
    """As `make lint` does, with the copy in place of the package."""
    run = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"],
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


@pytest.mark.parametrize(
    ("file", "code", "said"),
    [
        ("cost/transfer.py", LAZY, "alpa_mlir.cost is not allowed to import alpa_mlir.runtime"),
        ("plan/check.py", FOR_TYPES, "alpa_mlir.plan is not allowed to import alpa_mlir.plans"),
        ("units.py", "\n\nimport rich\n", "alpa_mlir.units -> rich"),
        ("plan/json.py", "\n\nimport cvxpy\n", "alpa_mlir.plan.json -> cvxpy"),
    ],
    ids=["lazily", "for types", "the terminal", "the solver"],
)
def test_an_import_against_the_floors_is_found(
    house: Path, file: str, code: str, said: str
) -> None:
    append(house / "python/alpa_mlir" / file, code)
    status, output = lint(house)
    assert status != 0
    assert said in output


def test_a_circle_inside_a_folder_is_found(house: Path) -> None:
    cost = house / "python/alpa_mlir/cost"
    append(cost / "transfer.py", "\n\nfrom alpa_mlir.cost import memory as _memory\n")
    append(cost / "memory.py", "\n\ndef _late():\n    import alpa_mlir.cost.transfer\n")
    status, output = lint(house)
    assert status != 0
    assert "No import circles, in folders either BROKEN" in output


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
