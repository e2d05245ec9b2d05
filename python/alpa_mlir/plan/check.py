"""Whether a plan can be: of a pipeline on its cluster, and for the program at hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from alpa_mlir._native import strategy_spaces
from alpa_mlir.errors import PlanError
from alpa_mlir.fields import read
from alpa_mlir.frontend.trace import Argument, Result, TracedProgram
from alpa_mlir.plan.data import (
    SCHEDULES,
    PlanData,
    PlannedPrologue,
    PlannedStage,
    PlannedValues,
    TensorPlan,
    decisions,
)
from alpa_mlir.plan.versions import Versions

ADVICE = "correct the plan or plan again"

# A rule that is broken: the path of the field, and what was expected of it.
_Broken = tuple[str, str]


def check_plan(plan: PlanData) -> None:
    """Whether a plan that may have been changed in Python is one that a file could hold.

    Raises:
      PlanError: naming the field, and the rule that is broken.
    """
    read(PlanData, decisions(plan), PlanError, ADVICE)
    check_rules(plan)


def check_rules(plan: PlanData) -> None:
    """Whether fields that are right by themselves agree: the stages are those of a pipeline on the
    cluster, and what is said of them is said of stages, dims and axes that there are.

    Raises:
      PlanError: naming the field, and the rule that is broken.
    """
    for path, relation in chain(_broken_rules(plan), _broken_parts(plan)):
        raise PlanError(f"{path}: expected {relation}; {ADVICE}")


def check_program(plan: PlanData, program_hash: str, versions: Versions) -> None:
    """Whether the plan was made for this normalised module; then other versions do no harm.

    Raises:
      PlanError: it was made for another program, or other versions make another module of it.
    """
    if program_hash == plan.program_hash:
        return
    if versions != plan.versions:
        raise PlanError(
            f"expected a module of '{plan.program_name}' as {plan.versions} make it, got another "
            f"one of {versions}: choices of a plan are replayed by other versions only where the "
            "normalised module is the same; plan again"
        )
    raise PlanError(
        f"expected the program '{plan.program_name}' with hash {plan.program_hash[:12]}, got one "
        f"with hash {program_hash[:12]}: the function, its options or the shapes of its arguments "
        "have changed; plan again"
    )


def check_tensors(plan: PlanData, program: TracedProgram) -> None:
    """Whether the plan speaks of the arguments and results that the program has.

    Raises:
      PlanError: naming the first that is another.
    """
    _check_tensors("arguments", plan.arguments, program.arguments)
    _check_tensors("results", plan.results, program.results)


def _check_tensors(
    name: str, tensors: Sequence[TensorPlan], values: Sequence[Argument | Result]
) -> None:
    if len(tensors) != len(values):
        raise PlanError(f"{name}: expected {len(values)}, got {len(tensors)}; plan again")
    for number, (tensor, value) in enumerate(zip(tensors, values, strict=True)):
        there: dict[str, Any] = {
            "name": value.name,
            "dtype": str(value.aval.dtype),
            "shape": tuple(value.aval.shape),
        }
        for field, expected in there.items():
            if (got := getattr(tensor, field)) != expected:
                raise PlanError(
                    f"{name}[{number}].{field}: expected {expected!r}, as in the program, got "
                    f"{got!r}; {ADVICE}"
                )


# --- Stages ---


def _broken_rules(plan: PlanData) -> Iterator[_Broken]:
    if plan.strategy_space not in strategy_spaces():
        known = ", ".join(strategy_spaces())
        yield "strategy_space", f"one of {known}, got {plan.strategy_space!r}"
    if plan.schedule not in ("none", *SCHEDULES):
        yield "schedule", f"one of none, {', '.join(SCHEDULES)}, got {plan.schedule!r}"
    if not plan.stages:
        yield "stages", "at least one, got none"
    if not plan.is_pipeline and len(plan.stages) > 1:
        yield "stages", f"no more than one under the schedule 'none', got {len(plan.stages)}"
    if not plan.is_pipeline and plan.num_microbatches > 1:
        yield "num_microbatches", f"1 under the schedule 'none', got {plan.num_microbatches}"
    layer, taken = 0, list[range]()
    for number, stage in enumerate(plan.stages):
        path = f"stages[{number}]"
        if stage.first_layer != layer:
            yield (
                f"{path}.first_layer",
                f"to start at {layer}, where the stage before ends, got {stage.first_layer}",
            )
        if stage.end_layer <= layer:
            yield (
                f"{path}.end_layer",
                f"at least one layer, got [{stage.first_layer}, {stage.end_layer})",
            )
        layer = stage.end_layer
        yield from ((path + field, relation) for field, relation in _broken_mesh(stage))
        yield from ((path + field, relation) for field, relation in _broken_place(plan, stage))
        if any(_overlap(stage.devices, devices) for devices in taken):
            yield f"{path}.first_device", "devices of its own, got some that an earlier stage has"
        taken.append(stage.devices)
    if layer != plan.num_layers:
        last = f"stages[{len(plan.stages) - 1}].end_layer"
        yield last, f"to end at the last layer, {plan.num_layers}, got {layer}"


def _overlap(first: range, second: range) -> bool:
    return first.start < second.stop and second.start < first.stop


def _broken_mesh(stage: PlannedStage) -> Iterator[_Broken]:
    names, sizes = stage.mesh.axis_names, stage.mesh.axis_sizes
    if not sizes or len(set(names)) != len(sizes) or len(names) != len(sizes):
        yield ".mesh", f"as many different axis names as axis sizes, got {names}, {sizes}"


def _broken_place(plan: PlanData, stage: PlannedStage) -> Iterator[_Broken]:
    cluster, (nodes, per_node) = plan.cluster, stage.submesh
    if nodes > cluster.num_nodes or per_node > cluster.devices_per_node:
        yield (
            ".submesh",
            f"at most {cluster.num_nodes} nodes with {cluster.devices_per_node} devices each, "
            f"got {nodes} with {per_node}",
        )
    size = len(stage.devices)
    if stage.mesh.num_devices != size:
        yield (
            ".mesh",
            f"a logical mesh of the {size} devices of submesh {stage.submesh}, got "
            f"{stage.mesh} of {stage.mesh.num_devices}",
        )
    if stage.devices.stop > cluster.num_devices:
        yield (
            ".first_device",
            f"devices of the cluster's {cluster.num_devices}, got {stage.devices.start} to "
            f"{stage.devices.stop - 1}",
        )


# --- What is said of them ---


def _broken_parts(plan: PlanData) -> Iterator[_Broken]:
    for number, stage in enumerate(plan.stages):
        yield from _broken_answer(f"stages[{number}]", plan, stage, number)
        if stage.num_in_flight > plan.num_microbatches:
            yield (
                f"stages[{number}].num_in_flight",
                f"at most the {plan.num_microbatches} microbatches, got {stage.num_in_flight}",
            )
    if plan.prologue:
        yield from _broken_stage(plan, "prologue.stage", plan.prologue.stage)
        yield from _broken_answer("prologue", plan, plan.prologue, plan.prologue.stage)
    for name, tensors in (("arguments", plan.arguments), ("results", plan.results)):
        for number, tensor in enumerate(tensors):
            yield from _broken_tensor(plan, f"{name}[{number}]", tensor)
    for number, values in enumerate(plan.values):
        yield from _broken_values(plan, f"values[{number}]", values)
    for number, transfer in enumerate(plan.transfers):
        path = f"transfers[{number}]"
        yield from _broken_stage(plan, f"{path}.source", transfer.source)
        yield from _broken_stage(plan, f"{path}.target", transfer.target)


def _broken_values(plan: PlanData, path: str, values: PlannedValues) -> Iterator[_Broken]:
    """Whether a schedule can have such values; that these make a step, its simulation proves."""
    writers = () if values.writer is None else (values.writer,)
    for number, task in enumerate((*writers, *values.readers)):
        if task.round and task.phase != "update":
            yield f"{path}, task {number}", f"round 0 of a {task.phase}, got {task.round}"
    needed = {task.stage for task in (*writers, *values.readers)} | {*values.kept_on}
    if values.owner is not None:
        needed.add(values.owner)
    for stage in sorted(needed):
        yield from _broken_stage(plan, f"{path}, stage", stage)
    held = [each.stage for each in values.held]
    if held != sorted(needed):
        yield (
            f"{path}.held",
            f"each of the stages {sorted(needed)}, which make, own, read or keep the values, once "
            f"and in order, got {held}",
        )


def _broken_answer(
    path: str, plan: PlanData, part: PlannedStage | PlannedPrologue, stage: int
) -> Iterator[_Broken]:
    """Of the sharding problem of a stage or of the prologue."""
    if part.lower_bound > part.cost:
        yield f"{path}.lower_bound", f"at most the cost, {part.cost}, got {part.lower_bound}"
    for number, collective in enumerate(part.collectives):
        where = f"{path}.collectives[{number}].axes"
        yield from _broken_axes(plan, where, collective.axes, stage)


def _broken_tensor(plan: PlanData, path: str, tensor: TensorPlan) -> Iterator[_Broken]:
    if tensor.stage is not None:
        yield from _broken_stage(plan, f"{path}.stage", tensor.stage)
    if len(tensor.spec) != len(tensor.shape):
        yield (
            f"{path}.spec",
            f"an entry for each of the {len(tensor.shape)} dims, got {len(tensor.spec)}",
        )
    axes = [axis for dim in tensor.spec for axis in dim]
    yield from _broken_axes(plan, f"{path}.spec", axes, tensor.stage or 0)


def _broken_stage(plan: PlanData, path: str, stage: int) -> Iterator[_Broken]:
    if stage >= len(plan.stages):
        yield path, f"one of the stages 0 to {len(plan.stages) - 1}, got {stage}"


def _broken_axes(plan: PlanData, path: str, axes: Sequence[str], stage: int) -> Iterator[_Broken]:
    mesh = plan.stages[stage].mesh
    if len(set(axes)) != len(axes) or not set(axes) <= set(mesh.axis_names):
        yield path, f"different axes of {mesh}, the mesh of stage {stage}, got {', '.join(axes)}"
