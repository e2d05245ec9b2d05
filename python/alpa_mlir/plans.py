"""`alpa_mlir.Plan`: a plan as users hold it, which can explain, save and load itself."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from alpa_mlir.errors import PlanError
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
        """The plan as tables: which tensor lies how and why, collectives, time and memory."""
        return explain(self)

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
