"""What the tasks of every stage cost at every frequency, measured or modelled."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Annotated, Any, get_args

from annotated_types import MinLen

from alpa_mlir.energy.measured import Measured, Meter, RunsTasksAlone, measure_tasks
from alpa_mlir.energy.power_model import PowerModel, power_model
from alpa_mlir.energy.zeus_clocks import ZeusClocks
from alpa_mlir.errors import EnergyError
from alpa_mlir.fields import (
    Checked,
    Joules,
    Megahertz,
    Seconds,
    Watts,
    WholeNumber,
    check,
    read,
    without_version,
)
from alpa_mlir.files import write_text
from alpa_mlir.plan.data import PhaseName, PlanData
from alpa_mlir.schedule.schedule import Phase

_VERSION = 1
_COLUMNS = ("stage", "instruction", "frequency", "time", "energy")
_ADVICE = "correct the profile"
_NOISE = 0.01  # of measured times

Instruction = PhaseName  # as Perseus calls it
PHASES: dict[Instruction, Phase] = {name: Phase[name.upper()] for name in get_args(Instruction)}


@dataclass(frozen=True)
class ProfiledChoice(Checked):
    """One task of a stage at one frequency.

    Attributes:
      frequency: megahertz of all devices of the stage.
      time: seconds of one run.
      energy: joules that all devices of the stage draw in that time.
    """

    stage: WholeNumber
    instruction: Instruction
    frequency: Megahertz
    time: Seconds
    energy: Joules


@dataclass(frozen=True)
class EnergyProfile(Checked):
    """Choices of frequency for the tasks of a pipeline.

    Attributes:
      choices: of every task that is to be planned; a task that appears once has a fixed time only
        if it is listed in `fixed`.
      blocking_watts: per stage, what its devices draw together while they wait for data.
      source: where the figures come from, for people.
      fixed: instructions whose time no frequency changes, such as an update that waits for memory.
      fixed_tasks: the same, of single stages.
    """

    choices: Annotated[tuple[ProfiledChoice, ...], MinLen(1)]
    blocking_watts: Annotated[tuple[Watts, ...], MinLen(1)]
    source: str = ""
    fixed: tuple[Instruction, ...] = ()
    fixed_tasks: tuple[tuple[WholeNumber, Instruction], ...] = ()

    def __post_init__(self) -> None:
        check(self, EnergyError)

    @property
    def num_stages(self) -> int:
        return max(choice.stage for choice in self.choices) + 1

    @staticmethod
    def load(path: str | Path, blocking_watts: float | None = None) -> EnergyProfile:
        """Reads what `save` wrote, or a CSV with the columns stage, instruction, frequency (MHz),
        time (s), energy (J), the format of Perseus' published profiles.

        Args:
          blocking_watts: of a stage's devices together while they wait; a CSV does not have it.

        Raises:
          EnergyError: the file is neither, a field of it is wrong, or blocking power is missing.
        """
        try:
            text = Path(path).read_text()
            if Path(path).suffix == ".csv":
                return _from_csv(text, Path(path).name, blocking_watts)
            return EnergyProfile.from_json(json.loads(text))
        except (OSError, ValueError, RecursionError, EnergyError) as error:
            raise EnergyError(f"cannot read the energy profile {path}: {error}") from None

    @staticmethod
    def from_model(plan: PlanData, model: PowerModel | None = None) -> EnergyProfile:
        """Estimates where nothing can be measured: a plan's times at the highest clock, and the
        power of its kind of device (equations and sources of figures: `energy/power_model.py`).

        Raises:
          EnergyError: there is no model of that device; pass one.
        """
        model = model or power_model(plan.cluster.device.kind)
        counts = [len(stage.devices) for stage in plan.stages]
        choices = tuple(
            ProfiledChoice(stage, instruction, megahertz, time, watts * time * counts[stage])
            for instruction, stage, seconds in _planned_seconds(plan)
            if seconds > 0
            for megahertz, time, watts in model.choices(seconds)
        )
        if not choices:
            raise EnergyError("expected a plan whose stages take time, got none that does")
        watts = tuple(model.blocking_watts * count for count in counts)
        return EnergyProfile(choices, watts, model.source)

    @staticmethod
    def measure(
        executable: RunsTasksAlone,
        state: Any,
        batch: Any,
        frequencies: Sequence[float],
        meter: Meter | None = None,
        window_seconds: float = 1.0,
    ) -> EnergyProfile:
        """Measures every stage's tasks at every frequency, alone and repeated; clocks are set for
        this, and restored on any way out.

        The step is run once, with its tasks repeated: a donated state is used up. What a task waits
        for is not in its cost, nor are sums over a stage's devices that are made before an update.

        Args:
          executable: of a pipeline, as `step.compile(...)` returns it.
          frequencies: in megahertz, at least two.
          meter: what sets clocks and reads energy; None is NVML through `zeus` (`pip install
            'alpa_mlir[energy]'`), which needs root, CAP_SYS_ADMIN or zeusd.
          window_seconds: how long each task is repeated at each frequency. Counters of energy move
            about ten times a second.

        Raises:
          EnergyError: it is no pipeline's executable; `zeus`, a device that it supports or the
            permission to set clocks is lacking; energy cannot be read.
          ProcessError: there are several processes.
        """
        _check_measurable(executable, frequencies, window_seconds)
        clocks = sorted({float(frequency) for frequency in frequencies}, reverse=True)
        meter = meter or ZeusClocks(executable.stage_devices)
        measured = measure_tasks(executable, (state, batch), meter, clocks, window_seconds)
        return _from_measured(measured, f"measured in windows of {window_seconds:g} s")

    def save(self, path: str | Path) -> None:
        """Writes the profile as JSON.

        Raises:
          EnergyError: the file cannot be written; it is what it was.
        """
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n", EnergyError)

    def to_json(self) -> dict[str, Any]:
        return {"version": _VERSION, **asdict(self)}

    @staticmethod
    def from_json(data: object) -> EnergyProfile:
        """Raises EnergyError where `data` is of another version, or a field of it is wrong."""
        values = without_version(data, _VERSION, "a profile", EnergyError, "make it again")
        return read(EnergyProfile, values, EnergyError, _ADVICE)


def _planned_seconds(plan: PlanData) -> Iterator[tuple[Instruction, int, float]]:
    if plan.prologue:
        yield "prologue", plan.prologue.stage, plan.prologue.seconds
    for number, stage in enumerate(plan.stages):
        yield "forward", number, stage.forward_seconds
        yield "backward", number, stage.backward_seconds
        yield "update", number, stage.update_seconds


def _check_measurable(
    executable: object, frequencies: Sequence[float], window_seconds: float
) -> None:
    if not isinstance(executable, RunsTasksAlone):
        raise EnergyError(
            f"expected the executable of a pipeline, got {type(executable).__name__}; "
            "step.compile(...) returns it where the plan is a pipeline's"
        )
    if len(set(frequencies)) < 2 or not all(0 < each < inf for each in frequencies):
        raise EnergyError(
            f"expected at least two frequencies above 0 MHz, got {list(frequencies)}; the devices' "
            "own are listed by nvidia-smi -q -d SUPPORTED_CLOCKS"
        )
    if not 0 < window_seconds < inf:
        raise EnergyError(f"expected window_seconds above 0, got {window_seconds:g}")


def _from_measured(measured: Measured, source: str) -> EnergyProfile:
    """Tasks that the highest clock makes no faster than the lowest have the cheapest of all clocks
    and a fixed time."""
    by_task: dict[tuple[int, Instruction], list[ProfiledChoice]] = {}
    names: dict[Phase, Instruction] = {phase: name for name, phase in PHASES.items()}
    for stage, phase, megahertz, seconds, joules in measured.costs:
        choice = ProfiledChoice(stage, names[phase], megahertz, seconds, joules)
        by_task.setdefault((stage, choice.instruction), []).append(choice)
    fixed: list[tuple[int, Instruction]] = []
    for task, choices in by_task.items():
        if choices[0].time >= choices[-1].time * (1 - _NOISE):  # the highest clock is the first
            fixed.append(task)
            by_task[task] = [min(choices, key=lambda choice: choice.energy)]
    every = tuple(choice for choices in by_task.values() for choice in choices)
    return EnergyProfile(every, measured.blocking_watts, source, fixed_tasks=tuple(fixed))


def _from_csv(text: str, name: str, blocking_watts: float | None) -> EnergyProfile:
    if blocking_watts is None:
        raise EnergyError("expected blocking_watts beside a CSV, got none; 83.64 for A100 SXM GPUs")
    rows = csv.DictReader(text.splitlines())
    lacking = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
    if lacking:
        raise EnergyError(
            f"expected the columns {', '.join(_COLUMNS)}, got {', '.join(rows.fieldnames or ())}"
        )
    choices = tuple(_row(row, rows.line_num) for row in rows)
    num_stages = max((choice.stage for choice in choices), default=0) + 1
    return EnergyProfile(choices, (blocking_watts,) * num_stages, name)


def _row(row: Mapping[str, str | None], line: int) -> ProfiledChoice:
    try:
        values = {
            "stage": int(row["stage"] or ""),
            "instruction": row["instruction"],
            **{column: float(row[column] or "") for column in _COLUMNS[2:]},
        }
    except ValueError as error:
        raise EnergyError(f"line {line}: {error}") from None
    return read(ProfiledChoice, values, EnergyError, _ADVICE, f"line {line}, ")
