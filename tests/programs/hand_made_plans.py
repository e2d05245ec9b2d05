"""Plans written by hand, of any size and with any names: what reports are tested on, unsearched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import alpa_mlir as alpa
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.plan.data import (
    Choice,
    HeldValues,
    PhaseName,
    PlannedCollective,
    PlannedStage,
    PlannedTask,
    PlannedTransfer,
    PlannedValues,
    TemporaryBytes,
    TensorPlan,
    bytes_per_device,
)
from alpa_mlir.plan.versions import Versions
from alpa_mlir.simulate.planned import planned_timeline

_PARTS = {
    "attention.qkv": (1024, 3, 16, 64),
    "attention.output": (16, 64, 1024),
    "norm.scale": (1024,),
    "mlp.input": (1024, 4096),
    "mlp.output": (4096, 1024),
}
_PHASES: tuple[PhaseName, ...] = ("forward", "backward", "update")
_TREES = ("params", "optimizer[0].mu", "optimizer[0].nu")


def hand_made_plan(
    num_nodes: int = 1,
    num_stages: int = 2,
    num_layers: int = 4,
    num_microbatches: int = 4,
    name: str = "train_step",
) -> alpa.Plan:
    """A 1F1B pipeline on nodes of eight H100s, each stage as many of its devices as the others."""
    cluster = alpa.Cluster.preset("dgx-h100", num_nodes)
    stages = tuple(
        _stage(cluster, number, num_stages, num_layers, num_microbatches)
        for number in range(num_stages)
    )
    plan = alpa.Plan(
        versions=Versions.here(),
        program_name=name,
        program_hash="0123456789abcdef" * 4,
        method="Auto",
        strategy_space="auto",
        cluster=cluster,
        stages=stages,
        prologue=None,
        schedule="1f1b",
        num_microbatches=num_microbatches,
        num_layers=num_layers,
        allow_local_statistics=False,
        arguments=tuple(_arguments(stages)),
        results=(TensorPlan("result[1]", "result", "float32", (), (), 4, "", num_stages - 1),),
        transfers=tuple(
            PlannedTransfer(f"v{number}", *ends, 8_000_000, num_microbatches)
            for number in range(num_stages - 1)
            for ends in ((number, number + 1), (number + 1, number))
        ),
        values=tuple(_values(num_stages, num_microbatches)),
        step_seconds=0.0,
        remarks=("forward: 348 ops",),
    )
    return replace(plan, step_seconds=planned_timeline(plan).makespan_seconds)


def whole_plan(name: str = "train_step") -> alpa.Plan:
    """One program over one node."""
    plan = hand_made_plan(num_stages=1, num_layers=1, num_microbatches=1, name=name)
    stage = plan.stages[0]
    seconds = stage.forward_seconds + stage.backward_seconds + stage.update_seconds
    stage = replace(stage, forward_seconds=seconds, backward_seconds=0.0, update_seconds=0.0)
    return replace(plan, schedule="none", stages=(stage,), values=(), step_seconds=seconds)


def _stage(
    cluster: alpa.Cluster, number: int, num_stages: int, num_layers: int, num_microbatches: int
) -> PlannedStage:
    size = cluster.num_devices // num_stages
    per_node = min(size, cluster.devices_per_node)
    forward = 2e-3 + 1e-4 * (number % 3)
    return PlannedStage(
        first_layer=number * num_layers // num_stages,
        end_layer=(number + 1) * num_layers // num_stages,
        first_device=number * size,
        submesh=(size // per_node, per_node),
        mesh=LogicalMesh(("x", "y"), (size // per_node, per_node)),
        choices=tuple(_choices(num_layers // num_stages)),
        collectives=(
            _collective("all-reduce", 0.5e-3 * num_microbatches, num_microbatches, "backward"),
            _collective("reduce-scatter", 1e-3, 1, "update"),
        ),
        forward_seconds=forward,
        backward_seconds=2 * forward,
        update_seconds=1.5e-3,
        is_rematerialized=number == 0,
        num_in_flight=min(num_stages - number, num_microbatches),
        memory_bytes=40_000_000_000 + 1_000_000_000 * (num_stages - number),
        temporary_bytes=TemporaryBytes(1_000_000_000, 2_000_000_000, 500_000_000),
        cost=10**9,
        lower_bound=10**9 - 10**6,
    )


def _collective(kind: str, seconds: float, count: float, phase: str) -> PlannedCollective:
    return PlannedCollective(
        kind=kind,
        axes=("y",),
        bytes=1_000_000,
        count=count,
        seconds=seconds,
        op_id=7,
        op_name="stablehlo.dot_general",
        reason="partial sums of y=k",
        phase=phase,
    )


def _values(num_stages: int, num_microbatches: int) -> Iterator[PlannedValues]:
    """State, sums of gradients, activations, and what goes from stage to stage."""
    for k in range(num_stages):
        forward, backward, update = (PlannedTask(k, phase) for phase in _PHASES)
        own = (HeldValues(k, 1_000_000_000, 0),)
        state = PlannedValues(
            count=9, writer=None, readers=(forward, backward, update), held=own,
            is_per_microbatch=False, is_sum=False, is_donated=True, owner=k, kept_on=(),
        )  # fmt: skip
        yield state
        yield replace(state, writer=update, readers=(), is_donated=False, owner=None, kept_on=(k,))
        adds = (backward, update) if num_microbatches > 1 else (update,)
        sums = replace(state, writer=backward, readers=adds, is_donated=False, owner=None)
        yield replace(sums, is_sum=True)
        passed = replace(sums, is_per_microbatch=True)
        yield replace(passed, writer=forward, readers=(backward,))
        if k + 1 < num_stages:
            yield replace(
                passed, writer=forward, readers=(PlannedTask(k + 1, "forward"),),
                held=(HeldValues(k, 8_000_000, 0), HeldValues(k + 1, 8_000_000, 8_000_000)),
            )  # fmt: skip
            yield replace(
                passed, writer=PlannedTask(k + 1, "backward"), readers=(backward,),
                held=(HeldValues(k, 8_000_000, 8_000_000), HeldValues(k + 1, 8_000_000, 0)),
            )  # fmt: skip


def _choices(num_layers: int) -> Iterator[Choice]:
    """As many as GPT has ops in a layer."""
    for op_id in range(800 * num_layers):
        op = ("stablehlo.dot_general", "stablehlo.add", "stablehlo.reduce")[op_id % 3]
        yield Choice(op_id, op, ("x=i,y=j", "x=i", "replicated")[op_id % 5 % 3])


def _arguments(stages: tuple[PlannedStage, ...]) -> Iterator[TensorPlan]:
    for tree in _TREES:
        for number, stage in enumerate(stages):
            for layer in range(stage.first_layer, stage.end_layer):
                for part, shape in _PARTS.items():
                    yield _tensor(
                        f"state.{tree}.layers[{layer}].{part}", "state", shape, number, stage
                    )
        yield _tensor(f"state.{tree}.embedding", "state", (51200, 1024), 0, stages[0])
    yield _tensor("batch['tokens']", "batch", (512, 1024), 0, stages[0])


def _tensor(
    name: str, role: str, shape: tuple[int, ...], number: int, stage: PlannedStage
) -> TensorPlan:
    spec = (("y",), *[()] * (len(shape) - 1))
    num_bytes = bytes_per_device(shape, 4, spec, stage.mesh)
    reason = "dot_general splits k over y" if len(shape) > 1 else ""
    return TensorPlan(name, role, "float32", shape, spec, num_bytes, reason, number)
