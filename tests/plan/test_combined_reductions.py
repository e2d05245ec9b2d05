"""What XLA reduces together exists together: see `CombinedReductions.cpp`."""

import alpa_mlir as alpa
from alpa_mlir._native import Module, ShardingModel
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.cost.device_mesh import native_device, native_mesh
from alpa_mlir.ir import jaxlib

CLUSTER = alpa.Cluster.preset("p3.16xlarge")
SIZE = 64


def peak(reductions: str, strategies: list[str], size: int = SIZE) -> int:
    """In bytes, of a program whose first ops are the products %0 and %2, each read once."""
    matrix = f"tensor<{size}x{size}xf32>"
    body = reductions.replace("M", matrix)
    text = f"""module {{ func.func public @main(%x: {matrix}) -> ({matrix}, {matrix}) {{
{body}  return %1, %3 : {matrix}, {matrix} }} }}"""
    model = ShardingModel(
        Module.parse(jaxlib.populate_rules(text)),
        native_mesh(LogicalMesh.of_shape((8,)), CLUSTER),
        native_device(CLUSTER, None),
    )
    names = ["{x},{}", *strategies]
    return model.peak_bytes(
        [list(model.strategy_names(node)).index(name) for node, name in enumerate(names)]
    )


def product(left: str) -> str:
    return f"stablehlo.dot_general {left}, %x, contracting_dims = [0] x [0] : (M, M) -> M\n"


def products(left_of_second: str) -> str:
    first = f"%0 = {product('%x')}%1 = stablehlo.sine %0 : M\n"
    return f"{first}%2 = {product(left_of_second)}%3 = stablehlo.sine %2 : M\n"


INDEPENDENT, CHAIN = products("%x"), products("%1")
SCATTERED = ["x=k>0", "x=i", "x=k>0", "x=i"]


def test_scattered_ones_are_whole_until_the_last_is_made() -> None:
    matrix = SIZE * SIZE * 4
    shard = matrix // 8
    # The first product whole; shards of %x, of the first one's sine, and of the second.
    assert peak(INDEPENDENT, SCATTERED) == matrix + 3 * shard
    # One after the other.
    assert peak(CHAIN, SCATTERED) < matrix


def test_those_above_the_threshold_run_apart() -> None:
    size = 8192  # results of 32 MiB
    assert peak(INDEPENDENT, SCATTERED, size) < size * size * 4
