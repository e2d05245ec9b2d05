"""What the tasks of every stage cost at every frequency, measured or modelled."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from annotated_types import MinLen

from alpa_mlir.energy.power_model import PowerModel, power_model
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

Instruction = PhaseName  # as Perseus calls it
PHASES: dict[str, Phase] = {name: Phase[name.upper()] for name in get_args(Instruction)}


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
    """

    choices: Annotated[tuple[ProfiledChoice, ...], MinLen(1)]
    blocking_watts: Annotated[tuple[Watts, ...], MinLen(1)]
    source: str = ""
    fixed: tuple[Instruction, ...] = ()

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
        tasks: dict[Instruction, list[float]] = {
            "forward": [stage.forward_seconds for stage in plan.stages],
            "backward": [stage.backward_seconds for stage in plan.stages],
            "update": [stage.update_seconds for stage in plan.stages],
        }
        counts = [len(stage.devices) for stage in plan.stages]
        choices = tuple(
            ProfiledChoice(number, instruction, megahertz, time, watts * time * counts[number])
            for instruction, times in tasks.items()
            for number, seconds in enumerate(times)
            if seconds > 0
            for megahertz, time, watts in model.choices(seconds)
        )
        if not choices:
            raise EnergyError("expected a plan whose stages take time, got none that does")
        watts = tuple(model.blocking_watts * count for count in counts)
        return EnergyProfile(choices, watts, model.source)

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
