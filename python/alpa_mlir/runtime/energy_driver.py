"""Runs steps with a frequency for every task: the driver as it is, and beside it who sets clocks.

A task begins when the one before it on its mesh has ended and what it reads has arrived. A thread
per mesh waits for that, in the order of the tasks, and asks for the task's clock. It waits for
copies of one element, as `timeline` does, because arrays may be donated before it comes to them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from alpa_mlir.energy.clocks import ClockController, Clocks
from alpa_mlir.energy.frequencies import EnergyPlan
from alpa_mlir.errors import EnergyError
from alpa_mlir.runtime.driver import Driver
from alpa_mlir.runtime.issued import Store
from alpa_mlir.runtime.timeline import compile_probes
from alpa_mlir.schedule.instructions import Run, Transfer
from alpa_mlir.schedule.schedule import Task
from alpa_mlir.schedule.values import Buffer

_Begin = tuple[Task, list[Any]]


class EnergyDriver:
    """Steps may overlap, as without it. Close it to have the clocks restored; a step that raises
    closes it, and later ones run without."""

    def __init__(self, driver: Driver, plan: EnergyPlan, clocks: Clocks) -> None:
        """Raises EnergyError where the plan is of another schedule."""
        self._driver = driver
        self._frequencies = _checked(driver, plan)
        self._probes = compile_probes(driver)
        self.controller = ClockController(clocks, driver.program.schedule.num_stages)
        self._watchers = [_Watcher(self._request) for _ in driver.program.schedule.meshes]
        self._is_open = True

    def run(self, args: tuple[Any, ...]) -> Any:
        """As `Driver.run`."""
        if not self._is_open:
            return self._driver.run(args)
        try:
            leaves, store = self._driver.start(args)
            self._issue(store)
            return self._driver.finish(leaves, store)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Waits for tasks that were issued to begin; does nothing the second time."""
        if self._is_open:
            self._is_open = False
            for watcher in self._watchers:
                watcher.join()
            self.controller.close()

    def _issue(self, store: Store) -> None:
        ended: dict[int, Any] = {}  # by mesh, what shows that its last task has
        arrived: dict[tuple[int, Buffer], Any] = {}
        for index, each in enumerate(self._driver.issued):
            instruction = each.instruction
            if isinstance(instruction, Run):
                awaited = [arrived.get((each.mesh, buffer)) for buffer in instruction.reads]
                begin = [array for array in (ended.get(each.mesh), *awaited) if array is not None]
                self._watchers[each.mesh].watch(instruction.task, begin)
            each.issue(store)
            if index not in self._probes:
                continue
            slot, probe = self._probes[index]
            array = probe(store[slot].addressable_data(0))
            if isinstance(instruction, Run):
                ended[each.mesh] = array
            elif isinstance(instruction, Transfer):
                arrived.update(((instruction.target, b), array) for b in instruction.reads)

    def _request(self, task: Task) -> None:
        if (megahertz := self._frequencies.get(task)) is not None:
            self.controller.request(task.stage, megahertz)


class _Watcher:
    """Tells of the tasks of a mesh when they begin."""

    def __init__(self, tell: Callable[[Task], None]) -> None:
        self._tell = tell
        self._queue: queue.SimpleQueue[_Begin | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def watch(self, task: Task, awaited: list[Any]) -> None:
        self._queue.put((task, awaited))

    def join(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _wait(self) -> None:
        while item := self._queue.get():
            task, awaited = item
            try:
                for array in awaited:
                    array.block_until_ready()
            except Exception:  # of the program; who reads its result hears of it
                continue
            self._tell(task)


def _checked(driver: Driver, plan: EnergyPlan) -> dict[Task, float]:
    """The plan's frequencies, if they are of tasks that the driver runs."""
    runs = {e.instruction.task for e in driver.issued if isinstance(e.instruction, Run)}
    planned = {task for task in plan.frequencies if task.phase.runs_per_microbatch}
    run = {task for task in runs if task.phase.runs_per_microbatch}
    if planned != run:
        odd = min(map(str, planned ^ run))
        raise EnergyError(
            f"expected an energy plan of the {len(run)} tasks of this pipeline, got one of "
            f"{len(planned)} ({odd} is in one of them only); make it by plan.energy()"
        )
    return plan.frequencies
