"""Published figures of devices and nodes. Rates are peaks; link rates are per direction."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alpa_mlir.cluster.cluster import Cluster, Device, Link
from alpa_mlir.errors import ClusterError

_GB = 10**9


def _gpu(kind: str, f32: float, tensor: float, bandwidth: float, memory_gb: int) -> Device:
    """`tensor`: dense TFLOPS of 16-bit tensor cores; `f32`: of f32 as XLA runs it by default."""
    peaks = {"f32": f32 * 1e12, "f16": tensor * 1e12, "bf16": tensor * 1e12}
    return Device(kind, "cuda", peaks, bandwidth * _GB, memory_gb * _GB)


_V100 = _gpu("Tesla V100-SXM2-16GB", 15.7, 125, 900, 16)
_A100 = _gpu("NVIDIA A100-SXM4-80GB", 156, 312, 2000, 80)  # f32 products run in TF32
_H100 = _gpu("NVIDIA H100 80GB HBM3", 495, 990, 3350, 80)
_H200 = _gpu("NVIDIA H200", 495, 990, 4800, 141)

_NODES = {
    node.name: node
    for node in (
        # NVLink 300 GB/s both ways; 25 Gbps Ethernet.
        Cluster("p3.16xlarge", _V100, 1, 8, Link(5e-6, 150 * _GB), Link(30e-6, 3.125 * _GB)),
        # NVLink 600 GB/s both ways; 8 x 200 Gbps InfiniBand.
        Cluster("dgx-a100", _A100, 1, 8, Link(5e-6, 300 * _GB), Link(10e-6, 200 * _GB)),
        # NVLink 900 GB/s both ways; 8 x 400 Gbps InfiniBand.
        Cluster("dgx-h100", _H100, 1, 8, Link(4e-6, 450 * _GB), Link(8e-6, 400 * _GB)),
        Cluster("dgx-h200", _H200, 1, 8, Link(4e-6, 450 * _GB), Link(8e-6, 400 * _GB)),
    )
}
_NODE_OF_KIND = {"V100": "p3.16xlarge", "A100": "dgx-a100", "H100": "dgx-h100", "H200": "dgx-h200"}


def preset(name: str, num_nodes: int) -> Cluster:
    if name not in _NODES:
        raise ClusterError(
            f"expected one of {', '.join(_NODES)}, got '{name}'; describe another cluster with "
            "alpa_mlir.Cluster(...)"
        )
    return replace(_NODES[name], num_nodes=num_nodes)


def describe_devices(devices: Sequence[Any]) -> Cluster:
    """The cluster that `devices`, all of one node, are."""
    first = devices[0]
    if first.platform == "cpu":
        return _virtual_cpus(len(devices))
    for kind, node in _NODE_OF_KIND.items():
        if kind in first.device_kind:
            known = _NODES[node]
            memory = (first.memory_stats() or {}).get("bytes_limit", known.device.memory_bytes)
            device = replace(known.device, kind=first.device_kind, memory_bytes=memory)
            return replace(known, name="local", device=device, devices_per_node=len(devices))
    raise ClusterError(
        f"the speed of '{first.device_kind}' is not known; describe it with "
        "alpa_mlir.Cluster(...) and pass cluster=..."
    )


def _virtual_cpus(num_devices: int) -> Cluster:
    """Virtual devices that share one host. Their ratios of compute to communication are a GPU
    node's in small, so that plans made on them look like real ones."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // num_devices
    device = Device("cpu", "cpu", {"f32": 1e11}, 2e10, memory, has_reduce_scatter=False)
    link = Link(1e-6, 1e10)
    return Cluster("local", device, 1, num_devices, link, link)
