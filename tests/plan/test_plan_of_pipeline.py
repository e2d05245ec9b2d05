"""Plans of pipelines: made without lowering, once, and the same from a file as from the search."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import optax
import pytest
from alpa_mlir import _native
from alpa_mlir.errors import PlanError
from alpa_mlir.models import gpt as gpt_model
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.parallelize import ParallelFunction
from alpa_mlir.plan.versions import Versions
from programs.training_steps import STEPS

CLUSTER = replace(
    alpa.Cluster.preset("dgx-h100"), num_nodes=1, devices_per_node=4, name="half a node"
)
METHOD = alpa.PipelineParallel(
    num_stages=2,
    num_microbatches=4,
    num_layers=2,
    num_processes=0,
    cache_dir=None,
    time_limit_seconds=1,
    target_gap=0.05,
)


@pytest.fixture(scope="module")
def gpt() -> Workload:
    return workload("gpt", "debug", 8, optax.adam(1e-3))


@pytest.fixture(scope="module")
def plan(gpt: Workload) -> alpa.Plan:
    return alpa.parallelize(gpt.train_step, METHOD, CLUSTER).plan(*gpt.abstract_arguments())


def fixed(gpt: Workload, plan: alpa.Plan) -> ParallelFunction:
    return alpa.parallelize(gpt.train_step, alpa.FixedPlan(plan), CLUSTER)


def test_loaded_and_replayed_plans_are_the_same_byte_for_byte(
    gpt: Workload, plan: alpa.Plan, tmp_path: Path
) -> None:
    first, second = tmp_path / "plan.json", tmp_path / "again.json"
    plan.save(first)
    replayed = fixed(gpt, alpa.Plan.load(first)).plan(*gpt.abstract_arguments())
    replayed.save(second)
    assert first.read_bytes() == second.read_bytes()
    lowered = fixed(gpt, replayed).lower(*gpt.abstract_arguments())
    assert json.dumps(lowered.plan.to_json()) == json.dumps(plan.to_json())


def test_plan_lowers_nothing_and_is_made_once(
    gpt: Workload, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    run = _native.Module.run

    def spy(module: _native.Module, pipeline: str) -> Any:
        ran.append(pipeline)
        return run(module, pipeline)

    monkeypatch.setattr(_native.Module, "run", spy)
    step = alpa.parallelize(gpt.train_step, METHOD, CLUSTER)
    arguments = gpt.abstract_arguments()
    plan = step.plan(*arguments)
    assert any("alpa-cluster-layers" in pipeline for pipeline in ran)
    assert not any("alpa-annotate-shardings" in pipeline for pipeline in ran)

    ran.clear()
    assert step.plan(*arguments) is plan
    assert ran == []
    solved = step.stopwatch.seconds["shard stages"]
    assert step.lower(*arguments).plan is plan
    assert any("alpa-annotate-shardings" in pipeline for pipeline in ran)
    assert not any("alpa-cluster-layers" in pipeline for pipeline in ran)
    assert step.stopwatch.seconds["shard stages"] == solved


def test_plan_records_its_versions(plan: alpa.Plan) -> None:
    assert plan.versions == Versions.here()
    assert plan.to_json()["versions"]["jax"] == jax.__version__


def test_plan_of_other_versions_is_replayed_where_the_module_is_the_same(
    gpt: Workload, plan: alpa.Plan
) -> None:
    old = replace(plan, versions=Versions("0.9.9", "0.0.1"))
    assert fixed(gpt, old).plan(*gpt.abstract_arguments()).stages == plan.stages


def test_plan_of_other_versions_is_refused_where_it_is_another(
    gpt: Workload, plan: alpa.Plan
) -> None:
    old = replace(plan, versions=Versions("0.9.9", "0.0.1"), program_hash="0" * 64)
    with pytest.raises(PlanError, match=r"as JAX 0\.9\.9 and passes 0\.0\.1 make it"):
        fixed(gpt, old).plan(*gpt.abstract_arguments())


def test_prologue_is_part_of_the_plan() -> None:
    """What reads the whole batch runs once, first, on a stage, with shardings of the plan."""
    step = STEPS["everything"]
    plan = alpa.parallelize(step.function, METHOD, CLUSTER).plan(*step.arguments)
    assert plan.prologue is not None
    assert plan.prologue.choices
    assert alpa.Plan.from_json(plan.to_json()) == plan
    broken = replace(plan, prologue=replace(plan.prologue, stage=7))
    with pytest.raises(PlanError, match=r"prologue\.stage: expected one of .* 0 to 1, got 7"):
        alpa.parallelize(step.function, alpa.FixedPlan(broken), CLUSTER).plan(*step.arguments)


def test_gradients_that_are_returned_are_made_where_their_layers_are(gpt: Workload) -> None:
    """No update says what a gradient is: the backward pass is beside the forward all the same."""
    state, batch = gpt.abstract_arguments()
    config = gpt_model.SIZES["debug"]
    step = jax.value_and_grad(lambda params, batch: gpt_model.loss_fn(params, batch, config))
    plan = alpa.parallelize(step, METHOD, CLUSTER).plan(state.params, batch)
    first, last = plan.stages
    assert 0.5 < first.backward_seconds / last.backward_seconds < 2
    assert {tensor.stage for tensor in plan.results[1:]} == {0, 1}
