"""A step with stacked state, planned in rows: what one without loops costs, and who owns what."""

from __future__ import annotations

from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import optax
import pytest
from alpa_mlir.frontend.stacks import Part, Stacks
from alpa_mlir.inter_op.layers import LayeredSteps
from alpa_mlir.inter_op.rows import StepInRows, step_in_rows
from alpa_mlir.intra_op.shard import normalize
from alpa_mlir.models.gpt import Form
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.plan.data import PlanData
from alpa_mlir.planner import Prepared, plan_program
from alpa_mlir.progress import Stopwatch

LAYERS = 4
METHOD = alpa.PipelineParallel(
    num_stages=2, num_microbatches=2, num_layers=LAYERS, num_processes=0, cache_dir=None
)


def gpt(form: Form) -> Workload:
    return workload("gpt", "debug", 8, optax.adamw(1e-3), num_layers=LAYERS, form=form)


def prepared(form: Form) -> Prepared:
    step = gpt(form)
    program = alpa.parallelize(step.train_step).trace(*step.abstract_arguments()).program
    return Prepared(program, LayeredSteps(normalize(program.text)))


@pytest.fixture(scope="module")
def scanned() -> StepInRows:
    step = prepared("scanned")
    found = step_in_rows(step.program, step.steps.normal)
    assert found is not None
    return found


def stacks_of(step: StepInRows) -> Stacks:
    assert step.program.stacks is not None
    return step.program.stacks


def planned(step: Prepared) -> PlanData:
    return plan_program(step, METHOD, alpa.Cluster.preset("dgx-a100"), Stopwatch("test"))


def test_scanned_model_costs_what_an_unrolled_one_costs(scanned: StepInRows) -> None:
    rows = planned(Prepared(scanned.program, LayeredSteps(scanned.normal)))
    unrolled = planned(prepared("unrolled"))
    assert rows.step_seconds == pytest.approx(unrolled.step_seconds, rel=1e-6)
    assert [stage.layers for stage in rows.stages] == [stage.layers for stage in unrolled.stages]
    moved, others = (sorted(t.bytes * t.count for t in p.transfers) for p in (rows, unrolled))
    assert moved == others
    for stage in range(2):
        kept, other = (
            sum(a.bytes_per_device for a in plan.arguments if a.stage == stage)
            for plan in (rows, unrolled)
        )
        assert kept == other


def test_rows_are_renewed_by_results_of_their_own(scanned: StepInRows) -> None:
    program = scanned.program
    stacked = {part.number for part in stacks_of(scanned).arguments if part.dim is not None}
    assert len(stacked) == 36  # twelve weights of a layer, and two moments of each
    for argument, part in zip(program.arguments, stacks_of(scanned).arguments, strict=True):
        if argument.state_result is None:
            continue
        result = program.results[argument.state_result]
        renewed = stacks_of(scanned).results[argument.state_result]
        assert (result.aval.shape, result.aval.dtype) == (argument.aval.shape, argument.aval.dtype)
        assert (renewed.dim, renewed.begin, renewed.end) == (part.dim, part.begin, part.end)
    names = [argument.name for argument in program.arguments]
    assert "state.params['layers']['attention']['output'][3]" in names
    assert len(set(names)) == len(names)


def test_rows_of_each_stack_follow_one_another(scanned: StepInRows) -> None:
    step = gpt("scanned")
    leaves = jax.tree.leaves(step.abstract_arguments())
    assert {part.number for part in stacks_of(scanned).arguments} == set(range(len(leaves)))
    for parts in (stacks_of(scanned).arguments, stacks_of(scanned).results):
        assert [part.number for part in parts] == sorted(part.number for part in parts)
    for number, leaf in enumerate(leaves):
        rows = [part for part in stacks_of(scanned).arguments if part.number == number]
        if rows[0].dim is None:
            assert rows == [Part(number)]
        else:
            bounds = [(row.begin, row.end) for row in rows]
            assert bounds == [(k, k + 1) for k in range(leaf.shape[rows[0].dim])]


def test_step_without_stacks_has_no_rows() -> None:
    step = prepared("unrolled")
    assert step_in_rows(step.program, step.steps.normal) is None


def test_stack_that_is_read_whole_stays_one() -> None:
    def train_step(w: jax.Array, x: jax.Array) -> jax.Array:
        def loss(w: jax.Array) -> jax.Array:
            h, _ = jax.lax.scan(lambda h, w: (jnp.tanh(h @ w), None), x, w)
            return jnp.mean(h**2) + jnp.linalg.norm(w.reshape(-1, 1) @ w.reshape(1, -1))

        return w - 0.1 * jax.grad(loss)(w)

    shapes: Any = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((3, 4, 4), (8, 4))]
    program = alpa.parallelize(train_step).trace(*shapes).program
    assert step_in_rows(program, normalize(program.text)) is None
