"""A cluster as the planner sees it: equal devices in equal nodes, and what their links carry."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from alpa_mlir.cluster.local import describe_local_devices, devices_on
from alpa_mlir.cluster.presets import read_presets
from alpa_mlir.errors import ClusterError

_VERSION = 1


@dataclass(frozen=True)
class Device:
    """One accelerator.

    Attributes:
      kind: as JAX reports it (`jax.Device.device_kind`), for people.
      platform: what programs are lowered for: "cpu" or "cuda".
      peak_flops: FLOP/s by MLIR element type ("f32", "bf16", ...); others count as "f32".
      memory_bytes_per_second, memory_bytes: of its own memory.
      has_reduce_scatter: whether its compiler turns an all-reduce followed by a slice into a
        reduce-scatter (XLA does on GPUs, not on CPUs).
    """

    kind: str
    platform: str
    peak_flops: Mapping[str, float]
    memory_bytes_per_second: float
    memory_bytes: int
    has_reduce_scatter: bool = True


@dataclass(frozen=True)
class Link:
    """How data leaves a device or a node: a fixed time per collective, then a rate."""

    latency_seconds: float
    bytes_per_second: float


@dataclass(frozen=True)
class Cluster:
    """`num_nodes` nodes of `devices_per_node` devices.

    Attributes:
      intra_node: what one device sends to others of its node.
      inter_node: what one node, all its devices together, sends to other nodes.
    """

    name: str
    device: Device
    num_nodes: int
    devices_per_node: int
    intra_node: Link
    inter_node: Link

    def __post_init__(self) -> None:
        rates = {
            "num_nodes": self.num_nodes,
            "devices_per_node": self.devices_per_node,
            "intra_node.bytes_per_second": self.intra_node.bytes_per_second,
            "inter_node.bytes_per_second": self.inter_node.bytes_per_second,
            "device.memory_bytes_per_second": self.device.memory_bytes_per_second,
            "device.memory_bytes": self.device.memory_bytes,
            "device.peak_flops": min(self.device.peak_flops.values(), default=0),
        }
        for field, value in rates.items():
            if value <= 0:
                raise ClusterError(
                    f"expected a positive {field} in cluster '{self.name}', got {value}"
                )

    @property
    def num_devices(self) -> int:
        return self.num_nodes * self.devices_per_node

    @staticmethod
    def local() -> "Cluster":
        """The devices of this process.

        Raises:
          ClusterError: they are of a kind whose speed is not known.
        """
        return Cluster.from_json(describe_local_devices())

    @staticmethod
    def preset(name: str, num_nodes: int = 1) -> "Cluster":
        """A cluster of nodes that can be bought, e.g. "p3.16xlarge" or "dgx-h100".

        Raises:
          ClusterError: no preset has that name; the message lists those there are.
        """
        presets = read_presets()
        if name not in presets:
            raise ClusterError(
                f"expected one of {', '.join(presets)}, got '{name}'; describe another cluster "
                "with alpa_mlir.Cluster(...)"
            )
        return replace(Cluster.from_json(presets[name]["cluster"]), num_nodes=num_nodes)

    def devices(self) -> list[Any]:
        """JAX's devices of the cluster's kind.

        Raises:
          ClusterError: this process has none.
        """
        platform = self.device.platform
        found = devices_on(platform)
        if not found:
            raise ClusterError(
                f"expected {self.num_devices} {platform} devices for cluster '{self.name}', got "
                "none: plans for clusters that are elsewhere can be made and saved, not run"
            )
        return found

    def save(self, path: str | Path) -> None:
        """Writes the cluster as JSON."""
        Path(path).write_text(json.dumps(self.to_json(), indent=2) + "\n")

    @staticmethod
    def load(path: str | Path) -> "Cluster":
        """Reads what `save` wrote.

        Raises:
          ClusterError: the file does not describe a cluster.
        """
        try:
            return Cluster.from_json(json.loads(Path(path).read_text()))
        except (OSError, json.JSONDecodeError) as error:
            raise ClusterError(f"cannot read the cluster {path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        return {"version": _VERSION, **asdict(self)}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Cluster":
        """Raises ClusterError where `data` lacks a field or has one too many."""
        fields = dict(data)
        version = fields.pop("version", None)
        if version != _VERSION:
            raise ClusterError(f"expected a cluster of version {_VERSION}, got {version}")
        try:
            fields["device"] = Device(**fields["device"])
            fields["intra_node"] = Link(**fields["intra_node"])
            fields["inter_node"] = Link(**fields["inter_node"])
            return Cluster(**fields)
        except (KeyError, TypeError) as error:
            raise ClusterError(f"expected the fields of alpa_mlir.Cluster: {error}") from None
