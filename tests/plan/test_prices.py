"""One price per reshard: the sum of what is listed is what the solver minimised.

Real models, whole and as stages, chosen for by the solver and by dice: the problem prices no choice
below what the annotated module does, and mostly as that.
"""

from collections.abc import Iterator
from functools import cache, partial

import alpa_mlir as alpa
import numpy as np
import pytest
from alpa_mlir._native import DeviceSpec, Module, ShardingModel
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.cost.device_mesh import native_device, native_mesh
from alpa_mlir.inter_op.layers import LayeredStep, unroll_layers
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.shard import normalize, vertex_choices
from alpa_mlir.intra_op.solution import Solution
from alpa_mlir.intra_op.solve import solve
from alpa_mlir.ir import jaxlib
from oracles.random_sharding import random_choices
from programs.normalized_steps import normalized_step

CLUSTER = alpa.Cluster.local()
PICOSECOND = 1e-12
WHOLE = [
    ("mlp", (8,)),
    ("mlp", (2, 4)),
    ("gpt", (8,)),
    ("gpt", (2, 4)),
    ("gpt_checkpointed", (2, 4)),
    ("gpt_scanned", (2, 4)),
    ("moe", (8,)),
    ("moe", (2, 4)),
    ("wide_resnet", (8,)),
    ("wide_resnet", (2, 4)),
]
STAGES = [("mlp", 0), ("gpt", 0), ("gpt", 1), ("gpt_checkpointed", 1), ("moe", 0)]


@cache
def whole_model(name: str, mesh_shape: tuple[int, ...]) -> ShardingModel:
    mesh = LogicalMesh.of_shape(mesh_shape)
    module = Module.parse(normalized_step(name).text)
    return ShardingModel(module, native_mesh(mesh, CLUSTER), native_device(CLUSTER, None))


@cache
def stage_model(name: str, number: int) -> ShardingModel:
    """A stage of two, with four microbatches."""
    layered = LayeredStep.make(unroll_layers(normalized_step(name)), 4, 2, False)
    module = layered.split(range(2)).stage(number).module
    return StageModel.of(module, LogicalMesh.of_shape((2, 2)), CLUSTER).model


MODELS = [
    *(pytest.param(partial(whole_model, *which), id=f"{which[0]}-{which[1]}") for which in WHOLE),
    *(
        pytest.param(partial(stage_model, *which), id=f"{which[0]}-stage{which[1]}")
        for which in STAGES
    ),
]


@cache
def solution(model: ShardingModel) -> Solution:
    return solve(model.problem, work_limit=200_000_000, target_gap=0.005)


def choices_by_dice(model: ShardingModel) -> Iterator[list[int]]:
    for seed in range(3):
        choices = random_choices(model.problem, np.random.default_rng(seed))
        yield choices[: model.num_vertices]


def rounding(model: ShardingModel) -> float:
    """Of a picosecond for each cost that the problem adds up."""
    return PICOSECOND * (model.problem.num_nodes + model.problem.num_edges)


@pytest.mark.parametrize("make", MODELS)
def test_solver_cost_is_what_the_plan_does(
    make: partial[ShardingModel], request: pytest.FixtureRequest
) -> None:
    model = make()
    found = solution(model)
    seconds = model.seconds(vertex_choices(model, found))
    price = found.cost * PICOSECOND
    assert sum(seconds.values()) <= price + rounding(model)
    # Where one loop reads parameters whole and the other as they lie, the problem has them go to
    # the whole and back; the module does not go back. In the stage of a GPT, row statistics are
    # gathered over both axes at once and then cut, by two maps that have edges of their own.
    is_exact = not {"gpt_scanned-(2, 4)", "gpt-stage1"} & {request.node.callspec.id}
    tolerance = rounding(model) if is_exact else 0.01 * price
    assert sum(seconds.values()) == pytest.approx(price, abs=tolerance)


def test_models_that_are_priced_communicate() -> None:
    model = whole_model("gpt", (2, 4))
    seconds = model.seconds(vertex_choices(model, solution(model)))
    assert seconds["collectives"] > 0.05 * sum(seconds.values())
    assert seconds["copies"] > 0


