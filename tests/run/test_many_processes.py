"""The same script in several processes: plans, pipelines, transfers, and how jobs end."""

from pathlib import Path

import pytest
from oracles.jobs import Trained, assert_as_in_one, train_in_one, train_in_processes

# Where a sum is over devices of several processes, its order may be another.
METHODS = {
    "shard": False,
    "auto": False,
    "one_stage": False,
    "gpipe": True,
    "1f1b": True,
    "eager_1f1b": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="module")
def trained(folder: Path) -> dict[str, list[Trained]]:
    return train_in_processes(folder, "mlp", list(METHODS))


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_as_one(
    folder: Path, trained: dict[str, list[Trained]], method: str
) -> None:
    alone, executable = train_in_one(folder, "mlp", method)
    assert_as_in_one(trained[method], alone, executable, METHODS[method])
