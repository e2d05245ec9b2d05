"""A logical mesh over a cluster, in the form the C++ cost model takes."""

from collections.abc import Sequence

from alpa_mlir._native import DeviceMesh, DeviceSpec
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cluster.efficiency import Efficiency


def native_mesh(mesh: LogicalMesh, cluster: Cluster) -> DeviceMesh:
    links = [mesh.axis_link(axis, cluster) for axis in range(len(mesh.axis_sizes))]
    return DeviceMesh(
        axis_names=list(mesh.axis_names),
        axis_sizes=list(mesh.axis_sizes),
        axis_latency_seconds=[link.latency_seconds for link in links],
        axis_bandwidth=[link.bytes_per_second for link in links],
    )


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
    products = {f"{p.op_class} {p.element_type}": p.curve for p in efficiency.products}
    memory = {m.op_class: m.curve for m in efficiency.memory}
    return {name: (c.sizes, c.seconds) for name, c in (products | memory).items()}