@pytest.mark.parametrize("make", MODELS)
def test_what_is_listed_adds_up(make: partial[ShardingModel]) -> None:
    model = make()
    for choices in [vertex_choices(model, solution(model)), *choices_by_dice(model)]:
        seconds = model.seconds(choices)
        total = sum(seconds.values())
        listed = sum(collective.seconds for collective in model.collectives(choices))
        assert listed == pytest.approx(seconds["collectives"])
        assert sum(model.phase_seconds(choices).values()) == pytest.approx(total)
        assert model.cost(choices) == pytest.approx(total / PICOSECOND, abs=1)


@pytest.mark.parametrize("make", MODELS)
def test_problem_prices_no_choice_below_its_cost(make: partial[ShardingModel]) -> None:
    model = make()
    for choices in choices_by_dice(model):
        completed = model.complete(choices)
        assert completed[: model.num_vertices] == choices
        price = model.problem.evaluate(completed).cost * PICOSECOND
        assert sum(model.seconds(choices).values()) <= price + rounding(model)


@pytest.mark.parametrize("make", MODELS)
def test_complete_finds_the_views_of_the_solver(make: partial[ShardingModel]) -> None:
    model = make()
    found = solution(model)
    completed = model.complete(vertex_choices(model, found))
    assert model.problem.evaluate(completed).cost <= found.cost


LOOP = """
func.func public @main(%x: tensor<64x64xf32>, %w: tensor<64x64xf32>) -> tensor<64x64xf32> {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %0:2 = stablehlo.while(%i = %zero, %y = %x) : tensor<i32>, tensor<64x64xf32>
  cond {
    %limit = stablehlo.constant dense<5> : tensor<i32>
    %1 = stablehlo.compare LT, %i, %limit : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %1 : tensor<i1>
  } do {
    %one = stablehlo.constant dense<1> : tensor<i32>
    %1 = stablehlo.add %i, %one : tensor<i32>
    %2 = stablehlo.dot_general %y, %w, contracting_dims = [1] x [0]
         : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
    stablehlo.return %1, %2 : tensor<i32>, tensor<64x64xf32>
  }
  return %0#1 : tensor<64x64xf32>
}
"""


def test_reshard_runs_as_often_as_its_value_is_made() -> None:
    mesh = LogicalMesh.of_shape((8,))
    module = Module.parse(normalize(jaxlib.to_generic(LOOP)).text)
    model = ShardingModel(module, native_mesh(mesh, CLUSTER), native_device(CLUSTER, None))
    chosen = {"argument 1": "{x},{}", "carried 1 of stablehlo.while": "{x},{}"}
    choices = [
        model.strategy_names(vertex).index(chosen[name]) if name in chosen else 0
        for vertex, name in enumerate(map(model.node_name, range(model.num_vertices)))
    ]
    # The weight is gathered before the loop, what the loop carries in each of its rounds.
    gathers = [c.count for c in model.collectives(choices) if c.kind == "all-gather"]
    assert sorted(gathers) == [1, 5]


SUM = """
func.func public @main(%x: tensor<8x8x4xf32>) -> tensor<4xf32> {
  %zero = stablehlo.constant dense<0.0> : tensor<f32>
  %0 = stablehlo.reduce(%x init: %zero) applies stablehlo.add across dimensions = [0, 1]
       : (tensor<8x8x4xf32>, tensor<f32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
"""


@pytest.mark.parametrize(
    ("has_reduce_scatter", "axes"), [(True, [["x", "y"]]), (False, [["x"], ["y"]])]
)
def test_sum_over_two_split_dims_is_one_all_reduce_on_gpus(
    has_reduce_scatter: bool, axes: list[list[str]]
) -> None:
    """XLA makes one for each dim; its compiler for GPUs folds them."""
    module = Module.parse(normalize(jaxlib.to_generic(SUM)).text)
    mesh = native_mesh(LogicalMesh.of_shape((2, 4)), CLUSTER)
    model = ShardingModel(module, mesh, DeviceSpec({"f32": 1e12}, 1e11, 0, has_reduce_scatter))
    argument = model.strategy_names(0).index("{x},{y},{}")
    collectives = model.collectives([argument, model.strategy_names(1).index("x=i,y=j")])
    assert [(c.kind, c.axes, c.bytes) for c in collectives] == [
        ("all-reduce", each, 16) for each in axes
    ]
