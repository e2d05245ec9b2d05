"""Tasks that run alone, again and again, on what they would read in a step: for measurements.

A task takes the memory of some of its inputs. What it adds to is what it has written before, and an
update goes on from its own results, so that nothing is moved that a step does not move. Other such
inputs are copied before each run: tasks fed with their own results would soon compute with zeros or
infinities, which draw less power than numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.runtime.driver import Driver
from alpa_mlir.runtime.issued import IssuedRun, Store
from alpa_mlir.schedule.instructions import Run
from alpa_mlir.schedule.schedule import Phase, TaskKind


class TaskAlone:
    """A task of a step that has stopped before it."""

    def __init__(
        self, kind: TaskKind, issued: IssuedRun, store: Store, fed: Mapping[int, int | None]
    ) -> None:
        """Args:
        fed: by the position of an input that is used up, the result that it is next; None for a
          copy.
        """
        self.kind = kind
        self._issued = issued
        self._store = store
        self._fed = fed
        self._arrays = issued.read(store)
        self._results: list[Any] | None = None

    def run(self, times: int) -> None:
        """Runs it so often and waits until the last has ended."""
        for _ in range(times):
            self._issue()
        jax.block_until_ready(self._results)

    def finish(self) -> None:
        """Writes what it has written last, for the step to go on."""
        if self._results is None:
            self._issue()
        assert self._results is not None
        for slot, array in zip(self._issued.writes, self._results, strict=True):
            self._store[slot] = array

    def _issue(self) -> None:
        arrays = list(self._arrays)
        for position, result in self._fed.items():
            if result is None:
                arrays[position] = jnp.copy(arrays[position])
            elif self._results is not None:
                arrays[position] = self._results[result]
        self._results = list(self._issued.execute(*arrays))


def tasks_alone(
    driver: Driver, donations: Mapping[TaskKind, Sequence[int]], args: tuple[Any, ...]
) -> Iterator[TaskAlone]:
    """Runs one step and stops before the first task of every kind."""
    _, store = driver.start(args)
    seen: set[TaskKind] = set()
    for each in driver.issued:
        run, issue = each.instruction, each.issue
        if not isinstance(run, Run) or not isinstance(issue, IssuedRun) or run.task.kind in seen:
            issue(store)
            continue
        kind = run.task.kind
        seen.add(kind)
        fed = _fed(driver.program.programs[kind], run, donations[kind])
        task = TaskAlone(kind, issue, store, fed)
        yield task
        task.finish()


def _fed(program: AnnotatedProgram, run: Run, donated: Sequence[int]) -> dict[int, int | None]:
    fed: dict[int, int | None] = {
        position: run.writes.index(run.reads[position])
        for position in donated
        if run.reads[position] in run.writes
    }
    results = [
        (aval.shape, aval.dtype, spec)
        for aval, spec in zip(program.out_avals, program.out_specs, strict=True)
    ]
    for position in donated:
        if position in fed:
            continue
        aval = program.in_avals[position]
        key = (aval.shape, aval.dtype, program.in_specs[position])
        free = (n for n, each in enumerate(results) if each == key and n not in fed.values())
        fed[position] = next(free, None) if run.task.phase == Phase.UPDATE else None
    return fed
