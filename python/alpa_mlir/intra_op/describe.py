"""Turns a sharded module into a plan: the decisions in words and numbers that outlive it."""

from collections.abc import Sequence
from typing import Any

import jax

from alpa_mlir._native import ShardingModel
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.frontend.trace import Argument, TracedProgram
from alpa_mlir.intra_op.shard import (
    NormalizedModule,
    ShardedModule,
    cost_and_bound,
    named_choices,
)
from alpa_mlir.ir.spec import Spec
from alpa_mlir.options import Method
from alpa_mlir.plan.data import (
    Choice,
    PlanData,
    PlannedCollective,
    PlannedStage,
    TemporaryBytes,
    TensorPlan,
    bytes_per_device,
)
from alpa_mlir.plan.versions import Versions

PICOSECOND = 1e-12  # unit of the costs of a sharding problem


def make_plan(
    program: TracedProgram,
    normal: NormalizedModule,
    sharded: ShardedModule,
    cluster: Cluster,
    method: Method,
) -> PlanData:
    """The plan of a module that was just sharded."""
    assert sharded.solution is not None
    boundary = sharded.boundary
    cost, lower_bound = cost_and_bound(sharded.model, sharded.solution)
    choices = named_choices(sharded.model, sharded.choices)
    reasons = _reasons(boundary.readers, choices)
    stage = PlannedStage(
        first_layer=0,
        end_layer=1,
        first_device=0,
        submesh=(cluster.num_nodes, cluster.devices_per_node),
        mesh=sharded.mesh,
        choices=choices,
        collectives=planned_collectives(sharded.model, sharded.choices),
        forward_seconds=cost * PICOSECOND,
        backward_seconds=0.0,
        update_seconds=0.0,
        is_rematerialized=False,
        num_in_flight=1,
        memory_bytes=sharded.model.peak_bytes(sharded.choices),
        temporary_bytes=TemporaryBytes(),
        cost=cost,
        lower_bound=lower_bound,
    )
    return PlanData(
        versions=Versions.here(),
        program_name=program.name,
        program_hash=normal.hash,
        method=type(method).__name__,
        strategy_space=method.strategy_space,
        cluster=cluster,
        stages=(stage,),
        prologue=None,
        schedule="none",
        num_microbatches=1,
        num_layers=1,
        allow_local_statistics=False,
        arguments=tuple(
            tensor_plan(a.name, argument_role(a), a.aval, spec, sharded.mesh, reason)
            for a, spec, reason in zip(program.arguments, boundary.arguments, reasons, strict=True)
        ),
        results=tuple(
            tensor_plan(r.name, role, r.aval, spec, sharded.mesh)
            for r, role, spec in zip(
                program.results, result_roles(program), boundary.results, strict=True
            )
        ),
        transfers=(),
        values=(),
        step_seconds=cost * PICOSECOND,
        remarks=sharded.remarks,
    )


def planned_collectives(
    model: ShardingModel, choices: Sequence[int]
) -> tuple[PlannedCollective, ...]:
    return tuple(
        PlannedCollective(
            kind=c.kind,
            axes=tuple(c.axes),
            bytes=c.bytes,
            count=c.count,
            seconds=c.seconds,
            op_id=c.op_id,
            op_name=c.op_name,
            reason=c.reason,
            phase=c.phase,
        )
        for c in model.collectives(list(choices))
    )


def tensor_plan(
    name: str,
    role: str,
    aval: Any,
    spec: Spec,
    mesh: LogicalMesh,
    reason: str = "",
    stage: int | None = 0,
) -> TensorPlan:
    if jax.numpy.issubdtype(aval.dtype, jax.dtypes.extended):  # a key: shown without its words
        spec = spec[: len(aval.shape)]
    return TensorPlan(
        name=name,
        role=role,
        dtype=str(aval.dtype),
        shape=tuple(aval.shape),
        spec=spec,
        bytes_per_device=bytes_per_device(tuple(aval.shape), aval.dtype.itemsize, spec, mesh),
        reason=reason,
        stage=stage,
    )


def argument_role(argument: Argument) -> str:
    if argument.is_batch:
        return "batch"
    return "input" if argument.state_result is None else "state"


def result_roles(program: TracedProgram) -> list[str]:
    state = {a.state_result for a in program.arguments}
    return ["state" if i in state else "result" for i in range(len(program.results))]


def _reasons(readers: Sequence[int], choices: Sequence[Choice]) -> list[str]:
    """For each argument, the op that reads it first, a product if there is one, and how it runs."""
    strategies = {c.op_id: c for c in reversed(choices) if c.op_id >= 0}
    reasons: list[str] = []
    for argument, op_id in enumerate(readers):
        choice = strategies.get(op_id)
        words = _in_words(choice) if choice else ""
        if choices[argument].is_fixed:
            words = f"{words} (fixed by the user)".strip()
        reasons.append(words)
    return reasons


def _in_words(choice: Choice) -> str:
    """Strategy "x=k,y=j" of a dot_general as "dot_general splits k over x, j over y"."""
    op = choice.node.split(".")[-1]
    pairs = [part.split("=") for part in choice.strategy.split(",") if part.count("=") == 1]
    if not pairs:
        return f"{op} is {choice.strategy}"
    return f"{op} splits " + ", ".join(f"{factor} over {axis}" for axis, factor in pairs)
