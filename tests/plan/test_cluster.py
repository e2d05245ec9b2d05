"""Clusters, and what a logical mesh's axes can carry."""

from dataclasses import replace
from pathlib import Path

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import optax
import pytest
from alpa_mlir import Cluster, Link
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.cluster.logical_mesh import candidate_meshes
from alpa_mlir.cost.device_mesh import native_mesh
from alpa_mlir.errors import ArgumentError, ClusterError, PassError
from alpa_mlir.models.workload import workload

P3 = Cluster.preset("p3.16xlarge", num_nodes=8)


def test_save_and_load_gives_the_same_cluster(tmp_path: Path) -> None:
    P3.save(tmp_path / "cluster.json")
    assert Cluster.load(tmp_path / "cluster.json") == P3


def test_load_of_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    path.write_text("{")
    with pytest.raises(ClusterError, match="cannot read the cluster"):
        Cluster.load(path)
    path.write_text('{"version": 1, "name": "a"}')
    with pytest.raises(ClusterError, match=r"cluster\.json: device: expected a value, got nothing"):
        Cluster.load(path)
    path.write_text('{"version": 7}')
    with pytest.raises(ClusterError, match="expected a cluster of version 1, got 7"):
        Cluster.load(path)


def test_preset_of_unknown_name_lists_the_others() -> None:
    with pytest.raises(ClusterError, match=r"expected one of .*p3.16xlarge, got 'p5'"):
        Cluster.preset("p5")


def test_cluster_without_nodes() -> None:
    with pytest.raises(ClusterError, match=r"Cluster\.num_nodes: expected at least 1, got 0"):
        Cluster.preset("p3.16xlarge", num_nodes=0)


def test_cluster_too_slow_for_the_solver() -> None:
    """Picoseconds beyond 64 bits would be negative."""
    slow = replace(P3, num_nodes=1, intra_node=Link(1e12, 1.0))
    step = alpa.parallelize(lambda w, x: jnp.tanh(x @ w) @ w, alpa.ShardParallel(), slow)
    with pytest.raises(PassError, match=r"every cost below .* check latencies, bandwidths"):
        step.plan(*[jax.ShapeDtypeStruct((64, 64), jnp.float32)] * 2)


def test_mesh_over_a_cluster_has_its_nodes_and_links() -> None:
    mesh, inside, across = LogicalMesh.of_shape((8, 8)), P3.intra_node, P3.inter_node
    native = native_mesh(mesh, P3)
    num_bytes = 1 << 30
    assert native.collective_seconds("all-gather", ["y"], num_bytes) == pytest.approx(
        inside.latency_seconds + 7 / 8 * num_bytes / inside.bytes_per_second
    )
    assert native.collective_seconds("all-gather", ["x"], num_bytes) == pytest.approx(
        across.latency_seconds + 7 / 8 * num_bytes / (across.bytes_per_second / 8)
    )


@pytest.mark.parametrize(
    ("num_nodes", "devices_per_node", "shapes"),
    [
        (1, 8, [(8,), (2, 4)]),
        (2, 8, [(2, 8), (16,)]),
        (8, 8, [(8, 8), (64,)]),
        (6, 1, [(6,), (2, 3)]),
        (1, 1, [(1,)]),
    ],
)
def test_candidate_meshes(
    num_nodes: int, devices_per_node: int, shapes: list[tuple[int, ...]]
) -> None:
    cluster = replace(P3, num_nodes=num_nodes, devices_per_node=devices_per_node)
    assert [mesh.axis_sizes for mesh in candidate_meshes(cluster)] == shapes


@pytest.mark.parametrize("method", [alpa.DataParallel, alpa.ShardParallel])
def test_grid_over_nodes_costs_no_more_than_the_line(
    method: type[alpa.DataParallel | alpa.ShardParallel],
) -> None:
    """A gradient is reduced over both axes of the grid as over the one of the line."""
    work = workload("mlp", "debug", 64, optax.sgd(0.1))
    cluster = Cluster.preset("dgx-h100", num_nodes=4)

    def step_seconds(mesh_shape: tuple[int, ...] | None) -> float:
        step = alpa.parallelize(work.train_step, method(mesh_shape=mesh_shape), cluster)
        return step.plan(*work.abstract_arguments()).step_seconds

    on_line, on_grid = step_seconds((32,)), step_seconds((4, 8))
    assert on_grid <= on_line * 1.001
    assert step_seconds(None) <= min(on_line, on_grid) * 1.001


@pytest.mark.parametrize("shape", [(), (2, 2, 2, 2), (0, 4)])
def test_mesh_of_bad_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ArgumentError, match="expected a mesh_shape of one to 3 positive sizes"):
        LogicalMesh.of_shape(shape)


def test_mesh_that_does_not_fit_the_cluster() -> None:
    with pytest.raises(ClusterError, match=r"expected a mesh of 64 devices, got \{x: 8\} with 8"):
        LogicalMesh.of_shape((8,)).check_fits(P3)
