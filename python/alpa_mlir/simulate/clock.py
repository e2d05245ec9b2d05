"""Tasks and transfers on a clock: cpp/core/simulate/StepSimulator.h, by the names of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpa_mlir._native import SimulatedStep, StepTask, StepTransfer, TransferRoute, simulate_step
from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.schedule import Task


@dataclass(frozen=True)
class Work:
    """A task, how long it takes, and what it waits for besides those before it on its mesh.

    Attributes:
      after_transfers: numbers of transfers that must have arrived.
    """

    task: Task
    seconds: float
    after_tasks: tuple[Task, ...] = ()
    after_transfers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Sending:
    """A transfer on the route of that number; `after` makes what is sent, None: it is there."""

    route: int
    num_bytes: float
    after: Task | None


@dataclass(frozen=True)
class Network:
    """Routes, and what each of the links that they name carries in a second."""

    routes: tuple[TransferRoute, ...]
    link_bytes_per_second: tuple[float, ...]


def run_clock(
    name: str, meshes: Sequence[Sequence[Work]], sendings: Sequence[Sending], network: Network
) -> tuple[dict[Task, tuple[float, float]], SimulatedStep]:
    """Start and end of every task, and what became of the transfers.

    A mesh runs its tasks in order, a route carries its transfers in order, and transfers of several
    routes share links as cpp/core/simulate/LinkSharing.h says.

    Args:
      name: of the schedule, for errors.

    Raises:
      ScheduleError: a task waits for ever, or takes less than no time.
    """
    works = [work for mesh in meshes for work in mesh]
    numbers = {work.task: number for number, work in enumerate(works)}
    tasks = [
        StepTask(
            mesh,
            work.seconds,
            [numbers[task] for task in work.after_tasks],
            list(work.after_transfers),
        )
        for mesh, mesh_works in enumerate(meshes)
        for work in mesh_works
    ]
    transfers = [
        StepTransfer(
            sending.route,
            sending.num_bytes,
            -1 if sending.after is None else numbers[sending.after],
        )
        for sending in sendings
    ]
    try:
        step = simulate_step(
            len(meshes), tasks, transfers, list(network.routes), list(network.link_bytes_per_second)
        )
    except ValueError as error:
        raise ScheduleError(f"schedule '{name}' cannot be simulated: {error}") from None
    if step.waiting_tasks:
        home = [mesh for mesh, mesh_works in enumerate(meshes) for _ in mesh_works]
        waiting = (f"mesh {home[number]} at {works[number].task}" for number in step.waiting_tasks)
        raise ScheduleError(
            f"expected schedule '{name}' to run to its end, got a deadlock: " + ", ".join(waiting)
        )
    return {work.task: times for work, times in zip(works, step.tasks, strict=True)}, step
