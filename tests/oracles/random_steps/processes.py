"""Judges random steps in processes of their own, so that crashes and hangs cost nothing else."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO

from programs.random_steps.spec import RandomStep

from oracles.random_steps.methods import Asked
from oracles.random_steps.verdicts import CRASH, FAULT, HANG, Verdict

TESTS = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 60.0
PROGRAMS_PER_PROCESS = 40  # what XLA compiles stays in memory
FLAGS = (
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
)


class Clock:
    """Time is up when it has passed and was used; on a busy machine, when thrice it has passed."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.start = time.perf_counter()
        self._start_of_use = self._used_seconds()

    def has_run_for(self, seconds: float) -> bool:
        passed = time.perf_counter() - self.start
        is_used = self._used_seconds() - self._start_of_use >= seconds / 2
        return passed >= 3 * seconds or (passed >= seconds and is_used)

    def _used_seconds(self) -> float:
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            return float("inf")
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Worker:
    """Starts a process when there is something to judge, and another one after each that ended."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.limit_seconds = limit_seconds
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._num_programs = 0

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._errors.close()

    def judge(self, step: RandomStep, asked: Asked) -> Verdict:
        if self._process is None or self._num_programs >= PROGRAMS_PER_PROCESS:
            self._stop()
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        self._num_programs += 1
        process.stdin.write(json.dumps({"step": step.to_json(), "asked": asdict(asked)}) + "\n")
        process.stdin.flush()
        phase, clock = "start", Clock(process.pid)
        while True:
            try:
                line = self._lines.get(timeout=1.0 if self.limit_seconds else 0)
            except queue.Empty:
                if not clock.has_run_for(self.limit_seconds):
                    continue
                kind = HANG if phase == "parallel" else FAULT
                return self._give_up(kind, f"{self.limit_seconds:.0f} s in {phase}", clock)
            if line is None:
                kind = CRASH if phase == "parallel" else FAULT
                return self._give_up(kind, f"code {process.wait()} in {phase}", clock)
            if line.startswith("at "):
                phase, clock = line[3:].strip(), Clock(process.pid)
            if line.startswith("=> "):
                return Verdict(**json.loads(line[3:]))

    def _give_up(self, kind: str, message: str, clock: "Clock") -> Verdict:
        self._stop()
        self._errors.seek(0)
        said = [line.strip() for line in self._errors.read().splitlines()]
        frames = [line for line in said if "alpa_mlir" in line and line.startswith("File")]
        detail = frames[:2] if frames else [line for line in said if line][-2:]
        seconds = time.perf_counter() - clock.start
        return Verdict(kind, f"{message}: {'; '.join(detail)}"[:600], seconds)

    def _start(self) -> None:
        self._errors.seek(0)
        self._errors.truncate()
        self._lines = queue.Queue()
        self._num_programs = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "oracles.random_steps.worker"],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        arguments = self._process.stdout, self._lines
        self._reader = threading.Thread(target=_read, args=arguments, daemon=True)
        self._reader.start()

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None


def _environment() -> dict[str, str]:
    paths = [str(TESTS), str(TESTS.parent / "python"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "XLA_FLAGS": " ".join(FLAGS),
        "JAX_PLATFORMS": "cpu",
        "NPROC": "32",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _read(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


Task = tuple[RandomStep, Asked]


def judge_all(
    tasks: Sequence[Task], num_workers: int = 2, limit_seconds: float = LIMIT_SECONDS
) -> Iterator[tuple[Task, Verdict]]:
    """In the order of `tasks`."""
    workers: queue.Queue[Worker] = queue.Queue()
    for _ in range(num_workers):
        workers.put(Worker(limit_seconds))

    def judge(task: Task) -> tuple[Task, Verdict]:
        worker = workers.get()
        try:
            return task, worker.judge(*task)
        finally:
            workers.put(worker)

    with ThreadPoolExecutor(num_workers) as pool:
        yield from pool.map(judge, tasks)
    while not workers.empty():
        with workers.get():
            pass
