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
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
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

    def costs(
        self, questions: Iterable[StageQuestion], num_questions: int, title: str
    ) -> list[StageCost | None]:
        """The answers, in order; None where a stage fits in no way, or none was found in time.

        What the questions are made of is made beside the answers to those before.
        """
        digests: list[str] = []
        waiting: dict[str, StageQuestion] = {}  # until there are enough for processes
        asked: dict[str, Future[StageCost | None]] = {}
        with self.stopwatch.counted(title, num_questions) as advance:
            try:
                for question in questions:
                    digest = question.digest
                    digests.append(digest)
                    if digest in waiting or digest in asked or self._is_known(digest):
                        advance()
                        continue
                    waiting[digest] = question
                    if self._has_processes_for(len(waiting)):
                        asked |= self._ask(waiting)
                        waiting = {}
                for digest, question in waiting.items():
                    self._keep(digest, partial(cost_stage, question, parse=self._parse))
                    advance()
                for digest, answer in asked.items():
                    self._keep(digest, answer.result)
                    advance()
            except BaseException:  # Ctrl-C, too: what processes work on is no longer wanted
                self.__exit__()
                raise
        return [self._answers[digest] for digest in digests]

    def _has_processes_for(self, num_questions: int) -> bool:
        is_few = num_questions < _MIN_QUESTIONS_FOR_PROCESSES
        return self.num_processes > 1 and (self._workers is not None or not is_few)

    def _ask(self, questions: dict[str, StageQuestion]) -> dict[str, Future[StageCost | None]]:
        if self._workers is None:
            self._workers = _Workers(self.num_processes)
        return {digest: self._workers.ask(question) for digest, question in questions.items()}

    def _is_known(self, digest: str) -> bool:
        if digest not in self._answers and self.cache is not None:
            is_there, cost = self.cache.read(digest)
            if is_there:
                self._answers[digest] = cost
        return digest in self._answers

    def _keep(self, digest: str, answer: Callable[[], StageCost | None]) -> None:
        """None where there was no time for one. What more time may better is not for the disk."""
        cost, is_final = None, False
        with suppress(SolverError):
            cost = answer()
            is_final = cost is None or not cost.is_cut_off
        self._answers[digest] = cost
        self.stopwatch.is_cut_short |= not is_final
        if self.cache and is_final:
            self.cache.write(digest, cost)


class _Workers:
    """Processes that answer questions, each one at a time."""

    def __init__(self, num_processes: int) -> None:
        self._num_processes = num_processes
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        self._all: list[subprocess.Popen[str]] = []
        self._threads = ThreadPoolExecutor(num_processes)  # each waits for a process
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
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._all:  # whoever waits for one wakes up
            process.kill()
        for process in self._all:
            process.communicate()

    def ask(self, question: StageQuestion) -> Future[StageCost | None]:
        return self._threads.submit(self._ask_one, question)

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
