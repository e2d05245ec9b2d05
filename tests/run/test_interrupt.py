"""Ctrl-C while worker processes plan: planning ends at once, and no process is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent

import pytest

PATIENCE_SECONDS = 60
PROMPT_SECONDS = 10

# A job in the background, as of continuous integration, is born deaf to SIGINT.
PROGRAM = dedent("""
    import signal

    signal.signal(signal.SIGINT, signal.default_int_handler)

    import alpa_mlir as alpa
    import optax
    from alpa_mlir.models.workload import workload

    work = workload("gpt", "debug", 16, optax.adam(1e-3), num_layers=8)
    method = alpa.PipelineParallel(
        num_stages=4, num_microbatches=4, num_layers=8, num_processes=2, cache_dir=None
    )
    step = alpa.parallelize(work.train_step, method, alpa.Cluster.preset("p3.16xlarge"))
    print("planning", flush=True)
    step.plan(*work.abstract_arguments())
    print("planned", flush=True)
""")

pytestmark = pytest.mark.skipif(
    not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="needs Linux's /proc"
)


def children(pid: int) -> list[int]:
    """Of all threads of a process; none where it has ended."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            continue
    return found


def is_worker(pid: int) -> bool:
    try:
        return b"cost_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_for_workers(process: subprocess.Popen[str]) -> list[int]:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if len(workers := [pid for pid in children(process.pid) if is_worker(pid)]) == 2:
            return workers
        time.sleep(0.05)
    raise AssertionError("no worker was seen")


# A terminal tells all processes of the group; a notebook's stop button the planning one only.
@pytest.mark.parametrize(
    ("is_terminal", "delay"),
    [(True, 2), (False, 0), (False, 2)],
    ids=["terminal", "notebook, while they start", "notebook"],
)
def test_no_worker_outlives_an_interrupt(is_terminal: bool, delay: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            workers = wait_for_workers(process)
            time.sleep(delay)
            start = time.monotonic()
            (os.killpg if is_terminal else os.kill)(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            process.kill()
    assert time.monotonic() - start < PROMPT_SECONDS
    assert out == "planning\n"
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode != 0
    # One that the interrupt met between its birth and our list ends by itself: its input has.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and any(map(is_worker, workers)):
        time.sleep(0.05)
    assert not any(map(is_worker, workers))
