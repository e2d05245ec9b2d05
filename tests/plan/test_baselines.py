"""Hand plans as data: shardings by rule, Megatron's grid, published stages."""

from __future__ import annotations

from math import prod
from typing import Any

import alpa_mlir as alpa
import jax
import optax
import pytest
from alpa_mlir.baselines.plans import ALPA_GPT, HandPlan, ablations, experts, grid, megatron_grid
from alpa_mlir.baselines.shardings import GSHARD, MEGATRON, Rules, place
from alpa_mlir.errors import ArgumentError
from alpa_mlir.models.workload import MODELS, Workload, workload
from alpa_mlir.options import FixedStages, StageShape
from oracles.benchmark_modules import load_benchmark

ADAM = optax.adam(1e-3)
CLUSTER = alpa.Cluster.preset("p3.16xlarge", num_nodes=2)


def debug(model: str, **overrides: Any) -> Workload:
    return workload(model, "debug", 8, ADAM, **overrides)


def specs(tree: Any) -> dict[str, tuple[Any, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): tuple(leaf.sharding.spec) for path, leaf in leaves}


def test_megatron_splits_columns_then_rows_and_moments_alike() -> None:
    state, batch = place(debug("gpt").abstract_arguments(), MEGATRON["gpt"], (2, 4))
    found = specs(state)
    layer = ".params['layers'][1]"
    assert found[f"{layer}['attention']['qkv']"] == (None, None, "y", None)
    assert found[f"{layer}['attention']['output']"] == ("y", None, None)
    assert found[f"{layer}['feed_forward']['input']"] == (None, "y")
    assert found[f"{layer}['feed_forward']['output']"] == ("y", None)
    assert found[f"{layer}['feed_forward_norm']['scale']"] == (None,)
    moment = found[".optimizer_state[0].mu['layers'][1]['attention']['qkv']"]
    assert moment == (None, None, "y", None)
    assert set(specs(batch).values()) == {("x", None)}


def test_sharded_optimizer_splits_moments_along_data_and_no_parameters() -> None:
    arguments = debug("gpt").abstract_arguments()
    state, _ = place(arguments, MEGATRON["gpt"], (2, 4), shards_optimizer=True)
    plain, _ = place(arguments, MEGATRON["gpt"], (2, 4))
    assert specs(state.params) == specs(plain.params)
    moments = {path: spec for path, spec in specs(state).items() if ".mu" in path}
    assert all(
        "x" in spec or ("x", "y") in spec for path, spec in moments.items() if "head" not in path
    )


def test_axes_that_divide_no_dim_are_left_out() -> None:
    setup = debug("gpt", num_heads=2, hidden_size=32)
    state, _ = place(setup.abstract_arguments(), MEGATRON["gpt"], (1, 4))
    assert specs(state)[".params['layers'][0]['attention']['output']"] == (None, None, None)


@pytest.mark.parametrize(
    ("model", "rules"), [*MEGATRON.items(), *GSHARD.items()], ids=lambda value: str(value)[:8]
)
def test_every_rule_is_of_a_parameter(model: str, rules: Rules) -> None:
    overrides = {"ties_embeddings": False} if model == "gpt" else {}
    setup = debug(model, **overrides)
    for rule in rules:
        state, _ = place(setup.abstract_arguments(), [rule], (2, 2))
        split = [spec for spec in specs(state.params).values() if any(spec)]
        assert split, rule


def test_experts_alone_are_split() -> None:
    for model, split in {
        "moe": ("input", "output"),
        "fine_moe": ("gate", "input", "output"),
    }.items():
        setup = debug(model)
        state, _ = place(setup.abstract_arguments(), GSHARD[model], (2,))
        found = {path: spec for path, spec in specs(state.params).items() if any(spec)}
        num_experts = MODELS[model].SIZES["debug"].num_experts
        shapes = {
            jax.tree_util.keystr(path): leaf.shape
            for path, leaf in jax.tree_util.tree_leaves_with_path(state.params)
        }
        assert found
        for path, spec in found.items():
            assert path.endswith(tuple(f"['{name}']" for name in split)), path
            assert (shapes[path][0], spec[0]) == (num_experts, "x"), path


