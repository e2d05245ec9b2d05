"""`alpa_mlir.Plan`: a plan as users hold it, which can explain, save and load itself."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from alpa_mlir.energy.frontier import EnergyFrontier
from alpa_mlir.energy.planned import plan_frontier
from alpa_mlir.energy.profile import EnergyProfile
from alpa_mlir.errors import EnergyError, PlanError
from alpa_mlir.plan.data import PlanData
from alpa_mlir.plan.json import plan_from_json, plan_to_json
from alpa_mlir.report.explain import explain


class Plan(PlanData):
    """How a program is to run: every decision, and what is predicted of it."""

    @staticmethod
    def of(data: PlanData) -> Plan:
        """The same decisions."""
        if isinstance(data, Plan):
            return data
        return Plan(**{field.name: getattr(data, field.name) for field in fields(PlanData)})

    def explain(self) -> str:
        """The plan as tables: which tensor lies how and why, collectives, time, memory, energy."""
        return "\n".join([explain(self), *self._energy_lines()])

    def _energy_lines(self) -> list[str]:
        """What a step draws, where something is known of the devices' power."""
        if not self.is_pipeline:
            return []
        try:
            frontier = self.energy()
        except EnergyError:
            return []
        return frontier.explain().splitlines()

    def energy(
        self,
        profile: EnergyProfile | None = None,
        schedule: str | None = None,
        unit_seconds: float | None = None,
    ) -> EnergyFrontier:
        """The time-energy frontier of a step (Perseus, SOSP'24).

        Args:
          profile: of the plan's stages; None is `EnergyProfile.from_model(self)`.
          schedule: instead of the plan's own: "gpipe", "1f1b" or "eager_1f1b".
          unit_seconds: in whole units of which times are planned; None is a millisecond, or less
            for short tasks.

        Raises:
          EnergyError: the plan is no pipeline, the profile does not fit it, or nothing is known of
            the device's power.
        """
        profile = profile or EnergyProfile.from_model(self)
        return plan_frontier(self, profile, schedule, unit_seconds)

    def save(self, path: str | Path) -> None:
        """Writes the plan as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n")

    @staticmethod
    def load(path: str | Path) -> Plan:
        """Reads what `save` wrote.

        Raises:
          PlanError: the file is not a plan of this version.
        """
        try:
            return Plan.from_json(json.loads(Path(path).read_text()))
        except (OSError, ValueError, RecursionError, PlanError) as error:
            raise PlanError(f"cannot read the plan {path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        return plan_to_json(self)

    @staticmethod
    def from_json(data: object) -> Plan:
        """Raises PlanError where `data` is of another version, or a field of it is wrong."""
        return Plan.of(plan_from_json(data))
