"""Costs of many stages: each question once, from disk where it was answered before, the others by
several processes.

The processes are `python -m alpa_mlir.inter_op.cost_worker`, spoken to in lines of JSON: they need
nothing of the program that plans, so a script that plans at its top level is not run again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from alpa_mlir.errors import AlpaError, ClusterError, PassError, PlanError, SolverError
from alpa_mlir.inter_op.cost_cache import CostCache
from alpa_mlir.inter_op.cost_stage import Parse, cost_stage, parse_once
from alpa_mlir.inter_op.costs import StageCost, StageQuestion
from alpa_mlir.progress import Stopwatch

# Starting a process costs as much as some small questions.
_MIN_QUESTIONS_FOR_PROCESSES = 8


# A SolverError says that no answer was found in time.
Answer = StageCost | SolverError | None

# What a process may answer with instead, by name.
_ERRORS = {kind.__name__: kind for kind in (PassError, PlanError, SolverError, ClusterError)}


@dataclass
class CostTable(AbstractContextManager["CostTable"]):
    """Answers so far. Processes are started when they are needed first, and end with its context.

    Attributes:
      cache: where answers are kept; None keeps none.
      num_processes: 0 answers in this process.
    """

    cache: CostCache | None = None
    num_processes: int = 0
    stopwatch: Stopwatch = field(default_factory=lambda: Stopwatch("stages"))
    _answers: dict[str, StageCost | None] = field(default_factory=dict[str, StageCost | None])
    _workers: _Workers | None = None
    _parse: Parse = field(default_factory=parse_once)

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.end()
            self._workers = None

    def costs(self, questions: Sequence[StageQuestion], title: str) -> list[StageCost | None]:
        """The answers, in order; None where a stage fits in no way, or none was found in time."""
        digests = [question.digest for question in questions]
        missing = dict(zip(digests, questions, strict=True))
        for digest in list(missing):
            if digest in self._answers or self._read(digest):
                del missing[digest]
        for digest, cost in self._answer(missing, title):
            self._answers[digest] = None if isinstance(cost, SolverError) else cost
            if self.cache and not _is_cut_off(cost):  # more time may find a better one
                self.cache.write(digest, self._answers[digest])
        return [self._answers[digest] for digest in digests]

    def _answer(
        self, missing: dict[str, StageQuestion], title: str
    ) -> Iterator[tuple[str, Answer]]:
        with self.stopwatch.counted(title, len(missing)) as advance:
            is_few = len(missing) < _MIN_QUESTIONS_FOR_PROCESSES and self._workers is None
            if self.num_processes < 2 or len(missing) < 2 or is_few:
                for digest, question in missing.items():
                    yield digest, _or_timeout(partial(cost_stage, question, parse=self._parse))
                    advance()
                return
            if self._workers is None:
                self._workers = _Workers(self.num_processes)
            try:
                for digest, cost in self._workers.ask(missing):
                    yield digest, cost
                    advance()
            except BaseException:  # Ctrl-C, too: what they work on is no longer wanted
                self.__exit__()
                raise

    def _read(self, digest: str) -> bool:
        if self.cache is None:
            return False
        is_there, cost = self.cache.read(digest)
        if is_there:
            self._answers[digest] = cost
        return is_there


def _is_cut_off(answer: Answer) -> bool:
    """Whether a time limit ended the search for it."""
    return isinstance(answer, SolverError) or (answer is not None and answer.is_cut_off)


def _or_timeout(answer: Callable[[], StageCost | None]) -> Answer:
    try:
        return answer()
    except SolverError as error:
        return error


def _work(question: StageQuestion) -> tuple[int, str, int]:
    """More of it compares greater. Questions on one text are neighbours: it is parsed once."""
    return len(question.text), question.key, question.mesh.num_devices


class _Workers:
    """Processes that answer questions, each one at a time."""

    def __init__(self, num_processes: int) -> None:
        self._num_processes = num_processes
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._all: list[subprocess.Popen[str]] = []
        try:
            self._start()
        except BaseException:
            self.end()
            raise

    def _start(self) -> None:
        environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
        path = str(Path(__file__).resolve().parents[2])
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [path, os.environ.get("PYTHONPATH")])
        )
        for _ in range(self._num_processes):
            process = subprocess.Popen(
                [sys.executable, "-m", "alpa_mlir.inter_op.cost_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            self._all.append(process)
            self._idle.put(process)

    def end(self) -> None:
        for process in self._all:
            process.kill()
        for process in self._all:
            process.communicate()

    def ask(self, questions: dict[str, StageQuestion]) -> Iterator[tuple[str, Answer]]:
        with ThreadPoolExecutor(len(self._all)) as threads:
            # What takes longest must not be left for the end, when nothing is there beside it.
            hardest_first = sorted(questions.items(), key=lambda e: _work(e[1]), reverse=True)
            answers = {d: threads.submit(self._ask_one, q) for d, q in hardest_first}
            try:
                for digest, answer in answers.items():
                    yield digest, _or_timeout(answer.result)
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                for process in self._all:  # whoever waits for one wakes up
                    process.kill()
                raise

    def _ask_one(self, question: StageQuestion) -> StageCost | None:
        process = self._idle.get()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(question.to_json()) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = ""
        finally:
            self._idle.put(process)
        if not line.endswith("\n"):  # it may have ended within the answer
            raise AlpaError(
                f"a planning process ended with code {process.poll()} on a stage for the mesh "
                f"{question.mesh}; set num_processes=0 to see why"
            )
        answer = json.loads(line)
        if "error" in answer:
            raise _ERRORS.get(answer["kind"], AlpaError)(answer["error"])
        return None if answer["cost"] is None else StageCost.from_json(answer["cost"])
