"""What it takes to send an array from the submesh of one stage to that of another."""

from __future__ import annotations

from alpa_mlir.cluster import Cluster


def send_seconds(
    num_bytes: int, source: tuple[int, int], target: tuple[int, int], cluster: Cluster
) -> float:
    """Seconds to send so many bytes: every device sends its share to one of the other submesh.

    Parts of one node send within it; where a stage has whole nodes, its network cards carry all.

    Args:
      source, target: the submeshes, each as its nodes and the devices in each of them.
    """
    if num_bytes == 0:
        return 0.0
    num_links = min(source[0] * source[1], target[0] * target[1])
    is_within = source[1] + target[1] <= cluster.devices_per_node
    if is_within:
        link, rate = cluster.intra_node, cluster.intra_node.bytes_per_second * num_links
    else:
        link = cluster.inter_node
        rate = link.bytes_per_second * min(source[0], target[0])
        if cluster.num_nodes == 1:  # more than the node has: such a pair has no place anyway
            link, rate = cluster.intra_node, cluster.intra_node.bytes_per_second * num_links
    return link.latency_seconds + num_bytes / rate
