"""A compiled pipeline whose steps and single instructions are timed, for pipeline_overhead.py."""

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import alpa_mlir as alpa
import jax
from alpa_mlir.models.workload import Workload
from alpa_mlir.runtime.issued import IssuedInstruction
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.instructions import Free, Transfer

NUM_MICROBATCHES = 8


@dataclass(frozen=True)
class Cost:
    """Of an instruction that runs alone.

    Attributes:
      driver_seconds: CPU time of the thread that issues it.
      seconds: from then on until its results are there; cpu_seconds: of all threads in that time.
    """

    driver_seconds: float
    seconds: float
    cpu_seconds: float

    @property
    def num_cores(self) -> float:
        """That it keeps busy, in the mean."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0


class Rig:
    """A compiled pipeline and arguments for it."""

    def __init__(self, load: Workload, num_stages: int) -> None:
        method = alpa.PipelineParallel(
            num_stages=num_stages,
            num_microbatches=NUM_MICROBATCHES,
            num_layers=num_stages,
            schedule="1f1b",
            num_processes=0,
            cache_dir=None,
        )
        executable = alpa.parallelize(load.train_step, method).compile(*load.abstract_arguments())
        assert isinstance(executable, PipelineExecutable)
        self.plan, self.executable = executable.plan, executable
        self._state = self.executable.create_state(lambda: load.init_state(jax.random.key(0)))
        self._batch = jax.device_get(load.example_batch(jax.random.key(1)))

    def step_seconds(self) -> float:
        """Of a whole step, from the call to the last result."""
        begin = time.perf_counter()
        self._state, loss = self.executable(self._state, self._batch)
        jax.block_until_ready((self._state, loss))
        return time.perf_counter() - begin

    def placing_seconds(self) -> float:
        """Until the arguments of a step are where it reads them."""
        begin = time.perf_counter()
        _, store = self.executable.driver.start((self._state, self._batch))
        jax.block_until_ready([array for array in store if array is not None])
        return time.perf_counter() - begin

    def one_by_one(self) -> list[Cost]:
        """A step whose instructions wait for one another."""
        leaves, store = self.executable.driver.start((self._state, self._batch))
        jax.block_until_ready([array for array in store if array is not None])
        costs = [self._alone(each, store) for each in self.executable.driver.issued]
        self._state, _ = self.executable.driver.finish(leaves, store)
        return costs

    def _alone(self, each: IssuedInstruction, store: list[Any]) -> Cost:
        begin, cpu_begin, driver_begin = (
            time.perf_counter(),
            time.process_time(),
            time.thread_time(),
        )
        each.issue(store)
        driver_seconds = time.thread_time() - driver_begin
        jax.block_until_ready([store[slot] for slot in self._written(each)])
        seconds = time.perf_counter() - begin - driver_seconds
        cpu_seconds = time.process_time() - cpu_begin - driver_seconds
        if isinstance(each.instruction, Free):
            return Cost(driver_seconds, 0.0, 0.0)
        return Cost(driver_seconds, max(0.0, seconds), max(0.0, cpu_seconds))

    def _written(self, each: IssuedInstruction) -> tuple[int, ...]:
        instruction, layout = each.instruction, self.executable.driver.layout
        if isinstance(instruction, Transfer):
            return layout.slots(instruction.target, instruction.reads)
        return layout.slots(each.mesh, instruction.writes)


def mean_costs(runs: Sequence[Sequence[Cost]]) -> list[Cost]:
    """Of every instruction."""
    return [
        Cost(
            fmean(cost.driver_seconds for cost in costs),
            fmean(cost.seconds for cost in costs),
            fmean(cost.cpu_seconds for cost in costs),
        )
        for costs in zip(*runs, strict=True)
    ]


def fastest_drivers(runs: Sequence[Sequence[Cost]]) -> list[float]:
    """Seconds of every instruction."""
    return [min(cost.driver_seconds for cost in costs) for costs in zip(*runs, strict=True)]


def free_cores(seconds: float = 0.05) -> float:
    """How many cores the machine gives as many busy threads as it has cores."""
    num_threads, data = os.cpu_count() or 1, bytes(1 << 18)
    begin, cpu_begin = time.perf_counter(), time.process_time()

    def work(_: int) -> None:
        while time.perf_counter() - begin < seconds:
            hashlib.sha256(data)

    with ThreadPoolExecutor(num_threads) as pool:
        list(pool.map(work, range(num_threads)))
    return (time.process_time() - cpu_begin) / (time.perf_counter() - begin)
