"""JAX's devices in this process, and the cluster that they are, as the fields of `Cluster`."""

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


def describe_devices(devices: Sequence[Any], profile: Profile | None = None) -> dict[str, Any]:
    """As JSON of the cluster that these devices are, all of them one node.

    Args:
      profile: what was measured of them, which takes the place of their kind's peaks.

    Raises:
      ClusterError: they are of a kind whose speed is not known, or the profile is of others.
    """
    if profile is None:
        return _as_described(devices)
    _check_is_of(profile, devices)
    try:
        node = _as_described(devices)
    except ClusterError:  # of no kind that we know, but measured
        node = _unknown(devices, profile)
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


def _as_described(devices: Sequence[Any]) -> dict[str, Any]:
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


def _unknown(devices: Sequence[Any], profile: Profile) -> dict[str, Any]:
    if profile.memory_bytes is None or (len(devices) > 1 and profile.link is None):
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
        "num_nodes": 1,
        "devices_per_node": len(devices),
        "intra_node": link,
        "inter_node": link,
    }


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
