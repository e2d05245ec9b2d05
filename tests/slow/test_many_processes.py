"""Jobs of two and four processes, GPT among them, and long ones."""

from pathlib import Path

import pytest
from oracles.extent import each_nth, in_part
from oracles.jobs import (
    assert_as_in_one,
    run_job,
    run_without_launcher,
    train_in_one,
    train_in_processes,
)

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
            {"four_stages": True},
            {"shard": False, "auto": False, "one_stage": False, "four_stages": True},
        ),
    ),
]

# Where a process is lost, how, and after how many seconds without progress a step counts as hung.
LOSSES = [
    ("collective", "kill", "0"),
    ("plan", "kill", "0"),
    ("plan", "stop", "0"),
    ("step", "kill", "0"),
    ("step", "stop", "0"),
    ("step", "stop", "3"),
    ("step", "idle", "3"),
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
    num_steps = in_part("60", "200")
    job = run_job("many_steps.py", num_steps, processes=4)
    assert job.returncode == 0, job.stderr[-4000:]
    assert job.stdout.count(f"{num_steps} steps") == 4


def test_many_random_transfers_arrive_equal() -> None:
    job = run_job("transfers.py", in_part("100", "300"), processes=4)
    assert job.returncode == 0, job.stderr[-4000:]
    assert job.stdout.count("all arrived") == 4


@pytest.mark.parametrize(
    ("where", "how", "hang_seconds", "victim"),
    each_nth(5, [(*p, v) for p in LOSSES for v in (0, 2)]),
)
def test_survivors_name_who_is_lost(where: str, how: str, hang_seconds: str, victim: int) -> None:
    """Whatever the place: all end in time, and the process that knows says why."""
    arguments = (where, how, str(victim), "four_stages", hang_seconds)
    found = run_without_launcher("silence.py", *arguments, victim=victim, processes=4)
    for process, ended in found.items():
        assert ended.returncode, process
        assert ended.seconds < 30, process
        if hang_seconds != "0" and (victim or how == "idle"):
            assert " has made no progress for " in ended.stderr
        elif victim:
            assert f"process {victim} has been silent for " in ended.stderr
        else:
            assert f"process {process} ends: process 0, where the coordinator" in ended.stderr
