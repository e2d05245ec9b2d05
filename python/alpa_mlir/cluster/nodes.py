"""Which devices of all processes are a node of the cluster: those that fast links join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alpa_mlir.errors import ClusterError


def find_nodes(devices: Sequence[Any]) -> list[list[Any]]:
    """The devices by node, in their order.

    The devices of a process are a node, also where several processes share a host: what they send
    to one another goes through a socket. GPUs and TPUs say themselves which of them fast links join
    (JAX numbers such slices or partitions); where all do, each of those is a node, of however many
    processes.

    Args:
      devices: of all processes, as `jax.devices()` has them.

    Raises:
      ClusterError: nodes have unlike numbers of devices, or are not one behind the other.
    """
    slices = [_slice(device) for device in devices]
    is_told = devices[0].platform != "cpu" and None not in slices
    homes = slices if is_told else [device.process_index for device in devices]
    nodes: dict[Any, list[Any]] = {}
    for home, device in zip(homes, devices, strict=True):
        nodes.setdefault(home, []).append(device)
    found = list(nodes.values())
    sizes = [len(node) for node in found]
    if len(set(sizes)) > 1:
        raise ClusterError(
            f"expected as many devices on every node, got {sizes}; start every process with as "
            "many, or describe the cluster with alpa_mlir.Cluster(...)"
        )
    if [device for node in found for device in node] != list(devices):
        raise ClusterError(
            f"expected the devices of a node one behind the other in jax.devices(), got nodes "
            f"{homes}; number the processes host by host"
        )
    return found


def _slice(device: Any) -> int | None:
    """JAX has renamed it."""
    return getattr(device, "partition_index", getattr(device, "slice_index", None))
