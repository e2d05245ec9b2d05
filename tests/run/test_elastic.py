"""A job that loses a process goes on from its checkpoint with those that are left."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "elastic.py"


def start(folder: Path, processes: int) -> subprocess.Popen[str]:
    counts = ["--processes", str(processes), "--devices-per-process", "2"]
    environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
    return subprocess.Popen(
        [sys.executable, "-m", "alpa_mlir.cli.run", *counts, str(SCRIPT), str(folder)],
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def losses(text: str) -> dict[int, float]:
    """By step, as process 0 has printed them."""
    return {
        int(number): float(loss)
        for number, loss in re.findall(r"\[0\] step (\d+): loss (\d+\.\d+)", text)
    }


def process_of_job(launcher: int, number: int) -> int:
    """The id of a process that the launcher has started."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    for child in children:
        environment = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        if f"ALPA_PROCESS_ID={number}".encode() in environment:
            return int(child)
    raise LookupError(f"expected process {number} of the job, got {children}")


def lose_process_after_step(job: subprocess.Popen[str], number: int) -> str:
    """What the job has printed by then, and what it says of its end."""
    assert job.stdout is not None
    lines: list[str] = []
    for line in job.stdout:
        lines.append(line)
        if line.startswith(f"[0] step {number}:"):
            os.kill(process_of_job(job.pid, 1), signal.SIGKILL)
            break
    out, error = job.communicate(timeout=120)
    assert job.returncode == 137, error[-2000:]
    assert "error: process 1 was killed by signal 9" in error
    return "".join(lines) + out


def test_losses_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    folder = tmp_path / "lost"
    before = losses(lose_process_after_step(start(folder, 2), 6))
    kept = sorted(int(each.name) for each in folder.iterdir() if each.name.isdecimal())
    assert kept
    assert kept[-1] <= max(before)
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(folder / str(kept[-1]), undisturbed / str(kept[-1]))
    found: list[dict[int, float]] = []
    for where, processes in ((folder, 1), (undisturbed, 2)):
        job = start(where, processes)
        out, error = job.communicate(timeout=240)
        assert job.returncode == 0, error[-2000:]
        found.append(losses(out))
    after, expected = found
    assert list(expected) == list(range(kept[-1] + 1, 13))
    assert list(after) == list(expected)
    np.testing.assert_allclose(list(after.values()), list(expected.values()), rtol=1e-5)
    again = [before[number] for number in expected if number in before]
    np.testing.assert_allclose(again, list(expected.values())[: len(again)], rtol=1e-5)
