"""`alpa_mlir.Plan`: a plan as users hold it, which can explain, save and load itself."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

from alpa_mlir.energy.frontier import EnergyFrontier
from alpa_mlir.energy.planned import plan_frontier
from alpa_mlir.energy.profile import EnergyProfile
from alpa_mlir.errors import EnergyError, PlanError
from alpa_mlir.files import write_text
from alpa_mlir.ir.jaxlib import without_locations
from alpa_mlir.plan.data import PlanData
from alpa_mlir.plan.json import plan_from_json, plan_to_json
from alpa_mlir.progress import OnProgress
from alpa_mlir.report.comparison import PlanComparison, compare
from alpa_mlir.report.explain import explain
from alpa_mlir.report.notebook import to_html
from alpa_mlir.report.page import page
from alpa_mlir.report.progress import terminal_progress
from alpa_mlir.simulate.events import Simulation
from alpa_mlir.simulate.planned import simulate_plan
from alpa_mlir.simulate.what_if import WhatIf, what_if
from alpa_mlir.validation.run import validate_plan
from alpa_mlir.xla.comparison import Validation

_MOST_MODULE_BYTES = 2**30
# Frontiers of more tasks take seconds, of ten thousands minutes: more than `explain` is to take.
_MOST_TASKS_EXPLAINED = 2000


@dataclass(frozen=True)
class Plan(PlanData):
    """How a program is to run: every decision, and what is predicted of it.

    Attributes:
      module: the traced function, StableHLO in generic form, for `validate`. None where it calls
        Python functions, and in files that others wrote.
    """

    module: str | None = field(default=None, compare=False, repr=False)

    @staticmethod
    def of(data: PlanData, module: str | None = None) -> Plan:
        """The same decisions, with the module that they are of, if it is not known yet."""
        known = data.module if isinstance(data, Plan) else None
        values = {each.name: getattr(data, each.name) for each in fields(PlanData)}
        return Plan(**values, module=known or module)

    def explain(self) -> str:
        """The plan as tables: which tensor lies how and why, collectives, time, memory, energy."""
        return "\n".join([explain(self), *self._energy_lines()])

    def _energy_lines(self) -> list[str]:
        """What a step draws, where something is known of the devices' power."""
        if not self.is_pipeline:
            return []
        num_tasks = 2 * len(self.stages) * self.num_microbatches
        if num_tasks > _MOST_TASKS_EXPLAINED:
            return [f"energy: of {num_tasks} tasks it takes long; plan.energy().explain() tells it"]
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
        load_seconds: float = 0.0,
    ) -> EnergyFrontier:
        """The time-energy frontier of a step (Perseus, SOSP'24).

        Args:
          profile: of the plan's stages; None is `EnergyProfile.from_model(self)`.
          schedule: instead of the plan's own: "gpipe", "1f1b" or "eager_1f1b".
          unit_seconds: in whole units of which times are planned; None is a millisecond, or less
            for short tasks.
          load_seconds: how long the first stage waits for the data of one microbatch.

        Raises:
          EnergyError: the plan is no pipeline, the profile does not fit it, or nothing is known of
            the device's power.
        """
        profile = profile or EnergyProfile.from_model(self)
        return plan_frontier(self, profile, schedule, unit_seconds, load_seconds)

    def simulate(self) -> Simulation:
        """A step of the plan as it would run: tasks, transfers, memory and links over time.

        Of one program over all devices no more is known than how long it takes and what it needs.

        Raises:
          ScheduleError: what an edited plan says its tasks read and write makes no step.
        """
        return simulate_plan(self)

    def what_if(
        self,
        slow: Mapping[int, float] | None = None,
        *,
        slow_stages: Mapping[int, float] | None = None,
        intra_node: float = 1.0,
        inter_node: float = 1.0,
        lost_nodes: Collection[int] = (),
    ) -> WhatIf:
        """The same plan on a cluster that is not as it was planned for; nothing is planned anew.

        Args:
          slow: how many times as slow devices compute, by their numbers in the cluster. A stage is
            as slow as its slowest device; collectives are not slower for it.
          slow_stages: the same by stages.
          intra_node, inter_node: how many times less the links carry, of devices to others in
            their node and of nodes to others; transfers and collectives take longer for it.
          lost_nodes: numbers of nodes that are gone.

        Raises:
          PlanError: a stage has devices on a node that is lost: the plan cannot go on.
          ArgumentError: no such device, stage or node, or a factor that is no positive number
            up to a million.
        """
        return what_if(self, slow, slow_stages, intra_node, inter_node, lost_nodes)

    def validate(self, on_progress: OnProgress | None = None) -> Validation:
        """Compiles every distinct program of the plan for its devices, which need not be there.

        Needs `pip install 'alpa_mlir[gpu-aot]'` for GPUs; takes seconds to minutes. Show the result
        with `alpa_mlir.report.validation.explain_validation`, or see `alpa-plan validate`.

        Args:
          on_progress: told how far it is; None is a line on the terminal.

        Returns:
          Predicted beside actual: collectives by kind, axes and bytes, peak memory with and without
          XLA's latency-hiding scheduler, XLA's warnings.

        Raises:
          PlanError: the plan does not know its program. ClusterError: nothing here compiles for its
            devices. CompileError: XLA refused a program.
        """
        if self.module is None:
            raise PlanError(
                "expected a plan that has its program in it, as step.plan(...) makes and saves "
                "them unless the program calls Python functions, got one without; plan again"
            )
        return validate_plan(self, self.module, on_progress or terminal_progress())

    def compare(self, other: PlanData) -> PlanComparison:
        """What differs from another plan, part by part, and what each difference costs: less or
        more seconds and bytes of the other. Print the result, or take its fields."""
        return compare(self, other)

    def report(self, path: str | Path) -> None:
        """Writes one HTML page that needs no network: the cluster, the timeline, memory, layers and
        their shardings, collectives, where the time goes, the last known error.

        Raises:
          PlanError: the file cannot be written; it is what it was.
        """
        write_text(path, page(self), PlanError)

    def _repr_html_(self) -> str:
        """For notebooks: the figures, and a row for each stage."""
        return to_html(self)

    def save(self, path: str | Path) -> None:
        """Writes the plan as JSON.

        Raises:
          PlanError: the file cannot be written; it is what it was.
        """
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n", PlanError)

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
        """With the module, if it is known: without locations, compressed."""
        data = plan_to_json(self)
        if self.module is not None:
            data["module"] = _packed(without_locations(self.module))
        return data

    @staticmethod
    def from_json(data: object) -> Plan:
        """Raises PlanError where `data` is of another version, or a field of it is wrong."""
        if not isinstance(data, Mapping):
            return Plan.of(plan_from_json(data))
        decisions = dict(cast(Mapping[str, Any], data))
        packed = decisions.pop("module", None)
        plan = plan_from_json(decisions)
        return Plan.of(plan, None if packed is None else _unpacked(packed))


def _packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def _unpacked(packed: object) -> str:
    """Raises PlanError where it is not what `_packed` makes."""
    expected = "module: expected text that was compressed by zlib and encoded in base64"
    if not isinstance(packed, str):
        raise PlanError(f"{expected}, got {type(packed).__name__}; plan again")
    unzip = zlib.decompressobj()
    try:
        raw = base64.b64decode(packed, validate=True)
        text = unzip.decompress(raw, _MOST_MODULE_BYTES)
        if not unzip.eof:
            raise PlanError(f"{expected}, of at most {_MOST_MODULE_BYTES} bytes; plan again")
        return text.decode()
    except (binascii.Error, zlib.error, ValueError) as error:
        raise PlanError(f"{expected}: {error}; plan again") from None
