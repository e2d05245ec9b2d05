"""A plan: every decision about a program on a cluster, as data that can be read, kept and replayed.

A plan is deterministic: the same program, cluster and method give the same plan, byte for byte.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import prod
from pathlib import Path
from typing import Any, cast

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cluster.spec import Spec
from alpa_mlir.errors import ClusterError, PlanError

VERSION = 1


@dataclass(frozen=True)
class TensorPlan:
    """An argument or result.

    Attributes:
      role: "state", "batch", "input" or "result".
      spec: for each dim, the mesh axes that split it, major first.
      bytes_per_device: what a device keeps of it.
      reason: how the op that reads it runs, or "".
    """

    name: str
    role: str
    dtype: str
    shape: tuple[int, ...]
    spec: Spec
    bytes_per_device: int
    reason: str


@dataclass(frozen=True)
class Choice:
    """The strategy of one node of the sharding problem: an op, or an argument (op_id -1)."""

    op_id: int
    node: str
    strategy: str


@dataclass(frozen=True)
class PlannedCollective:
    """A collective the plan expects: bytes are per device and run, seconds of all runs."""

    kind: str
    axes: tuple[str, ...]
    bytes: int
    count: float
    seconds: float
    op_id: int
    op_name: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """How a program is to run.

    Attributes:
      program_name, program_hash: what it was made for; the hash is of the normalised module.
      method: name of the method class that made it; strategy_space: which strategies it had.
      arguments, results: of the flat function, in order.
      choices: a strategy for every node of the sharding problem.
      collectives: predicted.
      step_seconds: predicted time of one call.
      memory_bytes: predicted peak of one device.
      solver_gap: (cost - lower bound) / cost; 0 is proven optimal.
      remarks: what the passes want the user to know.
    """

    program_name: str
    program_hash: str
    method: str
    strategy_space: str
    cluster: Cluster
    mesh: LogicalMesh
    arguments: tuple[TensorPlan, ...]
    results: tuple[TensorPlan, ...]
    choices: tuple[Choice, ...]
    collectives: tuple[PlannedCollective, ...]
    step_seconds: float
    memory_bytes: int
    solver_gap: float
    remarks: tuple[str, ...]

    def explain(self) -> str:
        """The plan as tables: which tensor lies how and why, collectives, time and memory."""
        from alpa_mlir.report.explain import explain

        return explain(self)

    def collective_bytes(self) -> dict[str, int]:
        """Predicted bytes per device and step by kind of collective."""
        totals: dict[str, int] = {}
        for c in self.collectives:
            totals[c.kind] = totals.get(c.kind, 0) + round(c.bytes * c.count)
        return totals

    def save(self, path: str | Path) -> None:
        """Writes the plan as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=1) + "\n")

    @staticmethod
    def load(path: str | Path) -> "Plan":
        """Reads what `save` wrote.

        Raises:
          PlanError: the file is not a plan of this version.
        """
        try:
            return Plan.from_json(json.loads(Path(path).read_text()))
        except (OSError, json.JSONDecodeError) as error:
            raise PlanError(f"cannot read the plan {path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self), "cluster": self.cluster.to_json()}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Plan":
        """Raises PlanError where `data` is of another version or lacks something."""
        if data.get("version") != VERSION:
            raise PlanError(
                f"expected a plan of version {VERSION}, got {data.get('version')}; plan again"
            )
        try:
            values = {field.name: data[field.name] for field in fields(Plan)}
            values["cluster"] = Cluster.from_json(data["cluster"])
            values["mesh"] = LogicalMesh(**_tuples(data["mesh"]))
            for name, kind in (
                ("arguments", TensorPlan),
                ("results", TensorPlan),
                ("choices", Choice),
                ("collectives", PlannedCollective),
            ):
                values[name] = tuple(kind(**_tuples(entry)) for entry in data[name])
            values["remarks"] = tuple(data["remarks"])
            return Plan(**values)
        except (KeyError, TypeError, ClusterError) as error:
            raise PlanError(f"expected the fields of alpa_mlir.Plan: {error}") from None

    def check_program(self, program_hash: str) -> None:
        """Raises PlanError if the plan was made for another program."""
        if program_hash != self.program_hash:
            raise PlanError(
                f"expected the program '{self.program_name}' with hash {self.program_hash[:12]}, "
                f"got one with hash {program_hash[:12]}: the function, its options or the shapes "
                "of its arguments have changed; plan again"
            )


def bytes_per_device(shape: tuple[int, ...], itemsize: int, spec: Spec, mesh: LogicalMesh) -> int:
    """What one device keeps of a tensor; an uneven split is padded."""
    sizes = dict(zip(mesh.axis_names, mesh.axis_sizes, strict=True))
    dims = zip(shape, spec, strict=True)
    return itemsize * prod(-(-dim // prod(sizes[axis] for axis in axes)) for dim, axes in dims)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    if isinstance(value, list):
        return tuple(_tuples(entry) for entry in cast(list[Any], value))
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in cast(dict[str, Any], value).items()}
    return value
