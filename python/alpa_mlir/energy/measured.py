"""Measures what tasks cost: every task alone, again and again, at every frequency asked for.

Counters of energy move some ten to hundred times a second, slower than tasks end: a task is
repeated for the length of a window, and what the counter says is shared by the runs in it. Clocks
are set for the devices of the task's stage alone and restored on every way out; a watcher process
restores them if this one is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from time import perf_counter, sleep
from typing import Any, NamedTuple, Protocol, runtime_checkable

from alpa_mlir.energy.clocks import Clocks, KillWatcher
from alpa_mlir.errors import EnergyError
from alpa_mlir.schedule.schedule import Phase, TaskKind

_SETTLING = 0.1  # part of a window that runs before it, for clocks to be what they were set to
_MOST_IN_FLIGHT = 256  # runs that are issued before one is waited for


class Meter(Clocks, Protocol):
    """Devices of a pipeline whose energy can be read too."""

    def joules(self, stage: int) -> float:
        """What all devices of a stage have drawn since some moment in the past."""
        ...


class TaskAlone(Protocol):
    """A task of a step that has stopped before it."""

    @property
    def kind(self) -> TaskKind: ...

    def run(self, times: int) -> None:
        """Runs it so often and waits until the last has ended."""
        ...


@runtime_checkable
class RunsTasksAlone(Protocol):
    """The executable of a pipeline."""

    @property
    def stage_devices(self) -> Sequence[Sequence[Any]]:
        """By stage, its devices as JAX has them."""
        ...

    def tasks_alone(self, *args: Any) -> Iterator[TaskAlone]:
        """Runs one step and stops before the first task of every kind."""
        ...


class TaskCost(NamedTuple):
    """Of one run of a stage's part in a phase; joules are those of all devices of the stage."""

    stage: int
    phase: Phase
    megahertz: float
    seconds: float
    joules: float


@dataclass(frozen=True)
class Measured:
    """Attributes:
    costs: by stage and phase in the order of a step, then as the frequencies were given.
    blocking_watts: per stage, what its devices draw together while they have nothing to do.
    """

    costs: tuple[TaskCost, ...]
    blocking_watts: tuple[float, ...]


def measure_tasks(
    executable: RunsTasksAlone,
    args: tuple[Any, ...],
    meter: Meter,
    frequencies: Sequence[float],
    window_seconds: float,
) -> Measured:
    """Runs a step whose tasks are repeated at each of the frequencies, in megahertz.

    Raises:
      EnergyError: energy cannot be read, or clocks cannot be set or restored.
    """
    num_stages = len(executable.stage_devices)
    for stage in range(num_stages):  # before a clock is set
        _joules(meter, stage)
    costs: dict[tuple[int, Phase, float], TaskCost] = {}
    with _restoring(meter):
        for task in executable.tasks_alone(*args):
            for megahertz in frequencies:
                _set_clocks(meter, task.kind.stage, megahertz)
                cost = _cost(task, megahertz, meter, window_seconds)
                key = cost[:3]
                costs[key] = _sum(costs[key], cost) if key in costs else cost
        waiting = [
            _waiting_watts(meter, n, max(frequencies), window_seconds) for n in range(num_stages)
        ]
    return Measured(tuple(costs.values()), tuple(waiting))


def _sum(one: TaskCost, other: TaskCost) -> TaskCost:
    """Of rounds of an update."""
    return one._replace(seconds=one.seconds + other.seconds, joules=one.joules + other.joules)


def _cost(task: TaskAlone, megahertz: float, meter: Meter, window_seconds: float) -> TaskCost:
    stage, phase, _ = task.kind
    task.run(1)
    begin = perf_counter()
    task.run(1)
    once = max(perf_counter() - begin, 1e-6)
    times = min(ceil(window_seconds * _SETTLING / once), _MOST_IN_FLIGHT)
    task.run(times)
    runs = 0

    def run() -> None:
        nonlocal runs
        task.run(times)
        runs += times

    seconds, joules = _window(meter, stage, window_seconds, run)
    return TaskCost(stage, phase, megahertz, seconds / runs, joules / runs)


def _waiting_watts(meter: Meter, stage: int, megahertz: float, window_seconds: float) -> float:
    _set_clocks(meter, stage, megahertz)
    sleep(window_seconds * _SETTLING)
    seconds, joules = _window(meter, stage, window_seconds, lambda: sleep(window_seconds))
    return joules / seconds


def _window(
    meter: Meter, stage: int, window_seconds: float, work: Callable[[], None]
) -> tuple[float, float]:
    """Seconds and joules of work that is repeated for the length of a window."""
    before, begin = _joules(meter, stage), perf_counter()
    while (seconds := perf_counter() - begin) < window_seconds:
        work()
    joules = _joules(meter, stage) - before
    if joules <= 0:
        raise EnergyError(
            f"expected stage {stage} to draw energy in {seconds:.3g} s, got {joules:g} J; raise "
            "window_seconds above the time between two updates of the devices' counters"
        )
    return seconds, joules


def _joules(meter: Meter, stage: int) -> float:
    try:
        return meter.joules(stage)
    except EnergyError:
        raise
    except Exception as error:  # of anybody's driver
        raise EnergyError(
            f"expected to read the energy of stage {stage}, got: {error}; without a counter that "
            "can be read, EnergyProfile.from_model estimates"
        ) from error


def _set_clocks(meter: Meter, stage: int, megahertz: float) -> None:
    try:
        meter.set_megahertz(stage, megahertz)
    except EnergyError:
        raise
    except Exception as error:  # of anybody's driver
        raise EnergyError(
            f"expected to set the clocks of stage {stage} to {megahertz:g} MHz, got: {error}; ask "
            "for frequencies that the devices support, and run as root or with CAP_SYS_ADMIN"
        ) from error


@contextmanager
def _restoring(clocks: Clocks) -> Generator[None]:
    watcher = KillWatcher(clocks.restore_command())
    is_restored = False
    try:
        yield
    finally:
        try:
            clocks.restore()
            is_restored = True
        except Exception as error:  # of anybody's driver
            raise EnergyError(
                f"expected to restore the clocks, got: {error}; another process tries it now, "
                "`nvidia-smi -rgc` does it by hand"
            ) from error
        finally:
            watcher.end(is_restored)