def test_grid_uses_all_devices_and_keeps_tensors_in_a_node() -> None:
    found = list(grid(CLUSTER, num_layers=24))
    assert all(prod(each) == 16 for each in found)
    assert max(tensor for _, tensor, _ in found) == 8
    assert {(16, 1, 1), (2, 8, 1), (1, 8, 2), (2, 1, 8), (1, 2, 8)} <= set(found)
    assert max(pipeline for _, _, pipeline in grid(CLUSTER, num_layers=6)) == 4
    assert len(found) == len(set(found))


def test_megatron_grid_has_every_choice_once() -> None:
    ways = {"no recomputation": {"form": "unrolled"}, "recomputation": {"form": "checkpointed"}}
    plans = list(megatron_grid("gpt", CLUSTER, 1024, 24, ways))
    assert len({plan.name for plan in plans}) == len(plans)
    name = "Megatron 2 x 4 x 2, 256 microbatches, recomputation, optimizer sharded"
    (plan,) = (plan for plan in plans if plan.name == name)
    assert plan.method == alpa.ThreeDParallel(data=2, tensor=4, pipeline=2, num_microbatches=256)
    assert (plan.mesh_shape, plan.shards_optimizer) == ((2, 4), True)


def test_other_hand_plans_have_names_of_their_own() -> None:
    plans = [*ablations(), *experts("moe", CLUSTER)]
    assert len({plan.name for plan in plans}) == len(plans) == 6
    assert not list(experts("gpt", CLUSTER))


@pytest.mark.parametrize("num_devices", ALPA_GPT)
def test_published_stages_use_all_devices(num_devices: int) -> None:
    method = ALPA_GPT[num_devices].method
    assert isinstance(method, FixedStages)
    assert sum(prod(stage.submesh) for stage in method.stages) == num_devices
    assert all(prod(stage.submesh) == prod(stage.mesh_shape) for stage in method.stages)
    assert 1024 % int(method.num_microbatches) == 0


UNEVEN = (
    StageShape(1, (1, 1), (1, 1)),
    StageShape(1, (1, 1), (1, 1)),
    StageShape(2, (1, 2), (2, 1)),
)
FOUR = alpa.Cluster.from_json(CLUSTER.to_json() | {"num_nodes": 1, "devices_per_node": 4})


def test_ladder_counts_layers_again_only_where_they_are_recomputed() -> None:
    ladder: Any = load_benchmark("ladder")
    point = next(point for point in ladder.points() if point.size == "350M")
    forms = ("checkpointed", "unrolled")
    plans = [HandPlan("a", alpa.ShardParallel(), overrides={"form": form}) for form in forms]
    again, once = (ladder.tflops(point, plan, 1.0) for plan in plans)
    assert 1.2 < again / once < 4 / 3
    assert point.cluster.num_devices == 1


def test_fixed_stages_are_those_of_the_plan() -> None:
    method = FixedStages(stages=UNEVEN, num_layers=4, num_microbatches=2, num_processes=0)
    setup = debug("mlp", num_layers=4)
    plan = alpa.parallelize(setup.train_step, method, FOUR).plan(*setup.abstract_arguments())
    assert [stage.end_layer - stage.first_layer for stage in plan.stages] == [1, 1, 2]
    assert [stage.submesh for stage in plan.stages] == [(1, 1), (1, 1), (1, 2)]
    assert plan.stages[2].mesh.axis_sizes == (2, 1)
    assert plan.simulate().step_seconds == plan.step_seconds


def test_fixed_stages_of_other_layers_are_refused() -> None:
    method = FixedStages(stages=UNEVEN, num_layers=3, num_microbatches=2, num_processes=0)
    setup = debug("mlp", num_layers=4)
    step = alpa.parallelize(setup.train_step, method, FOUR)
    with pytest.raises(ArgumentError, match=r"expected stages of 3 layers in all, .* got 4"):
        step.plan(*setup.abstract_arguments())


def test_megatron_plan_keeps_its_shardings() -> None:
    setup = debug("gpt", num_layers=1)
    method = alpa.ThreeDParallel(data=2, tensor=2, num_microbatches=2, num_processes=0)
    state, batch = place(setup.abstract_arguments(), MEGATRON["gpt"], (2, 2))
    plan = alpa.parallelize(setup.train_step, method, FOUR).plan(state, batch)
    wanted = [tuple(leaf.sharding.spec) for leaf in jax.tree.leaves((state, batch))]
    found = [tuple(axes[0] if axes else None for axes in tensor.spec) for tensor in plan.arguments]
    assert found == wanted
    assert plan.has_user_shardings
