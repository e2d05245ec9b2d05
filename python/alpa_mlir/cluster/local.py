"""JAX's devices in this process, and the cluster that they are, as the fields of `Cluster`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import jax

from alpa_mlir.cluster.presets import read_presets
from alpa_mlir.errors import ClusterError


def devices_on(platform: str) -> list[Any]:
    """Empty where JAX has none."""
    try:
        return list(jax.devices(platform))
    except RuntimeError:
        return []


def describe_local_devices() -> dict[str, Any]:
    """As JSON of the cluster that this process has, all of it one node.

    Raises:
      ClusterError: the devices are of a kind whose speed is not known.
    """
    return describe_devices(jax.local_devices())


def describe_devices(devices: Sequence[Any]) -> dict[str, Any]:
    """What `describe_local_devices` says, of these devices."""
    first = devices[0]
    if first.platform == "cpu":
        return _virtual_cpus(len(devices))
    for preset in read_presets().values():
        if first.device_kind in preset["device_kinds"]:
            node = preset["cluster"]
            memory = (first.memory_stats() or {}).get("bytes_limit", node["device"]["memory_bytes"])
            device = {**node["device"], "kind": first.device_kind, "memory_bytes": memory}
            return {**node, "name": "local", "device": device, "devices_per_node": len(devices)}
    raise ClusterError(
        f"the speed of '{first.device_kind}' is not known; describe it with "
        "alpa_mlir.Cluster(...) and pass cluster=..."
    )


def _virtual_cpus(num_devices: int) -> dict[str, Any]:
    """Virtual devices that share one host. Their ratios of compute to communication are a GPU
    node's in small, so that plans made on them look like real ones."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // num_devices
    link = {"latency_seconds": 1e-6, "bytes_per_second": 1e10}
    return {
        "version": 1,
        "name": "local",
        "device": {
            "kind": "cpu",
            "platform": "cpu",
            "peak_flops": {"f32": 1e11},
            "memory_bytes_per_second": 2e10,
            "memory_bytes": memory,
            "has_reduce_scatter": False,
        },
        "num_nodes": 1,
        "devices_per_node": num_devices,
        "intra_node": link,
        "inter_node": link,
    }
