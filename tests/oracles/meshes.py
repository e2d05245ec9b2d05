"""Meshes for tests to which nodes are nothing."""

from collections.abc import Sequence

from alpa_mlir._native import DeviceMesh, Link


def one_node_mesh(
    sizes: Sequence[int], latency_seconds: float = 1e-6, bytes_per_second: float = 1e9
) -> DeviceMesh:
    """Axes x, y, z of these sizes, all devices in one node."""
    link = Link(latency_seconds, bytes_per_second)
    return DeviceMesh(list("xyz"[: len(sizes)]), list(sizes), 1 << 20, link, link)
