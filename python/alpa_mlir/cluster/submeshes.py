"""The slices of a cluster that stages can have, each as its nodes and devices in each of them."""

from __future__ import annotations

from alpa_mlir.cluster.cluster import Cluster
from alpa_mlir.errors import ArgumentError

# Of so many, all are tried.
_FEW_NODES = 4


def equal_submesh(cluster: Cluster, num_stages: int) -> tuple[int, int]:
    """The submesh of each of `num_stages` stages that share the cluster equally.

    Raises:
      ArgumentError: there is none.
    """
    nodes, devices = cluster.num_nodes, cluster.devices_per_node
    if num_stages >= 1 and num_stages <= nodes and nodes % num_stages == 0:
        return nodes // num_stages, devices
    if num_stages >= 1 and num_stages % nodes == 0 and devices % (num_stages // nodes) == 0:
        return 1, devices // (num_stages // nodes)
    raise ArgumentError(
        f"expected a number of stages that divides {nodes} nodes of {devices} devices into equal "
        f"parts, got {num_stages}"
    )


def standard_submeshes(num_nodes: int, devices_per_node: int) -> list[tuple[int, int]]:
    """The paper's (Alpa, section 5.2): powers of two within a node, then whole nodes.

    A node whose number of devices is no power of two adds itself, and the powers that divide it.
    """
    sizes = [2**k for k in range(devices_per_node.bit_length()) if devices_per_node % 2**k == 0]
    inside = [(1, size) for size in sizes if size < devices_per_node]
    return inside + [(n, devices_per_node) for n in range(1, num_nodes + 1)]


def searched_submeshes(num_nodes: int, devices_per_node: int) -> list[tuple[int, int]]:
    """Those of `standard_submeshes` that are worth their planning time: of more than a few nodes,
    numbers that are powers of two or divide all nodes.
    """

    def is_worthwhile(nodes: int) -> bool:
        is_power = nodes & (nodes - 1) == 0
        return num_nodes <= _FEW_NODES or is_power or num_nodes % nodes == 0

    every = standard_submeshes(num_nodes, devices_per_node)
    return [submesh for submesh in every if is_worthwhile(submesh[0])]
