"""The same script in several processes: plans, pipelines, transfers, and how jobs end."""

import re
import time
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from oracles.jobs import (
    Trained,
    assert_as_in_one,
    run_job,
    run_without_launcher,
    train_in_one,
    train_in_processes,
)

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


@pytest.mark.xdist_group("trained")
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_train_as_one(
    folder: Path, trained: dict[str, list[Trained]], method: str
) -> None:
    alone, executable = train_in_one(folder, "mlp", method)
    assert_as_in_one(trained[method], alone, executable, METHODS[method])


def test_random_transfers_arrive_equal() -> None:
    assert_all_say(run_job("transfers.py", "40", devices=3), "all arrived")


def test_arguments_come_in_every_way() -> None:
    assert_all_say(run_job("arguments.py"), "all equal")


def test_processes_load_only_the_rows_they_read() -> None:
    assert_all_say(run_job("own_rows.py"), "all equal")


def assert_all_say(job: CompletedProcess[str], what: str) -> None:
    assert job.returncode == 0, job.stderr[-4000:]
    # XLA's Gloo writes to the same stream, between lines.
    assert job.stdout.count(what) == 2


# --- How jobs end ---


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("program", "ProcessError: expected the same program in every process, got "),
        ("memory", "InfeasibleError: "),
    ],
)
def test_what_one_process_refuses_all_refuse(way: str, error: str) -> None:
    job = run_job("unlike.py", way)
    assert job.returncode == 1
    for process in range(2):
        assert f"[{process}] alpa_mlir.errors.{error}" in job.stderr


@pytest.mark.parametrize(
    ("way", "told", "end"),
    [
        ("crash", "ValueError: this one", "process 1 ended with exit code 1"),
        ("step", "ValueError: lost in a step", "process 1 ended with exit code 1"),
        ("kill", "", "process 1 was killed by signal 9"),
    ],
)
def test_all_processes_end_when_one_does(way: str, told: str, end: str) -> None:
    begin = time.monotonic()
    job = run_job("unlike.py", way)
    assert job.returncode == (137 if way == "kill" else 1)
    assert f"error: {end}; all processes have ended" in job.stderr
    if told:
        assert f"[0] process 0 ends: process 1 has failed: {told}\n" in job.stderr
    assert time.monotonic() - begin < 120  # JAX's own way out takes five minutes


@pytest.mark.parametrize(("how", "hang_seconds"), [("kill", "0"), ("stop", "0"), ("stop", "3")])
def test_lost_process_is_named_without_launcher(how: str, hang_seconds: str) -> None:
    arguments = ("step", how, "1", "1f1b", hang_seconds)
    ended = run_without_launcher("silence.py", *arguments, victim=1)[0]
    assert ended.returncode == 75
    assert ended.seconds < 30
    reason = "process 1 has been silent for "
    if hang_seconds != "0":
        reason = r"step \d has made no progress for "
        assert "    waits at 'run B0." in ended.stderr
        assert " of mesh 1 of process 1\n" in ended.stderr
    assert re.search(f"process 0 ends: {reason}", ended.stderr)
    assert "  process 1, last heartbeat " in ended.stderr


def test_lost_coordinator_is_named() -> None:
    ended = run_without_launcher("silence.py", "step", "kill", "0", "1f1b", "0", victim=0)[1]
    assert ended.returncode
    assert ended.seconds < 30
    assert "process 1 ends: process 0, where the coordinator of the job is, has " in ended.stderr
