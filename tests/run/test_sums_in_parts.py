"""Gradients of a pipeline are reduced once per step, not once per microbatch."""

import dataclasses
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import optax
import pytest
from alpa_mlir.ir.spec import UnreducedSpec
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.schedule import Phase
from alpa_mlir.xla.collectives import bytes_by_kind, parse_collectives

PIPELINE = alpa.PipelineParallel(
    num_stages=2,
    num_microbatches=4,
    schedule="1f1b",
    num_processes=0,
    cache_dir=None,
    target_gap=0.2,
)


def compiled(model: Workload, method: alpa.PipelineParallel = PIPELINE) -> PipelineExecutable[Any]:
    executable = alpa.parallelize(model.train_step, method).compile(*model.abstract_arguments())
    assert isinstance(executable, PipelineExecutable)
    return executable


def gpt(dtype: jax.typing.DTypeLike = jnp.float32) -> Workload:
    return workload("gpt", "debug", 16, optax.sgd(1e-3), dtype=dtype)


def num_parts(executable: PipelineExecutable[Any], phase: Phase) -> int:
    """How many results of tasks of this phase are sums in parts."""
    programs = executable.driver.program.programs
    return sum(
        isinstance(spec, UnreducedSpec)
        for kind, program in programs.items()
        if kind.phase == phase
        for spec in program.out_specs
    )


def bytes_reduced_in_backward(executable: PipelineExecutable[Any]) -> float:
    """In one microbatch."""
    found = [
        each
        for kind, compiled in executable.compiled.items()
        if kind.phase == Phase.BACKWARD
        for each in parse_collectives(compiled.as_text() or "")
    ]
    kinds = bytes_by_kind(found)
    return kinds.get("all-reduce", 0) + kinds.get("reduce-scatter", 0)


def parameter_bytes(model: Workload) -> int:
    parameters = jax.tree.leaves(jax.eval_shape(model.init_state, jax.random.key(0)).params)
    return sum(each.size * each.dtype.itemsize for each in parameters)


def reduced_in_every_microbatch(executable: PipelineExecutable[Any]) -> list[str]:
    """Of the gradients."""
    return [
        f"{each.op_name}: {each.reason}"
        for each in executable.plan.collectives
        if each.reason.endswith("in every microbatch")
    ]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("model", ["gpt", "moe"])
def test_no_backward_reduces_a_gradient(model: str, dtype: jax.typing.DTypeLike) -> None:
    """Whatever sums it up: products, biases, gains of norms, embeddings."""
    executable = compiled(workload(model, "debug", 16, optax.sgd(1e-3), dtype=dtype))
    assert num_parts(executable, Phase.BACKWARD) > 10
    assert num_parts(executable, Phase.UPDATE) == 0
    assert not reduced_in_every_microbatch(executable)
    assert bytes_reduced_in_backward(executable) == 0


def test_each_is_reduced_once_per_step_as_planned() -> None:
    """The embedding is read by both stages: one sends its gradient to the other, reduced."""
    executable = compiled(gpt())
    num_bytes = parameter_bytes(gpt())
    actual = bytes_by_kind(executable.collectives())
    assert 0.9 * num_bytes < actual["all-reduce"] < 1.5 * num_bytes
    assert actual == executable.plan.collective_bytes()


def test_a_single_microbatch_has_no_sums() -> None:
    executable = compiled(gpt(), dataclasses.replace(PIPELINE, num_microbatches=1))
    assert num_parts(executable, Phase.BACKWARD) == 0


def test_state_stays_on_the_mesh_that_the_user_knows() -> None:
    model = gpt()
    step = alpa.parallelize(model.train_step, PIPELINE)
    state, loss = step(model.init_state(jax.random.key(0)), model.example_batch(jax.random.key(1)))
    axis_types = {
        t for leaf in jax.tree.leaves((state, loss)) for t in leaf.sharding.mesh.axis_types
    }
    assert axis_types == {jax.sharding.AxisType.Auto}


def test_a_sum_that_two_rounds_of_the_update_read_is_reduced_once() -> None:
    """Clipping by global norm reads gradients for their norm, then to scale them."""
    clipping = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1e-3))
    model = workload("gpt", "debug", 16, clipping, dtype=jnp.float32)
    actual = bytes_by_kind(compiled(model).collectives())
    assert actual["all-reduce"] < 1.5 * parameter_bytes(model)
