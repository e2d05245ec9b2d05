"""What reshards make is in memory, and moves in the narrower type of a conversion beside it."""

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir._native import Module, ShardingModel
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.cost.device_mesh import native_device, native_mesh
from alpa_mlir.ir import jaxlib

CLUSTER = alpa.Cluster.preset("p3.16xlarge")
MATRIX = 64 * 64 * 4  # bytes


def _model(body: str) -> ShardingModel:
    text = f"module {{ func.func public @main(%x: tensor<64x64xf32>) -> {body} }}"
    mesh = LogicalMesh.of_shape((8,))
    return ShardingModel(
        Module.parse(jaxlib.populate_rules(text)),
        native_mesh(mesh, CLUSTER),
        native_device(CLUSTER, None),
    )


def _choices(model: ShardingModel, *names: str) -> list[int]:
    return [list(model.strategy_names(node)).index(name) for node, name in enumerate(names)]


def test_peak_bytes_of_a_gathered_value_from_first_to_last_reader() -> None:
    model = _model(
        """(tensor<64x64xf32>, tensor<64x64xf32>) {
  %0 = stablehlo.sine %x : tensor<64x64xf32>
  %1 = stablehlo.cosine %x : tensor<64x64xf32>
  return %0, %1 : tensor<64x64xf32>, tensor<64x64xf32> }"""
    )
    apart = _choices(model, "{x},{}", "x=i", "x=i")
    assert model.peak_bytes(apart) == model.problem.evaluate(model.complete(apart)).peak_usage
    gathered = _choices(model, "{x},{}", "replicated", "replicated")
    # The shard, which the caller keeps; the copy that both read; both results.
    assert model.peak_bytes(gathered) == MATRIX // 8 + 3 * MATRIX
    sliced = _choices(model, "{},{}", "x=i", "x=j")
    assert model.peak_bytes(sliced) == MATRIX + 2 * MATRIX // 8  # readers slice for themselves


WIDE_TO_NARROW = """tensor<64x64xbf16> {
  %0 = stablehlo.sine %x : tensor<64x64xf32>
  %1 = stablehlo.convert %0 : (tensor<64x64xf32>) -> tensor<64x64xbf16>
  return %1 : tensor<64x64xbf16> }"""
ALSO_READ_WIDE = """(tensor<64x64xbf16>, tensor<64x64xf32>) {
  %0 = stablehlo.sine %x : tensor<64x64xf32>
  %1 = stablehlo.convert %0 : (tensor<64x64xf32>) -> tensor<64x64xbf16>
  %2 = stablehlo.cosine %0 : tensor<64x64xf32>
  return %1, %2 : tensor<64x64xbf16>, tensor<64x64xf32> }"""
NARROW_TO_WIDE = """tensor<64x64xf32> {
  %0 = stablehlo.convert %x : (tensor<64x64xf32>) -> tensor<64x64xbf16>
  %1 = stablehlo.convert %0 : (tensor<64x64xbf16>) -> tensor<64x64xf32>
  %2 = stablehlo.cosine %1 : tensor<64x64xf32>
  return %2 : tensor<64x64xf32> }"""


@pytest.mark.parametrize(
    ("body", "names", "expected"),
    [
        (WIDE_TO_NARROW, ["x=i", "replicated"], MATRIX // 2),
        (ALSO_READ_WIDE, ["x=i", "replicated", "replicated"], MATRIX),
        (NARROW_TO_WIDE, ["x=i", "x=i", "replicated"], MATRIX // 2),
    ],
)
def test_reshard_beside_a_conversion_moves_the_narrower_type(
    body: str, names: list[str], expected: int
) -> None:
    model = _model(body)
    (gather,) = model.collectives(_choices(model, "{x},{}", *names))
    assert (gather.kind, gather.bytes) == ("all-gather", expected)


def _step(weights: list[jax.Array], batch: jax.Array) -> list[jax.Array]:
    def loss(weights: list[jax.Array]) -> jax.Array:
        hidden = batch
        for weight in weights:
            hidden = jnp.tanh(hidden @ weight)
        return jnp.mean(hidden**2)

    return jax.tree.map(lambda w, g: w - 0.1 * g, weights, jax.grad(loss)(weights))


WEIGHTS = [jax.ShapeDtypeStruct((512, 512), jnp.float32)] * 4
BATCH = jax.ShapeDtypeStruct((64, 512), jnp.float32)


def _plan(
    method: type[alpa.ShardParallel | alpa.Zero3Parallel], memory_limit_bytes: int | None
) -> alpa.Plan:
    asked = method(mesh_shape=(8,), memory_limit_bytes=memory_limit_bytes)
    return alpa.parallelize(_step, asked, CLUSTER).plan(WEIGHTS, BATCH)


def test_limit_is_tightened_until_the_copies_fit() -> None:
    """Values alone fit a little below what is needed at most, with their copies they do not."""
    limit = int(0.99 * _plan(alpa.ShardParallel, None).memory_bytes)
    assert _plan(alpa.ShardParallel, limit).memory_bytes <= limit


def test_refusal_says_that_copies_do_not_fit() -> None:
    """ZeRO-3 gathers the four weights for the forward and keeps them for the backward."""
    free = _plan(alpa.Zero3Parallel, None)
    kept = sum(a.bytes_per_device for a in free.arguments)
    assert free.memory_bytes > kept + 3 * 512 * 512 * 4
    with pytest.raises(alpa.AlpaError, match="with the copies that collectives make"):
        _plan(alpa.Zero3Parallel, free.memory_bytes - 1)
