"""Whether a plan can be: of a pipeline on its cluster, and for the program at hand."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from alpa_mlir._native import strategy_spaces
from alpa_mlir.errors import PlanError
from alpa_mlir.plan.data import PlanData, PlannedStage
from alpa_mlir.plan.versions import Versions


def check_plan(plan: PlanData) -> None:
    """Whether the stages can be those of a pipeline on the cluster.

    Raises:
      PlanError: naming the rule that is broken; such a plan was edited.
    """
    for stage, relation in chain(_broken_types(plan), _broken_rules(plan)):
        raise PlanError(f"stage {stage}: expected {relation}; correct the plan or plan again")


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


def _broken_types(plan: PlanData) -> Iterator[tuple[int, str]]:
    """What makes no sense of itself; the rules count on this."""
    if plan.strategy_space not in strategy_spaces():
        known = ", ".join(strategy_spaces())
        yield 0, f"a strategy_space of {known}, got {plan.strategy_space!r}"
    for name in ("num_microbatches", "num_layers"):
        if not _is_whole(getattr(plan, name)):
            yield 0, f"a whole number as {name}, got {getattr(plan, name)!r}"
    for number, stage in enumerate(plan.stages):
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


def _broken_rules(plan: PlanData) -> Iterator[tuple[int, str]]:
    if not plan.stages:
        yield 0, "at least one stage, got none"
    if not plan.is_pipeline and len(plan.stages) > 1:
        yield 1, f"no more stages than one under the schedule 'none', got {len(plan.stages)}"
    layer, taken = 0, set[int]()
    for number, stage in enumerate(plan.stages):
        if stage.first_layer != layer or stage.end_layer <= layer:
            yield (
                number,
                f"layers that start at {layer}, where the stage before ends, and at least "
                f"one, got [{stage.first_layer}, {stage.end_layer})",
            )
        layer = stage.end_layer
        yield from ((number, relation) for relation in _broken_places(plan, stage, taken))
        taken.update(stage.devices)
    if layer != plan.num_layers:
        yield len(plan.stages) - 1, f"to end at the last layer, {plan.num_layers}, got {layer}"
    if plan.num_microbatches < 1:
        yield 0, f"at least one microbatch, got {plan.num_microbatches}"
    if plan.prologue and not 0 <= plan.prologue.stage < len(plan.stages):
        last = len(plan.stages) - 1
        yield 0, f"a prologue on one of the stages 0 to {last}, got {plan.prologue.stage}"


def _broken_places(plan: PlanData, stage: PlannedStage, taken: set[int]) -> Iterator[str]:
    cluster, (nodes, per_node) = plan.cluster, stage.submesh
    if not (1 <= nodes <= cluster.num_nodes and 1 <= per_node <= cluster.devices_per_node):
        yield (
            f"a submesh of at most {cluster.num_nodes} nodes with {cluster.devices_per_node} "
            f"devices each, got {nodes} with {per_node}"
        )
    size = len(stage.devices)
    if stage.mesh.num_devices != size:
        yield (
            f"a logical mesh of the {size} devices of submesh {stage.submesh}, got "
            f"{stage.mesh} of {stage.mesh.num_devices}"
        )
    if stage.devices.start < 0 or stage.devices.stop > cluster.num_devices:
        yield (
            f"devices of the cluster's {cluster.num_devices}, got {stage.devices.start} to "
            f"{stage.devices.stop - 1}"
        )
    if not taken.isdisjoint(stage.devices):
        yield "devices of its own, got some that an earlier stage has"


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
