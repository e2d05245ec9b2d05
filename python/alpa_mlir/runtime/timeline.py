"""Measures when every task of a step runs.

JAX tells when an array is there, not when its program began. A watcher per mesh waits for tasks in
their order, one per link for transfers; a task begins when it has been issued, the task before it
on its mesh has ended, and what it reads has arrived. Arrays may be donated before a watcher comes
to them, so it waits for a copy of one element, made on the first device of the mesh.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

from alpa_mlir.program.placement import devices_of
from alpa_mlir.runtime.driver import Driver
from alpa_mlir.runtime.issued import IssuedInstruction
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.schedule.instructions import Run, Transfer
from alpa_mlir.schedule.schedule import Phase, Schedule, Task
from alpa_mlir.schedule.values import Buffer
from alpa_mlir.simulate.drawing import save_trace, to_svg
from alpa_mlir.simulate.timeline import (
    StageDurations,
    TimedTask,
    Timeline,
    make_timeline,
    simulate,
)


@dataclass(frozen=True, eq=False)
class PipelineTimeline:
    """One step as it ran, and as it was planned.

    Attributes:
      result: of the step.
      measured: when every task ran, from the call on.
      durations: of every stage, means over microbatches; of transfers, those to neighbours.
      prologue_seconds: how long the prologue took.
      planned: when the plan says they run; None where there was no plan.
    """

    result: Any
    measured: Timeline
    durations: tuple[StageDurations, ...]
    prologue_seconds: float
    planned: Timeline | None = None

    def simulated(self) -> Timeline:
        """The schedule with these durations on meshes that wait for nothing but their inputs."""
        return simulate(self.measured.schedule, self.durations, self.prologue_seconds)

    def save_trace(self, path: str | Path) -> None:
        """For ui.perfetto.dev or chrome://tracing.

        Raises:
          ScheduleError: the file cannot be written; it is what it was.
        """
        save_trace(path, self._timelines())

    def to_svg(self) -> str:
        return to_svg(self._timelines())

    def _timelines(self) -> dict[str, Timeline]:
        planned = {} if self.planned is None else {"planned": self.planned}
        return {**planned, "measured": self.measured}


class Recorder:
    """Runs steps and measures them."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._probes = compile_probes(driver)

    def record(self, args: tuple[Any, ...]) -> PipelineTimeline:
        """The result of one step, and when its tasks ran."""
        driver, watchers = self._driver, _Watchers()
        begin = time.perf_counter()
        issue_seconds: dict[Task, float] = {}
        leaves, store = driver.start(args)
        try:
            for index, each in enumerate(driver.issued):
                if isinstance(each.instruction, Run):
                    issue_seconds[each.instruction.task] = time.perf_counter() - begin
                each.issue(store)
                if index in self._probes:
                    slot, probe = self._probes[index]
                    watchers.watch(_stream(each), index, probe(store[slot].addressable_data(0)))
        finally:
            end_seconds = watchers.join()
        result = driver.finish(leaves, store)
        seen = {index: end - begin for index, end in end_seconds.items()}
        ends = without_late_watchers(driver.issued, seen)
        return _assemble(driver, result, issue_seconds, ends)


def compile_probes(driver: Driver) -> dict[int, tuple[int, Callable[[Any], Any]]]:
    """By the number of an issued instruction, the slot it writes and a program that copies one
    element of the array there: what is ready when the instruction is done."""
    return {
        index: _compile_probe(driver.layout, *probed)
        for index, each in enumerate(driver.issued)
        if (probed := _probed(driver.layout, each))
    }


class _Watchers:
    """A thread for each stream of things that end in order."""

    def __init__(self) -> None:
        self._queues: dict[Any, queue.SimpleQueue[tuple[int, Any] | None]] = {}
        self._threads: list[threading.Thread] = []
        self._ends: dict[int, float] = {}

    def watch(self, stream: Any, index: int, array: Any) -> None:
        if stream not in self._queues:
            waiting = self._queues[stream] = queue.SimpleQueue()
            self._threads.append(threading.Thread(target=self._wait, args=(waiting,)))
            self._threads[-1].start()
        self._queues[stream].put((index, array))

    def _wait(self, waiting: queue.SimpleQueue[tuple[int, Any] | None]) -> None:
        while item := waiting.get():
            index, array = item
            array.block_until_ready()
            self._ends[index] = time.perf_counter()

    def join(self) -> dict[int, float]:
        for waiting in self._queues.values():
            waiting.put(None)
        for thread in self._threads:
            thread.join()
        return self._ends


def _stream(each: IssuedInstruction) -> tuple[int, ...]:
    instruction = each.instruction
    return (each.mesh, instruction.target) if isinstance(instruction, Transfer) else (each.mesh,)


def _probed(layout: Layout, each: IssuedInstruction) -> tuple[int, Buffer] | None:
    """Mesh and buffer to wait for; None if the instruction makes none that can be read."""
    match each.instruction:
        case Run():
            mesh, buffers = each.mesh, each.instruction.writes
        case Transfer():
            mesh, buffers = each.instruction.target, each.instruction.reads
        case _:
            return None
    for buffer in buffers:
        aval = layout.aval(buffer)
        if aval.size and not jnp.issubdtype(aval.dtype, jax.dtypes.extended):
            return mesh, buffer
    return None


