"""How arguments and results lie is known before it is written, and is what is written then."""

import alpa_mlir as alpa
import numpy as np
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.intra_op.shard import Effort, ShardedModule, normalize, shard
from alpa_mlir.ir import jaxlib
from alpa_mlir.lower.annotate import annotated_text
from oracles.annotated_boundary import read_boundary
from oracles.random_sharding import random_choices
from programs.normalized_steps import normalized_step

MODELS = ["mlp", "gpt", "gpt_scanned", "gpt_checkpointed", "moe", "wide_resnet"]


def sharded(name: str) -> ShardedModule:
    mesh = LogicalMesh.of_shape((2, 4))
    return shard(normalized_step(name), mesh, alpa.Cluster.local(), effort=Effort(target_gap=0.2))


def assert_as_written(found: ShardedModule) -> None:
    told = found.boundary
    written = read_boundary(annotated_text(found))
    assert told.arguments == written.arguments
    assert told.results == written.results


@pytest.mark.parametrize("name", MODELS)
def test_boundary_of_the_best_plan_is_what_is_written(name: str) -> None:
    assert_as_written(sharded(name))


@pytest.mark.parametrize("name", ["mlp", "gpt_scanned"])
def test_boundary_of_any_choices_is_what_is_written(name: str) -> None:
    found = sharded(name)
    dice = random_choices(found.model.problem, np.random.default_rng(3))
    found.choices[:] = dice[: found.model.num_vertices]
    assert_as_written(found)


PRODUCT = """
func.func public @main(
    %x: tensor<8x16xf32>, %w: tensor<16x32xf32>, %bias: tensor<32xf32>, %unused: tensor<4xf32>
) -> tensor<8x32xf32> {
  %t = stablehlo.tanh %w : tensor<16x32xf32>
  %0 = stablehlo.dot_general %x, %t, contracting_dims = [1] x [0]
    : (tensor<8x16xf32>, tensor<16x32xf32>) -> tensor<8x32xf32>
  %b = stablehlo.broadcast_in_dim %bias, dims = [1] : (tensor<32xf32>) -> tensor<8x32xf32>
  %1 = stablehlo.add %0, %b : tensor<8x32xf32>
  return %1 : tensor<8x32xf32>
}
"""


def test_readers_explain_arguments() -> None:
    """The product behind tanh explains %w; where there is none, the first reader; or nobody."""
    step = normalize(jaxlib.to_generic(PRODUCT))
    found = shard(step, LogicalMesh.of_shape((2, 4)), alpa.Cluster.local())
    ids = {found.model.node_name(v): found.model.op_id(v) for v in range(found.model.num_vertices)}
    product, broadcast = ids["stablehlo.dot_general"], ids["stablehlo.broadcast_in_dim"]
    assert found.boundary.readers == (product, product, broadcast, -1)
