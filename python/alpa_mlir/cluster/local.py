"""JAX's devices, and the cluster that they are, as the fields of `Cluster`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import jax

from alpa_mlir.cluster.presets import read_presets
from alpa_mlir.cluster.profile import Profile, ProfileKey
from alpa_mlir.errors import ClusterError


def devices_on(platform: str) -> list[Any]:
    """Empty where JAX has none."""
    try:
        return list(jax.devices(platform))
    except RuntimeError:
        return []


def describe_devices(
    nodes: Sequence[Sequence[Any]], profile: Profile | None = None
) -> dict[str, Any]:
    """As JSON of the cluster that these devices are.

    Args:
      nodes: the devices of each node; as many of all, and some of this process.
      profile: what was measured of a node, which takes the place of its kind's peaks.

    Raises:
      ClusterError: they are of a kind whose speed is not known, or the profile is of others.
    """
    if profile is None:
        return _as_described(nodes)
    _check_is_of(profile, nodes[0])
    try:
        node = _as_described(nodes)
    except ClusterError:  # of no kind that we know, but measured
        node = _unknown(nodes, profile)
    device = {
        **node["device"],
        "peak_flops": {**node["device"]["peak_flops"], **profile.peak_flops},
        "memory_bytes_per_second": profile.memory_bytes_per_second,
        "efficiency": asdict(profile.efficiency),
    }
    link = asdict(profile.link) if profile.link else node["intra_node"]
    return {**node, "device": device, "intra_node": link}


def _check_is_of(profile: Profile, devices: Sequence[Any]) -> None:
    """JAX may be another one: whoever names a profile may know better."""
    here, there = ProfileKey.of(devices), profile.key
    if (here.device_kind, here.num_devices) != (there.device_kind, there.num_devices):
        raise ClusterError(
            f"expected a profile of {here.num_devices} x {here.device_kind}, got one of "
            f"{there.num_devices} x {there.device_kind}; measure with `alpa-plan profile`"
        )


def _as_described(nodes: Sequence[Sequence[Any]]) -> dict[str, Any]:
    devices = [device for node in nodes for device in node]
    first = devices[0]
    counts = {"num_nodes": len(nodes), "devices_per_node": len(nodes[0])}
    if first.platform == "cpu":
        return {**_virtual_cpus(len(devices), len(nodes)), **counts}
    for preset in read_presets().values():
        if first.device_kind in preset["device_kinds"]:
            node = preset["cluster"]
            memory = _memory_bytes(devices, node["device"]["memory_bytes"])
            device = {**node["device"], "kind": first.device_kind, "memory_bytes": memory}
            return {**node, "name": "local", "device": device, **counts}
    raise ClusterError(
        f"the speed of '{first.device_kind}' is not known; describe it with "
        "alpa_mlir.Cluster(...) and pass cluster=..."
    )


def _memory_bytes(devices: Sequence[Any], default: int) -> int:
    """As a device of this process says; those of others say nothing here."""
    own = next(d for d in devices if d.process_index == jax.process_index())
    return (own.memory_stats() or {}).get("bytes_limit", default)


def _unknown(nodes: Sequence[Sequence[Any]], profile: Profile) -> dict[str, Any]:
    num_devices = len(nodes) * len(nodes[0])
    if profile.memory_bytes is None or (num_devices > 1 and profile.link is None):
        raise ClusterError(
            f"the memory or the links of '{profile.key.device_kind}' are not known; describe it "
            "with alpa_mlir.Cluster(...) and pass cluster=..."
        )
    alone = {"latency_seconds": 0.0, "bytes_per_second": 1e12}  # nobody asks for it
    link = asdict(profile.link) if profile.link else alone
    return {
        "version": 1,
        "name": "local",
        "device": {
            "kind": profile.key.device_kind,
            "platform": profile.key.platform,
            "peak_flops": {},
            "memory_bytes_per_second": profile.memory_bytes_per_second,
            "memory_bytes": profile.memory_bytes,
        },
        "num_nodes": len(nodes),
        "devices_per_node": len(nodes[0]),
        "intra_node": link,
        "inter_node": link,
    }


def _virtual_cpus(num_devices: int, num_nodes: int) -> dict[str, Any]:
    """Virtual devices that share one host. Their ratios of compute to communication are a GPU
    node's in small, so that plans made on them look like real ones. Between processes it is about
    what a socket carries on one machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // num_devices
    link = {"latency_seconds": 1e-6, "bytes_per_second": 1e10}
    socket = {"latency_seconds": 2e-5, "bytes_per_second": 1e9}
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
        "intra_node": link,
        "inter_node": socket if num_nodes > 1 else link,
    }
