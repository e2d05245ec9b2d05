"""What a plan says a stage's devices hold is what XLA has allocated there."""

from __future__ import annotations

import dataclasses
from itertools import product
from types import SimpleNamespace
from typing import Any

import alpa_mlir as alpa
import optax
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.inter_op.cost_stage import cost_stage
from alpa_mlir.inter_op.costs import StageQuestion
from alpa_mlir.inter_op.layers import LayeredStep, unroll_layers
from alpa_mlir.intra_op.shard import normalize
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.options import ScheduleName
from alpa_mlir.runtime.memory import allocated_bytes
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.schedule import Phase
from oracles.extent import in_part


def load(model: str) -> Workload:
    return workload(model, "debug", 16, optax.adam(1e-3))


def method(schedule: ScheduleName) -> alpa.PipelineParallel:
    return alpa.PipelineParallel(
        num_stages=2,
        num_microbatches=4,
        schedule=schedule,
        num_processes=0,
        cache_dir=None,
        target_gap=0.2,
    )


def first_stage(model: str) -> StageQuestion:
    traced = alpa.parallelize(load(model).train_step).trace(*load(model).abstract_arguments())
    layered = LayeredStep.make(unroll_layers(normalize(traced.program.text)), 4, 2)
    stage = layered.range(0, 1)
    cluster = alpa.Cluster.local()
    return StageQuestion(stage.text, stage.key, LogicalMesh.of_shape((4,)), cluster, 4)


@pytest.mark.parametrize(
    ("schedule", "model"),
    # Of each model, and of each schedule, where there is no time for all.
    in_part(
        [("1f1b", "gpt"), ("gpipe", "moe"), ("1f1b", "mlp"), ("gpipe", "mlp")],
        list(product(["1f1b", "gpipe"], ["gpt", "moe", "mlp"])),
    ),
)
def test_planned_memory_is_near_that_of_xla(schedule: ScheduleName, model: str) -> None:
    step = alpa.parallelize(load(model).train_step, method(schedule))
    executable = step.compile(*load(model).abstract_arguments())
    assert isinstance(executable, PipelineExecutable)
    actual = executable.memory_by_device()
    for number, stage in enumerate(executable.plan.stages):
        most = max(actual[device] for device in executable.driver.layout.devices(number))
        assert 0.85 < stage.memory_bytes / most < 1.15


def test_allocated_bytes_are_xlas_own_peak_but_on_cpus() -> None:
    """There, XLA's peak leaves temporaries out; elsewhere, it knows what is live at once."""
    stats = SimpleNamespace(
        argument_size_in_bytes=100,
        output_size_in_bytes=40,
        alias_size_in_bytes=30,
        temp_size_in_bytes=7,
        peak_memory_in_bytes=113,
    )
    compiled = SimpleNamespace(memory_analysis=lambda: stats)
    assert allocated_bytes(compiled, "cpu") == 117
    assert [allocated_bytes(compiled, platform) for platform in ("cuda", "gpu")] == [113, 113]


@pytest.mark.parametrize("model", ["gpt", "mlp"])
def test_state_is_updated_in_place(model: str) -> None:
    """XLA copies donated state whose memory another result gets."""
    step = alpa.parallelize(load(model).train_step, method("1f1b"))
    executable = step.compile(*load(model).abstract_arguments())
    assert isinstance(executable, PipelineExecutable)
    updates = [c for kind, c in executable.compiled.items() if kind.phase == Phase.UPDATE]
    assert updates
    for compiled in updates:
        memory: Any = compiled.memory_analysis()
        assert memory.temp_size_in_bytes < 0.02 * memory.argument_size_in_bytes


def test_stage_is_sharded_again_where_its_problem_knew_too_little() -> None:
    question = first_stage("gpt")
    cost = cost_stage(question)
    assert cost
    limit = cost.memory_bytes(1) - 1
    smaller = cost_stage(dataclasses.replace(question, memory_limit_bytes=limit))
    assert smaller
    assert smaller.memory_bytes(1) <= limit
