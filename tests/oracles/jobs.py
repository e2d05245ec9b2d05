"""Runs jobs of several processes, and compares what they computed with one process."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import numpy as np
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.instructions import Transfer
from programs.job_training import job_model, train

TESTS = Path(__file__).resolve().parents[1]
JOBS = TESTS / "programs" / "jobs"


def run_job(
    job: str, *arguments: str, processes: int = 2, devices: int = 2, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """Starts a script of `JOBS` with `alpa-run`."""
    path = os.pathsep.join([str(TESTS), *sys.path])
    # What keeps XLA's threads from waiting for one another is ours to set, not the user's.
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    counts = ["--processes", str(processes), "--devices-per-process", str(devices)]
    return subprocess.run(
        [sys.executable, "-m", "alpa_mlir.cli.run", *counts, str(JOBS / job), *arguments],
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@dataclass(frozen=True)
class Ended:
    """How a process ended, and when, in seconds after another one was lost."""

    returncode: int
    seconds: float
    stderr: str


def run_without_launcher(
    job: str, *arguments: str, victim: int, processes: int = 2, seconds: float = 120
) -> dict[int, Ended]:
    """How the processes but the victim end, when nobody watches them.

    The victim says "lost" when it is.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, str(JOBS / job), *arguments],
            env=_environment_alone(f"127.0.0.1:{port}", process, processes),
            stdout=subprocess.PIPE if process == victim else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(processes)
    ]
    try:
        lost = started[victim].stdout
        assert lost is not None
        assert "lost" in lost.readline()
        begin = time.monotonic()
        ended: dict[int, Ended] = {}
        for process, each in enumerate(started):
            if process != victim:
                _, stderr = each.communicate(timeout=seconds)
                ended[process] = Ended(each.returncode, time.monotonic() - begin, stderr)
        return ended
    finally:
        for each in started:
            each.kill()
            each.communicate()


def _environment_alone(address: str, process: int, count: int) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name != "NPROC"},
        "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]),
        "JAX_COORDINATOR_ADDRESS": address,
        "ALPA_NUM_PROCESSES": str(count),
        "ALPA_PROCESS_ID": str(process),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
    }


@dataclass(frozen=True)
class Trained:
    """What one process saw of a training."""

    losses: list[float]
    shards: dict[str, np.ndarray]
    seen: dict[str, Any]


def train_in_processes(
    folder: Path, model: str, methods: Sequence[str], processes: int = 2, devices: int = 2
) -> dict[str, list[Trained]]:
    """What each process saw, by method."""
    job = run_job("train.py", str(folder), model, *methods, processes=processes, devices=devices)
    assert job.returncode == 0, job.stderr[-4000:]
    return {
        method: [_read(folder / f"{method}.{process}") for process in range(processes)]
        for method in methods
    }


def _read(path: Path) -> Trained:
    seen = json.loads(path.with_name(f"{path.name}.json").read_text())
    with np.load(path.with_name(f"{path.name}.npz")) as arrays:
        return Trained(seen["losses"], dict(arrays), seen)


def train_in_one(folder: Path, model_name: str, method: str) -> tuple[Trained, Any]:
    """The same plan in this process, and its executable."""
    model = job_model(model_name)
    plan = alpa.Plan.load(folder / f"{method}.plan.json")
    step = alpa.parallelize(model.train_step, alpa.FixedPlan(plan))
    return Trained(*train(model, step), {}), step.executable


def assert_as_in_one(
    found: Sequence[Trained], alone: Trained, executable: Any, exactly: bool
) -> None:
    """Losses in every process and the shards of all together are those of one process.

    Args:
      exactly: bit for bit, else within 1e-5.
    """
    compare = np.testing.assert_array_equal if exactly else _assert_close
    for each in found:
        compare(each.losses, alone.losses)
    assert sorted(key for each in found for key in each.shards) == sorted(alone.shards)
    for each in found:
        for key, shard in each.shards.items():
            compare(shard, alone.shards[key])
    if isinstance(executable, PipelineExecutable):
        assert_own_share(found, executable)


def assert_own_share(found: Sequence[Trained], executable: PipelineExecutable[Any]) -> None:
    """Stages are compiled where they run; an instruction is issued where it is carried out."""
    plan, num_processes = executable.plan, len(found)
    per_process = plan.cluster.num_devices // num_processes
    owners = [
        {number // per_process for number in range(s.devices.start, s.devices.stop)}
        for s in plan.stages
    ]
    for process, each in enumerate(found):
        assert each.seen["stages"] == [s for s, own in enumerate(owners) if process in own]
        assert each.seen["transport"] == "transfer servers"
    assert max(each.seen["memory"] for each in found) == executable.memory_analysis()
    issued = [
        owners[mesh] | (owners[done.target] if isinstance(done, Transfer) else set())
        for mesh, done in ((each.mesh, each.instruction) for each in executable.driver.issued)
    ]
    counts = [sum(process in each for each in issued) for process in range(num_processes)]
    assert [each.seen["num_issued"] for each in found] == counts


def _assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
