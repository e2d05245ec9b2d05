"""What it takes to send an array from the submesh of one stage to that of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, order=True)
class LinkEnd:
    """One direction of the link of a device to its node, or of a node to the others.

    Attributes:
      number: of the device in the cluster, or of the node.
    """

    owner: Literal["device", "node"]
    number: int
    direction: Literal["out", "in"]

    def __str__(self) -> str:
        return f"{self.owner} {self.number} {self.direction}"

    def bytes_per_second(self, cluster: Cluster) -> float:
        link = cluster.intra_node if self.owner == "device" else cluster.inter_node
        return link.bytes_per_second


@dataclass(frozen=True)
class SendRoute:
    """What a transfer takes.

    Attributes:
      loads: the share of its bytes that crosses each link.
    """

    latency_seconds: float
    loads: Mapping[LinkEnd, float]

    def seconds(self, num_bytes: int, cluster: Cluster) -> float:
        """With nothing else on the links; nothing takes no time."""
        if num_bytes == 0:
            return 0.0
        slowest = max(share / end.bytes_per_second(cluster) for end, share in self.loads.items())
        return self.latency_seconds + num_bytes * slowest


def send_route(source: range, target: range, cluster: Cluster) -> SendRoute:
    """How data goes from devices to others, given by their numbers in the cluster.

    As many devices as the smaller side has send one share each, in order; all shares of a node that
    go to others leave by its network, and those that come enter by it.
    """
    num_shares = min(len(source), len(target))
    counts = Counter[LinkEnd]()
    for number in range(num_shares):
        sender, receiver = (
            devices[number * len(devices) // num_shares] for devices in (source, target)
        )
        counts[LinkEnd("device", sender, "out")] += 1
        counts[LinkEnd("device", receiver, "in")] += 1
        nodes = sender // cluster.devices_per_node, receiver // cluster.devices_per_node
        if nodes[0] != nodes[1]:
            counts[LinkEnd("node", nodes[0], "out")] += 1
            counts[LinkEnd("node", nodes[1], "in")] += 1
    crosses = any(end.owner == "node" for end in counts)
    latency = (cluster.inter_node if crosses else cluster.intra_node).latency_seconds
    return SendRoute(latency, {end: count / num_shares for end, count in sorted(counts.items())})


def placed_send_seconds(num_bytes: int, source: range, target: range, cluster: Cluster) -> float:
    """Seconds to send so many bytes along `send_route`, alone."""
    return send_route(source, target, cluster).seconds(num_bytes, cluster)