def _compile_probe(layout: Layout, mesh: int, buffer: Buffer) -> tuple[int, Callable[[Any], Any]]:
    """The buffer's slot, and a program that copies one element of its first tile."""
    aval, sharding = layout.aval(buffer), layout.sharding(mesh, buffer)
    device = devices_of(sharding)[0]
    rank = len(aval.shape)
    jitted = jax.jit(
        lambda tile: jax.lax.slice(tile, (0,) * rank, (1,) * rank),
        in_shardings=SingleDeviceSharding(device),
    )
    struct = jax.ShapeDtypeStruct(sharding.shard_shape(aval.shape), aval.dtype)
    return layout.slot(mesh, buffer), jitted.lower(struct).compile()


def without_late_watchers(
    issued: Sequence[IssuedInstruction], seen: dict[int, float]
) -> dict[int, float]:
    """Ends no later than what shows that they were before: a watcher may wake up late.

    A task has ended when the next one of its mesh has, and when what it sends has arrived; that has
    arrived when a task that reads it has ended.
    """
    ends = dict(seen)
    latest: dict[int, float] = {}  # end of a task, by mesh
    read: dict[tuple[int, Buffer], float] = {}
    for index in reversed(range(len(issued))):
        mesh, instruction = issued[index].mesh, issued[index].instruction
        end = ends.get(index, float("inf"))
        if isinstance(instruction, Transfer):
            there = ((instruction.target, buffer) for buffer in instruction.reads)
            end = min([end, *(read[at] for at in there if at in read)])
            latest[mesh] = min(end, latest.get(mesh, end))
        elif isinstance(instruction, Run):
            end = min(end, latest.get(mesh, end))
            latest[mesh] = end
            read.update(((mesh, buffer), end) for buffer in instruction.reads)
        if index in ends:
            ends[index] = end
    return ends


def _assemble(
    driver: Driver, result: Any, issue_seconds: dict[Task, float], ends: dict[int, float]
) -> PipelineTimeline:
    schedule = driver.program.schedule
    arrivals: dict[tuple[int, Buffer], float] = {}
    meshes: list[list[TimedTask]] = [[] for _ in schedule.meshes]
    for index, each in enumerate(driver.issued):
        instruction = each.instruction
        if isinstance(instruction, Transfer):
            for buffer in instruction.reads:
                arrivals[instruction.target, buffer] = ends.get(index, 0.0)
        if isinstance(instruction, Run):
            before = meshes[each.mesh][-1].end_seconds if meshes[each.mesh] else 0.0
            arrived = (arrivals.get((each.mesh, buffer), 0.0) for buffer in instruction.reads)
            start = max(before, issue_seconds[instruction.task], *arrived)
            timed = TimedTask(instruction.task, start, max(start, ends.get(index, start)))
            meshes[each.mesh].append(timed)
    timeline = make_timeline(schedule, tuple(map(tuple, meshes)), schedule.peak_in_flight())
    seconds = _task_seconds(timeline)
    sends = _send_seconds(driver, timeline, arrivals)
    durations = tuple(
        StageDurations(
            forward_seconds=_mean(seconds.get((stage, Phase.FORWARD))),
            backward_seconds=_mean(seconds.get((stage, Phase.BACKWARD))),
            update_seconds=sum(seconds.get((stage, Phase.UPDATE), [])),
            send_forward_seconds=_mean(sends.get((stage, stage + 1))),
            send_backward_seconds=_mean(sends.get((stage, stage - 1))),
        )
        for stage in range(schedule.num_stages)
    )
    prologue = schedule.prologue and sum(seconds.get((schedule.prologue.stage, Phase.PROLOGUE), []))
    return PipelineTimeline(result, timeline, durations, prologue or 0.0)


def _task_seconds(timeline: Timeline) -> dict[tuple[int, Phase], list[float]]:
    seconds: dict[tuple[int, Phase], list[float]] = {}
    for timed in timeline.tasks():
        key = (timed.task.stage, timed.task.phase)
        seconds.setdefault(key, []).append(timed.end_seconds - timed.start_seconds)
    return seconds


def _send_seconds(
    driver: Driver, timeline: Timeline, arrivals: dict[tuple[int, Buffer], float]
) -> dict[tuple[int, int], list[float]]:
    """By sending and receiving stage, of what forwards and backwards send."""
    values, schedule = driver.program.values, timeline.schedule
    stages_of_mesh = {mesh: stage for stage, mesh in schedule.mesh_of_stage.items()}
    sends: dict[tuple[int, int], list[float]] = {}
    for timed in timeline.tasks():
        if not timed.task.phase.runs_per_microbatch:
            continue
        for mesh, buffer in _copies(values.outputs(timed.task), arrivals, schedule):
            key = (timed.task.stage, stages_of_mesh[mesh])
            sends.setdefault(key, []).append(max(0.0, arrivals[mesh, buffer] - timed.end_seconds))
    return sends


def _copies(
    buffers: Sequence[Buffer], arrivals: dict[tuple[int, Buffer], float], schedule: Schedule
) -> Iterator[tuple[int, Buffer]]:
    for buffer in buffers:
        for mesh in range(len(schedule.meshes)):
            if (mesh, buffer) in arrivals:
                yield mesh, buffer


def _mean(seconds: list[float] | None) -> float:
    return fmean(seconds) if seconds else 0.0
