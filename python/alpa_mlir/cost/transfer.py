"""What it takes to send an array from the submesh of one stage to that of another."""

from __future__ import annotations

from collections import Counter

from alpa_mlir.cluster import Cluster


def send_seconds(
    num_bytes: int, source: tuple[int, int], target: tuple[int, int], cluster: Cluster
) -> float:
    """Seconds to send so many bytes between submeshes that have no place yet.

    Parts of one node send within it, if they fit in; where a stage has whole nodes, its network
    cards carry all. So parts that come to lie in different nodes cost more (`placed_send_seconds`).

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


def placed_send_seconds(num_bytes: int, source: range, target: range, cluster: Cluster) -> float:
    """Seconds to send so many bytes from devices to others, given by their numbers in the cluster.

    As many devices as the smaller side has send one share each, in order; all shares of a node that
    go to others leave by its network, and those that come enter by it.
    """
    if num_bytes == 0:
        return 0.0
    num_shares = min(len(source), len(target))
    share = num_bytes / num_shares
    leaving, entering = Counter[int](), Counter[int]()
    for number in range(num_shares):
        ends = (devices[number * len(devices) // num_shares] for devices in (source, target))
        sender, receiver = (device // cluster.devices_per_node for device in ends)
        if sender != receiver:
            leaving[sender] += 1
            entering[receiver] += 1
    inside, across = cluster.intra_node, cluster.inter_node
    if not leaving:
        return inside.latency_seconds + share / inside.bytes_per_second
    busiest = share * max(*leaving.values(), *entering.values())
    sent = max(share / inside.bytes_per_second, busiest / across.bytes_per_second)
    return across.latency_seconds + sent
