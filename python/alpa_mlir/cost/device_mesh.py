"""A logical mesh over a cluster, in the form the C++ cost model takes."""

from collections.abc import Sequence

from alpa_mlir import _native
from alpa_mlir._native import DeviceMesh, DeviceSpec
from alpa_mlir.cluster import Cluster, Link, LogicalMesh
from alpa_mlir.cluster.efficiency import Efficiency


def native_mesh(mesh: LogicalMesh, cluster: Cluster) -> DeviceMesh:
    """The mesh over the cluster's devices in their order."""
    return DeviceMesh(
        axis_names=list(mesh.axis_names),
        axis_sizes=list(mesh.axis_sizes),
        devices_per_node=cluster.devices_per_node,
        intra_node=native_link(cluster.intra_node),
        inter_node=native_link(cluster.inter_node),
    )


def native_link(link: Link) -> _native.Link:
    return _native.Link(link.latency_seconds, link.bytes_per_second)


def native_device(cluster: Cluster, memory_limit_bytes: int | None) -> DeviceSpec:
    device = cluster.device
    return DeviceSpec(
        peak_flops=dict(device.peak_flops),
        memory_bandwidth=device.memory_bytes_per_second,
        memory_bytes=memory_limit_bytes or device.memory_bytes,
        has_reduce_scatter=device.has_reduce_scatter,
        curves=native_curves(device.efficiency),
    )


def native_curves(
    efficiency: Efficiency | None,
) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    """Sizes and seconds by name of the class, as `DeviceSpec` wants them; none: the roofline."""
    if efficiency is None:
        return {}
    return {name: (c.sizes, c.seconds) for name, c in efficiency.curves.items()}
