"""Devices of a cluster that are not there, to compile for: XLA's compilers need no device.

Of a GPU the compiler is told what it asks the driver for elsewhere: `gpu_targets.json` has that by
kind of device. The compiler comes with packages of JAX's and NVIDIA's (the extra "gpu-aot"). Of
CPUs there are as many virtual ones as wanted. Both are decided by the environment that a process
starts with.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Annotated, Any

import jax
from annotated_types import Gt, MinLen

from alpa_mlir.cluster import Cluster
from alpa_mlir.cluster.cluster import Device
from alpa_mlir.errors import ClusterError, CompileError
from alpa_mlir.fields import Checked, WholeNumber, read

INSTALL = "pip install 'alpa_mlir[gpu-aot]'"
_PLUGINS = ("jax-cuda13-plugin", "jax-cuda12-plugin")
# The compiler asks for cuDNN's version to know what it offers; none runs.
_CUDNN = "major: 9 minor: 10 patch: 0"


def check_compiler(cluster: Cluster) -> None:
    """Whether what compiles for the cluster's devices is installed, and knows them.

    Raises:
      ClusterError: saying what is missing, and how to get it.
    """
    platform = cluster.device.platform
    if platform not in ("cpu", "cuda"):
        raise ClusterError(
            f"expected a cluster of CPUs or CUDA GPUs to compile for, got the platform '{platform}'"
        )
    if platform == "cuda":
        _target_of(cluster.device)
        _check_plugin()


def environment(cluster: Cluster) -> dict[str, str]:
    """Variables under which a new process can compile for the cluster's devices."""
    always = {"TF_CPP_MIN_LOG_LEVEL": "1"}  # warnings, and no more
    if cluster.device.platform == "cuda":
        return {**always, "JAX_PLATFORMS": "cpu,cuda", "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1"}
    count = f"--xla_force_host_platform_device_count={cluster.num_devices}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {count}"  # the last one counts
    return {**always, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}


def absent_devices(cluster: Cluster) -> list[Any]:
    """As many devices as the cluster has, in its order; only for the compiler.

    Raises:
      ClusterError: this process was not started for it, or the compiler is not installed.
    """
    check_compiler(cluster)
    if cluster.device.platform == "cpu":
        return cluster.devices()
    from jax.experimental import topologies  # which users of plans need not load

    try:
        topology: Any = topologies.get_topology_desc(
            "",
            platform="cuda",
            target_config=gpu_target(cluster.device),
            topology=f"1x{cluster.num_nodes}x{cluster.devices_per_node}",
        )
    except (RuntimeError, jax.errors.JaxRuntimeError) as error:
        raise ClusterError(
            f"JAX's compiler for '{cluster.device.kind}' does not start: {error}; {INSTALL}"
        ) from None
    return list(topology.devices)


def lacks_tools(error: CompileError) -> bool:
    """Whether it is NVIDIA's assembler, or its library of functions, that XLA did not find."""
    return any(what in str(error) for what in ("PTX compilation provider", "libdevice"))


def compiler(cluster: Cluster) -> str:
    """What compiles for the cluster, for people."""
    return f"XLA of jaxlib {version('jaxlib')} for {cluster.device.kind}"


def gpu_target(device: Device) -> str:
    """A `GpuTargetConfigProto` of XLA, as text.

    Memory and its rate are the cluster's own, so that XLA sees the limit that the planner saw.
    """
    target = _target_of(device)
    major, minor = target.compute_capability
    extension = (
        " feature_extension: ACCELERATED_FEATURES" if target.has_accelerated_features else ""
    )
    return f"""
gpu_device_info {{
  cuda_compute_capability {{ major: {major} minor: {minor} {extension} }}
  core_count: {target.num_cores} fpus_per_core: {target.fpus_per_core}
  clock_rate_ghz: {target.clock_ghz}
  threads_per_warp: 32 threads_per_block_limit: 1024
  threads_per_core_limit: {target.threads_per_core}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: {target.shared_memory_per_block}
  shared_memory_per_core: {target.shared_memory_per_core}
  l2_cache_size: {target.l2_cache_bytes}
  memory_bandwidth: {round(device.memory_bytes_per_second)}
  device_memory_size: {device.memory_bytes}
}}
platform_name: "CUDA"
dnn_version_info {{ {_CUDNN} }}
device_description_str: {json.dumps(device.kind)}
"""


@dataclass(frozen=True)
class _GpuTarget(Checked):
    """What XLA's compiler wants to know of a kind of GPU.

    Attributes:
      has_accelerated_features: whether code is for this capability alone ("sm_90a").
      shared_memory_per_block: bytes, the most that a kernel may ask for.
    """

    compute_capability: tuple[WholeNumber, WholeNumber]
    has_accelerated_features: bool
    num_cores: WholeNumber
    fpus_per_core: WholeNumber
    shared_memory_per_core: WholeNumber
    shared_memory_per_block: WholeNumber
    threads_per_core: WholeNumber
    l2_cache_bytes: WholeNumber
    clock_ghz: Annotated[float, Gt(0)]


@dataclass(frozen=True)
class _GpuTargets(Checked):
    source: str
    gpus: Annotated[Mapping[str, _GpuTarget], MinLen(1)]


@cache
def _targets() -> Mapping[str, _GpuTarget]:
    data = json.loads((files("alpa_mlir.xla") / "gpu_targets.json").read_text())
    return read(_GpuTargets, data, ClusterError, "install alpa_mlir again").gpus


def _target_of(device: Device) -> _GpuTarget:
    target = _targets().get(device.kind)
    if target is None:
        raise ClusterError(
            f"expected a kind of GPU that can be compiled for without one, of "
            f"{', '.join(_targets())}, got '{device.kind}'; describe it in "
            "alpa_mlir/xla/gpu_targets.json"
        )
    return target


def _check_plugin() -> None:
    wanted = _release(version("jaxlib"))
    found: list[str] = []
    for plugin in _PLUGINS:
        try:
            found.append(f"{plugin} {version(plugin)}")
        except PackageNotFoundError:
            continue
        if _release(version(plugin)) == wanted:
            return
    if not found:
        raise ClusterError(f"XLA's compiler for GPUs is not installed; {INSTALL}")
    raise ClusterError(
        f"expected a compiler for GPUs of jaxlib's version, {wanted}, got {', '.join(found)}; "
        f"pip install '{_PLUGINS[0]}=={wanted}'"
    )


def _release(text: str) -> str:
    return ".".join(text.split(".")[:3])
