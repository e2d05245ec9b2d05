"""Plans as data: determinism, JSON, refusal of what they were not made for."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir.errors import PlanError
from alpa_mlir.plan.check import check_program

CLUSTER = alpa.Cluster.preset("dgx-h100")
SHAPES = (
    [jax.ShapeDtypeStruct((4096, 4096), jnp.float32)] * 3,
    jax.ShapeDtypeStruct((8192, 4096), jnp.float32),
)


def train_step(params: Any, x: Any) -> Any:
    def loss(params: Any) -> Any:
        h = x
        for w in params:
            h = jnp.tanh(h @ w)
        return jnp.square(h).mean()

    value, grads = jax.value_and_grad(loss)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value


@pytest.fixture(scope="module")
def plan() -> alpa.Plan:
    return alpa.parallelize(train_step, alpa.ShardParallel(), CLUSTER).plan(*SHAPES)


def fixed(plan: alpa.Plan) -> alpa.Plan:
    return alpa.parallelize(train_step, alpa.FixedPlan(plan), CLUSTER).plan(*SHAPES)


def with_choices(plan: alpa.Plan, choices: Any) -> alpa.Plan:
    return replace(plan, stages=(replace(plan.stages[0], choices=choices),))


def test_plan_holds_its_predictions(plan: alpa.Plan) -> None:
    assert plan.step_seconds > 0
    assert plan.memory_bytes > 0
    assert plan.solver_gap < 1e-6
    assert plan.arguments[0].role == "state"
    assert plan.arguments[-1].role == "batch"
    assert plan.collectives


def test_plan_made_twice_is_the_same_byte_for_byte(plan: alpa.Plan) -> None:
    program = (
        "import json, sys; sys.path[:0] = sys.argv[1:]; import test_plan as t; "
        "print(json.dumps(t.alpa.parallelize(t.train_step, t.alpa.ShardParallel(), t.CLUSTER)"
        ".plan(*t.SHAPES).to_json()))"
    )
    path = [str(Path(__file__).parent), str(Path(alpa.__file__).parents[1])]
    printed = subprocess.run(
        [sys.executable, "-c", program, *path],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == json.dumps(plan.to_json()) + "\n"


def test_explain_names_tensors_collectives_and_memory(plan: alpa.Plan) -> None:
    text = plan.explain()
    for part in ("ShardParallel on 8 x NVIDIA H100", "params[", "predicted collectives", "GB per"):
        assert part in text


def test_other_meshes_are_alternatives(plan: alpa.Plan) -> None:
    assert plan.alternatives
    seconds = [each.step_seconds for each in plan.alternatives]
    assert plan.step_seconds <= seconds[0]
    assert seconds == sorted(seconds)
    assert plan.outline not in [each.name for each in plan.alternatives]
    assert plan.alternatives[0].name in plan.explain()
    asked = alpa.ShardParallel(mesh_shape=(2, 4))
    alone = alpa.parallelize(train_step, asked, CLUSTER).plan(*SHAPES)
    assert not alone.alternatives
    assert "alternatives" not in alone.explain()


def test_pipelines_and_one_program_are_alternatives() -> None:
    method = alpa.Auto(num_layers=2, num_processes=0, cache_dir=None)
    shapes = jax.tree.map(lambda each: jax.ShapeDtypeStruct((16384, 16384), each.dtype), SHAPES)
    cluster = alpa.Cluster.preset("dgx-h100")
    found = alpa.parallelize(train_step, method, cluster).plan(*shapes)
    kinds = {each.name.partition(",")[0].partition(" on ")[0] for each in found.alternatives}
    assert "one program" in kinds
    assert any("stage" in kind for kind in kinds)
    assert len({each.name for each in found.alternatives}) == len(found.alternatives)


def test_no_pipeline_is_searched_for_where_starting_it_takes_longer_than_the_step() -> None:
    """Each executable takes some time to start, however little it computes."""
    shapes = jax.tree.map(lambda each: jax.ShapeDtypeStruct((64, 64), each.dtype), SHAPES)
    cluster = alpa.Cluster.preset("dgx-h100")
    parallel = alpa.parallelize(train_step, alpa.Auto(cache_dir=None), cluster)
    found = parallel.plan(*shapes)
    assert found.remarks[-1].startswith("no pipeline: it would start 32 executables or more")
    assert "shard stages" not in parallel.stopwatch.seconds
    asked = alpa.Auto(num_microbatches=2, num_layers=2, num_processes=0, cache_dir=None)
    assert alpa.parallelize(train_step, asked, cluster).plan(*shapes).num_microbatches == 2


def test_fixed_plan_is_replayed(plan: alpa.Plan) -> None:
    assert fixed(plan) == plan


def test_fixed_plan_for_another_program(plan: alpa.Plan) -> None:
    with pytest.raises(PlanError, match="got one with hash 000000000000"):
        check_program(plan, "0" * 64, plan.versions)


def test_fixed_plan_with_an_edited_strategy(plan: alpa.Plan) -> None:
    choices = (replace(plan.choices[0], strategy="sideways"), *plan.choices[1:])
    with pytest.raises(PlanError, match=r"expected one of the strategies .*, got 'sideways'"):
        fixed(with_choices(plan, choices))


def test_fixed_plan_with_a_missing_choice(plan: alpa.Plan) -> None:
    with pytest.raises(PlanError, match=r"expected \d+ choices, got \d+"):
        fixed(with_choices(plan, plan.choices[1:]))


def test_fixed_plan_with_choices_swapped(plan: alpa.Plan) -> None:
    choices = (*plan.choices[-1:], *plan.choices[1:-1], *plan.choices[:1])
    with pytest.raises(PlanError, match=r"expected a choice for params\[0\]"):
        fixed(with_choices(plan, choices))


def test_load_of_another_version(plan: alpa.Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan.to_json() | {"version": 99}))
    with pytest.raises(PlanError, match="expected a plan of version 4, got 99"):
        alpa.Plan.load(path)


def test_load_of_a_damaged_file(plan: alpa.Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("not JSON")
    with pytest.raises(PlanError, match="cannot read the plan"):
        alpa.Plan.load(path)
    data = plan.to_json()
    del data["stages"]
    path.write_text(json.dumps(data))
    with pytest.raises(PlanError, match=r"plan\.json: stages: expected a value, got nothing"):
        alpa.Plan.load(path)


def test_numbers_of_a_file_are_saved_as_they_were_written(plan: alpa.Plan, tmp_path: Path) -> None:
    path, again = tmp_path / "plan.json", tmp_path / "again.json"
    data = json.loads(json.dumps(plan.to_json()))
    data["cluster"]["intra_node"]["bytes_per_second"] = 450_000_000_000
    data["step_seconds"] = 1
    path.write_text(json.dumps(data, indent=1) + "\n")
    alpa.Plan.load(path).save(again)
    assert again.read_bytes() == path.read_bytes()


def test_plan_that_says_what_the_program_does_not(plan: alpa.Plan) -> None:
    arguments = (replace(plan.arguments[0], shape=(4096, 4095)), *plan.arguments[1:])
    with pytest.raises(PlanError, match=r"arguments\[0\]\.shape: expected \(4096, 4096\), as in"):
        fixed(replace(plan, arguments=arguments))
    with pytest.raises(PlanError, match=r"results: expected \d, got 1"):
        fixed(replace(plan, results=plan.results[:1]))
