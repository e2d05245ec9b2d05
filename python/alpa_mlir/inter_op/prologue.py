"""The prologue of a pipelined step: a sharding problem of its own, on the mesh of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpa_mlir._native import FunctionSummary
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.errors import PlanError
from alpa_mlir.inter_op.layers import SplitStep
from alpa_mlir.intra_op.shard import NormalizedModule, ShardedModule, shard, shard_as_planned
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.functions import stage_of
from alpa_mlir.plan.data import PlanData

_NAME = "prologue"


@dataclass(frozen=True, eq=False)
class Prologue:
    """What is computed once from the whole batch, on the stage that reads it first."""

    stage: int
    function: FunctionSummary
    sharded: ShardedModule


def shard_prologue(
    split: SplitStep, meshes: Sequence[LogicalMesh], cluster: Cluster
) -> Prologue | None:
    """Sharded on the mesh of its stage; None where the step has none."""
    if (function := _function(split)) is None:
        return None
    stage = stage_of(function)
    return Prologue(stage, function, shard(_module(split), meshes[stage], cluster))


def prologue_as_planned(split: SplitStep, plan: PlanData) -> Prologue | None:
    """The same with the choices of a plan.

    Raises:
      PlanError: plan and step do not have one both, on the same stage; or choices do not fit.
    """
    function, planned = _function(split), plan.prologue
    wanted = None if function is None else stage_of(function)
    given = None if planned is None else planned.stage
    if wanted != given:
        raise PlanError(
            f"prologue.stage: expected {wanted}, where it is read first, got "
            f"{given} (None: no prologue); plan again"
        )
    if function is None or planned is None:
        return None
    mesh = plan.stages[planned.stage].mesh
    sharded = shard_as_planned(
        _module(split), mesh, plan.cluster, "auto", planned.choices, "prologue.choices"
    )
    return Prologue(planned.stage, function, sharded)


def _function(split: SplitStep) -> FunctionSummary | None:
    return next((f for f in split.stage_functions() if f.name == _NAME), None)


def _module(split: SplitStep) -> NormalizedModule:
    module = split.module.only(_NAME)
    jaxlib.give_rules(module)
    return NormalizedModule(module, "", ())
