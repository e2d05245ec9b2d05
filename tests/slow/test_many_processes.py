"""Jobs of two and four processes, GPT among them, and long ones."""

from pathlib import Path

import pytest
from oracles.extent import in_part
from oracles.jobs import assert_as_in_one, run_job, train_in_one, train_in_processes

# Stages within a process add in the order of one process, others may not.
CASES = [
    (
        "gpt",
        2,
        in_part(
            {"auto": False, "eager_1f1b": True},
            {"shard": False, "auto": False, "gpipe": True, "1f1b": True, "eager_1f1b": True},
        ),
    ),
    ("gpt", 4, {"1f1b": False, "four_stages": True}),
    (
        "mlp:alpa-test",
        4,
        in_part(
            {"one_stage": False, "four_stages": True},
            {"shard": False, "auto": False, "one_stage": False, "four_stages": True},
        ),
    ),
]


@pytest.mark.parametrize(("model", "processes", "methods"), CASES)
def test_processes_train_as_one(
    tmp_path: Path, model: str, processes: int, methods: dict[str, bool]
) -> None:
    trained = train_in_processes(tmp_path, model, list(methods), processes)
    for method, exactly in methods.items():
        alone, executable = train_in_one(tmp_path, model, method)
        assert_as_in_one(trained[method], alone, executable, exactly)


def test_four_processes_do_not_hang_in_many_steps() -> None:
    job = run_job("many_steps.py", "200", processes=4)
    assert job.returncode == 0, job.stderr[-4000:]
    assert job.stdout.count("200 steps") == 4


def test_many_random_transfers_arrive_equal() -> None:
    job = run_job("transfers.py", in_part("100", "300"), processes=4)
    assert job.returncode == 0, job.stderr[-4000:]
    assert job.stdout.count("all arrived") == 4
