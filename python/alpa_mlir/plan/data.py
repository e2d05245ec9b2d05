"""A plan: every decision about a program on a cluster, as data that can be read, kept and replayed.

A plan is deterministic: the same program, cluster and method give the same plan, byte for byte.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any, cast

from alpa_mlir._native import STRATEGY_SPACES
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.errors import ClusterError, PlanError
from alpa_mlir.ir.spec import Spec

VERSION = 2


@dataclass(frozen=True)
class TensorPlan:
    """An argument or result.

    Attributes:
      role: "state", "batch", "input" or "result".
      spec: for each dim, the mesh axes that split it, major first.
      bytes_per_device: what a device keeps of it.
      reason: how the op that reads it runs, or "".
      stage: the stage whose devices keep it; None where none does.
    """

    name: str
    role: str
    dtype: str
    shape: tuple[int, ...]
    spec: Spec
    bytes_per_device: int
    reason: str
    stage: int | None = 0


@dataclass(frozen=True)
class Choice:
    """The strategy of one node of the sharding problem: an op, or an argument (op_id -1).

    Attributes:
      is_fixed: whether the user had fixed the sharding.
    """

    op_id: int
    node: str
    strategy: str
    is_fixed: bool = False


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
class PlannedTransfer:
    """A value that goes from the mesh of one stage to that of another, `count` times in a step.

    Attributes:
      bytes: that the devices of the target receive, once; each has what it reads, so that a
        replicated value counts as often as there are devices.
    """

    value: str
    source: int
    target: int
    bytes: int
    count: int


@dataclass(frozen=True)
class PlannedStage:
    """Layers [first_layer, end_layer) on a submesh.

    Attributes:
      submesh: nodes, and devices in each; first_device: of the cluster, where it starts.
      mesh: the logical mesh over these devices.
      choices: a strategy for every argument, op and carried value of the stage.
      collectives: predicted, all runs in a step counted.
      forward_seconds, backward_seconds: of one microbatch; update_seconds: once.
      is_rematerialized: whether its backward computes the forward of its layers again.
      num_in_flight: microbatches whose activations it holds at most.
      memory_bytes: predicted peak of one of its devices.
      cost: of a step, picoseconds; lower_bound: no other choice has a lower price in the sharding
        problem, which prices none below its cost.
    """

    first_layer: int
    end_layer: int
    first_device: int
    submesh: tuple[int, int]
    mesh: LogicalMesh
    choices: tuple[Choice, ...]
    collectives: tuple[PlannedCollective, ...]
    forward_seconds: float
    backward_seconds: float
    update_seconds: float
    is_rematerialized: bool
    num_in_flight: int
    memory_bytes: int
    cost: int
    lower_bound: int

    @property
    def gap(self) -> float:
        """The part of the cost that may be unnecessary; 0 is proven optimal."""
        return (self.cost - self.lower_bound) / self.cost if self.cost > self.lower_bound else 0.0

    @property
    def devices(self) -> range:
        """Numbers of its devices in the cluster."""
        return range(self.first_device, self.first_device + self.submesh[0] * self.submesh[1])


@dataclass(frozen=True)
class Plan:
    """How a program is to run.

    Attributes:
      program_name, program_hash: what it was made for; the hash is of the normalised module.
      method: name of the method class that made it; strategy_space: which strategies it had.
      stages: one, or those of a pipeline.
      schedule: "none" for one program over all devices, else a name of `alpa_mlir.options`.
      num_microbatches: in how many parts the batch goes through the pipeline.
      num_layers: in how many the program was cut before stages were made of them.
      allow_local_statistics: whether each microbatch uses its own where sums over examples flow
        back (batch norm).
      arguments, results: of the flat function, in order.
      transfers: predicted, between stages.
      step_seconds: predicted time of one call.
      remarks: what the passes want the user to know.
    """

    program_name: str
    program_hash: str
    method: str
    strategy_space: str
    cluster: Cluster
    stages: tuple[PlannedStage, ...]
    schedule: str
    num_microbatches: int
    num_layers: int
    allow_local_statistics: bool
    arguments: tuple[TensorPlan, ...]
    results: tuple[TensorPlan, ...]
    transfers: tuple[PlannedTransfer, ...]
    step_seconds: float
    remarks: tuple[str, ...]

    @property
    def is_pipeline(self) -> bool:
        return self.schedule != "none"

    @property
    def mesh(self) -> LogicalMesh:
        """The logical mesh of the only, or else the first stage."""
        return self.stages[0].mesh

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Of all stages."""
        return tuple(choice for stage in self.stages for choice in stage.choices)

    @property
    def collectives(self) -> tuple[PlannedCollective, ...]:
        """Of all stages."""
        return tuple(collective for stage in self.stages for collective in stage.collectives)

    @property
    def has_user_shardings(self) -> bool:
        """Whether it was made for arguments or values whose shardings the user had fixed."""
        return any(choice.is_fixed for choice in self.choices)

    @property
    def memory_bytes(self) -> int:
        """Predicted peak of the device that needs most."""
        return max(stage.memory_bytes for stage in self.stages)

    @property
    def solver_gap(self) -> float:
        """The largest gap of a stage; 0 is proven optimal."""
        return max(stage.gap for stage in self.stages)

    def transfer_bytes(self) -> int:
        """Predicted bytes that devices receive from other stages in a step."""
        return sum(transfer.bytes * transfer.count for transfer in self.transfers)

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
        except (OSError, ValueError) as error:
            raise PlanError(f"cannot read the plan {path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        return {"version": VERSION, **asdict(self), "cluster": self.cluster.to_json()}

    @staticmethod
    def from_json(data: Any) -> "Plan":
        """Raises PlanError where `data` is of another version or lacks something."""
        if not isinstance(data, Mapping):  # a file may hold anything
            raise PlanError(f"expected the fields of alpa_mlir.Plan, got {type(data).__name__}")
        if data.get("version") != VERSION:
            raise PlanError(
                f"expected a plan of version {VERSION}, got {data.get('version')}; plan again"
            )
        try:
            values = {field.name: data[field.name] for field in fields(Plan)}
            values["cluster"] = Cluster.from_json(data["cluster"])
            for name, kind in (
                ("arguments", TensorPlan),
                ("results", TensorPlan),
                ("transfers", PlannedTransfer),
            ):
                values[name] = tuple(kind(**_tuples(entry)) for entry in data[name])
            values["stages"] = tuple(_stage(entry) for entry in data["stages"])
            values["remarks"] = tuple(data["remarks"])
            return Plan(**values)
        except (AttributeError, KeyError, TypeError, ValueError, ClusterError) as error:
            raise PlanError(f"expected the fields of alpa_mlir.Plan: {error}") from None

    def check(self) -> None:
        """Whether the stages can be those of a pipeline on the cluster.

        Raises:
          PlanError: naming the rule that is broken; such a plan was edited.
        """
        for stage, relation in chain(self._broken_types(), self._broken_rules()):
            raise PlanError(f"stage {stage}: expected {relation}; correct the plan or plan again")

    def _broken_types(self) -> Iterator[tuple[int, str]]:
        """What makes no sense of itself; the rules count on this."""
        if self.strategy_space not in STRATEGY_SPACES:
            known = ", ".join(STRATEGY_SPACES)
            yield 0, f"a strategy_space of {known}, got {self.strategy_space!r}"
        for name in ("num_microbatches", "num_layers"):
            if not _is_whole(getattr(self, name)):
                yield 0, f"a whole number as {name}, got {getattr(self, name)!r}"
        for number, stage in enumerate(self.stages):
            for name in ("first_layer", "end_layer", "first_device"):
                if not _is_whole(getattr(stage, name)):
                    yield number, f"a whole number as {name}, got {getattr(stage, name)!r}"
            if len(stage.submesh) != 2 or not all(map(_is_whole, stage.submesh)):
                yield number, f"a submesh of nodes and devices of each, got {stage.submesh}"
            names, sizes = stage.mesh.axis_names, stage.mesh.axis_sizes
            if len(set(names)) != len(sizes) or len(names) != len(sizes):
                yield number, f"as many different axis names as axis sizes, got {names}, {sizes}"
            if not sizes or not all(_is_whole(size) and size > 0 for size in sizes):
                yield number, f"axis sizes of at least 1, got {sizes}"

    def _broken_rules(self) -> Iterator[tuple[int, str]]:
        if not self.stages:
            yield 0, "at least one stage, got none"
        if not self.is_pipeline and len(self.stages) > 1:
            yield 1, f"no more stages than one under the schedule 'none', got {len(self.stages)}"
        most = self.cluster.num_nodes, self.cluster.devices_per_node
        layer, taken = 0, set[int]()
        for number, stage in enumerate(self.stages):
            if stage.first_layer != layer or stage.end_layer <= layer:
                yield (
                    number,
                    f"layers that start at {layer}, where the stage before ends, and at least "
                    f"one, got [{stage.first_layer}, {stage.end_layer})",
                )
            layer = stage.end_layer
            nodes, per_node = stage.submesh
            if not (1 <= nodes <= most[0] and 1 <= per_node <= most[1]):
                yield (
                    number,
                    f"a submesh of at most {most[0]} nodes with {most[1]} devices each, got "
                    f"{nodes} with {per_node}",
                )
            size = len(stage.devices)
            if stage.mesh.num_devices != size:
                yield (
                    number,
                    f"a logical mesh of the {size} devices of submesh {stage.submesh}, got "
                    f"{stage.mesh} of {stage.mesh.num_devices}",
                )
            if stage.devices.start < 0 or stage.devices.stop > self.cluster.num_devices:
                yield (
                    number,
                    f"devices of the cluster's {self.cluster.num_devices}, got "
                    f"{stage.devices.start} to {stage.devices.stop - 1}",
                )
            if not taken.isdisjoint(stage.devices):
                yield number, "devices of its own, got some that an earlier stage has"
            taken.update(stage.devices)
        if layer != self.num_layers:
            yield len(self.stages) - 1, f"to end at the last layer, {self.num_layers}, got {layer}"
        if self.num_microbatches < 1:
            yield 0, f"at least one microbatch, got {self.num_microbatches}"

    def check_program(self, program_hash: str) -> None:
        """Raises PlanError if the plan was made for another program."""
        if program_hash != self.program_hash:
            raise PlanError(
                f"expected the program '{self.program_name}' with hash {self.program_hash[:12]}, "
                f"got one with hash {program_hash[:12]}: the function, its options or the shapes "
                "of its arguments have changed; plan again"
            )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def bytes_per_device(shape: tuple[int, ...], itemsize: int, spec: Spec, mesh: LogicalMesh) -> int:
    """What one device keeps of a tensor; an uneven split is padded."""
    sizes = dict(zip(mesh.axis_names, mesh.axis_sizes, strict=True))
    dims = zip(shape, spec, strict=True)
    return itemsize * prod(-(-dim // prod(sizes[axis] for axis in axes)) for dim, axes in dims)


def _stage(data: Any) -> PlannedStage:
    values = _tuples(data)
    values["mesh"] = LogicalMesh(**values["mesh"])
    values["choices"] = tuple(Choice(**choice) for choice in values["choices"])
    values["collectives"] = tuple(PlannedCollective(**entry) for entry in values["collectives"])
    return PlannedStage(**values)


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    if isinstance(value, list):
        return tuple(_tuples(entry) for entry in cast(list[Any], value))
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in cast(dict[str, Any], value).items()}
    return value
