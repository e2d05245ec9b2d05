"""Clusters, and what a logical mesh's axes can carry."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import optax
import pytest
from alpa_mlir import Cluster, Link
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.cluster.local import describe_devices
from alpa_mlir.cluster.logical_mesh import candidate_meshes
from alpa_mlir.cluster.nodes import find_nodes
from alpa_mlir.cluster.presets import read_presets
from alpa_mlir.cluster.submeshes import searched_submeshes, standard_submeshes
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
    with pytest.raises(ClusterError, match=r"expected one of .*p3\.16xlarge, .* got 'p5'"):
        Cluster.preset("p5")


@pytest.mark.parametrize("name", read_presets())
def test_presets_are_clusters_with_a_source(name: str) -> None:
    preset = read_presets()[name]
    assert sorted(preset) == ["cluster", "device_kinds", "source"]
    cluster = Cluster.preset(name)  # checks every field
    assert cluster.name == name
    assert preset["device_kinds"][0] == cluster.device.kind
    assert re.search(r"data sheet|white paper", preset["source"])
    assert cluster.inter_node.latency_seconds > cluster.intra_node.latency_seconds > 0


def test_no_kind_of_device_is_of_two_presets() -> None:
    kinds = [kind for preset in read_presets().values() for kind in preset["device_kinds"]]
    assert len(kinds) == len(set(kinds))


@dataclass(frozen=True)
class FakeDevice:
    device_kind: str
    platform: str = "cuda"
    process_index: int = 0
    slice_index: int | None = None

    def memory_stats(self) -> dict[str, int]:
        return {"bytes_limit": 10**10}


@pytest.mark.parametrize(
    ("kind", "preset"),
    [
        ("NVIDIA H100 80GB HBM3", "dgx-h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "dgx-h200"),
        ("NVIDIA GH200 480GB", "gh200"),
        ("NVIDIA A100-SXM4-40GB", "p4d.24xlarge"),
    ],
)
def test_devices_at_hand_are_of_their_own_preset(kind: str, preset: str) -> None:
    cluster = Cluster.from_json(describe_devices([[FakeDevice(kind)] * 4]))
    known = Cluster.preset(preset)
    assert cluster == replace(
        known, name="local", devices_per_node=4, device=replace(known.device, memory_bytes=10**10)
    )


def nodes(platform: str, *homes: tuple[int, int | None]) -> list[int]:
    """The sizes of the nodes of devices in these processes and slices."""
    devices = [FakeDevice("kind", platform, *home) for home in homes]
    return [len(node) for node in find_nodes(devices)]


def test_a_process_is_a_node_unless_devices_say_what_joins_them() -> None:
    assert nodes("cpu", (0, 0), (0, 0), (1, 0), (1, 0)) == [2, 2]
    assert nodes("gpu", (0, None), (0, 0), (1, 0), (1, 0)) == [2, 2]
    assert nodes("gpu", (0, 0), (1, 0), (2, 1), (3, 1)) == [2, 2]
    assert nodes("gpu", (0, 0), (1, 0)) == [2]


def test_unlike_or_mixed_nodes_are_refused() -> None:
    with pytest.raises(ClusterError, match=r"as many devices on every node, got \[2, 1\]"):
        nodes("cpu", (0, None), (0, None), (1, None))
    with pytest.raises(ClusterError, match=r"one behind the other .* got nodes \[0, 1, 0, 1\]"):
        nodes("gpu", (0, 0), (1, 1), (2, 0), (3, 1))


@pytest.mark.parametrize("kind", ["NVIDIA H200 NVL", "NVIDIA H100 NVL", "NVIDIA A100-PCIE-40GB"])
def test_devices_like_known_ones_are_not_taken_for_them(kind: str) -> None:
    with pytest.raises(ClusterError, match=f"the speed of '{kind}' is not known; describe it"):
        describe_devices([[FakeDevice(kind)]])


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_none(rate: float) -> None:
    with pytest.raises(ClusterError, match=r"Link\.bytes_per_second: expected"):
        Link(1e-6, rate)
    with pytest.raises(ClusterError, match=r"Device\.memory_bytes_per_second: expected"):
        replace(P3.device, memory_bytes_per_second=rate)
    with pytest.raises(ClusterError, match=r"Device\.peak_flops\.f32: expected"):
        replace(P3.device, peak_flops={"f32": rate})


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


@pytest.mark.parametrize(
    ("num_nodes", "nodes"),
    [
        (1, [1]),
        (3, [1, 2, 3]),
        (4, [1, 2, 3, 4]),
        (8, [1, 2, 4, 8]),
        (12, [1, 2, 3, 4, 6, 8, 12]),
        (13, [1, 2, 4, 8, 13]),
    ],
)
def test_submeshes_of_many_nodes_are_powers_of_two_and_divisors(
    num_nodes: int, nodes: list[int]
) -> None:
    submeshes = searched_submeshes(num_nodes, 8)
    assert [n for n, devices in submeshes if devices == 8] == nodes
    assert [shape for shape in submeshes if shape[1] < 8] == [(1, 1), (1, 2), (1, 4)]
    assert set(submeshes) <= set(standard_submeshes(num_nodes, 8))
