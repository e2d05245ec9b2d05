"""A cluster as the planner sees it: equal devices in equal nodes, and what their links carry."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import jax
from annotated_types import MinLen

from alpa_mlir.cluster.efficiency import Efficiency
from alpa_mlir.cluster.link import Link
from alpa_mlir.cluster.local import describe_devices, devices_on
from alpa_mlir.cluster.nodes import find_nodes
from alpa_mlir.cluster.presets import read_presets
from alpa_mlir.cluster.profile import Profile, find_profile
from alpa_mlir.errors import AlpaError, ClusterError
from alpa_mlir.fields import Checked, Count, MemoryBytes, Rate, check, read, without_version
from alpa_mlir.files import write_text

_VERSION = 1
_ADVICE = "correct the description"


@dataclass(frozen=True)
class Device(Checked):
    """One accelerator.

    Attributes:
      kind: as JAX reports it (`jax.Device.device_kind`), for people.
      platform: what programs are lowered for: "cpu" or "cuda".
      peak_flops: FLOP/s by MLIR element type ("f32", "bf16", ...); others count as "f32".
      memory_bytes_per_second, memory_bytes: of its own memory.
      efficiency: what ops were measured to take; None: the roofline of the peaks.
      has_reduce_scatter: whether its compiler turns an all-reduce followed by a slice into a
        reduce-scatter, and all-reduces in a row into one (XLA does on GPUs, not on CPUs).
    """

    kind: str
    platform: str
    peak_flops: Annotated[Mapping[str, Rate], MinLen(1)]
    memory_bytes_per_second: Rate
    memory_bytes: MemoryBytes
    has_reduce_scatter: bool = True
    efficiency: Efficiency | None = None

    def __post_init__(self) -> None:
        check(self, ClusterError)


@dataclass(frozen=True)
class Cluster(Checked):
    """`num_nodes` nodes of `devices_per_node` devices.

    Attributes:
      intra_node: what one device sends to others of its node.
      inter_node: what one node, all its devices together, sends to other nodes.

    Raises:
      ClusterError: a field is of another type or out of range; this is so of its parts, too.
    """

    name: str
    device: Device
    num_nodes: Count
    devices_per_node: Count
    intra_node: Link
    inter_node: Link

    def __post_init__(self) -> None:
        check(self, ClusterError)

    @property
    def num_devices(self) -> int:
        return self.num_nodes * self.devices_per_node

    @staticmethod
    def local(profile: "Profile | str | Path | None" = None) -> "Cluster":
        """The devices of all processes, as fast as they were measured to be.

        One process is one node. Under `jax.distributed` the devices of each process are a node,
        also where processes share a host; GPUs that JAX finds to be on one fast interconnect are
        one node, however many processes drive them. Virtual CPU devices share the memory of one
        host, as if all processes were there.

        Args:
          profile: what `alpa-plan profile` measured of a node, or its file. None: what lies in the
            usual place for such devices and this JAX; without that, peaks of their kind.
            `device.efficiency.source` of the result tells.

        Raises:
          ClusterError: they are of a kind whose speed is not known, the profile is malformed or of
            other devices, or the nodes have unlike numbers of devices.
        """
        devices = jax.devices()
        nodes = find_nodes(devices) if jax.process_count() > 1 else [devices]
        if isinstance(profile, str | Path):
            profile = Profile.load(profile)
        found = find_profile(nodes[0]) if profile is None else profile
        return Cluster.from_json(describe_devices(nodes, found))

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
        """JAX's devices of the cluster's kind, those of all processes.

        Raises:
          ClusterError: there are none.
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
        """Writes the cluster as JSON.

        Raises:
          ClusterError: the file cannot be written; it is what it was.
        """
        write_text(path, json.dumps(self.to_json(), indent=2) + "\n", ClusterError)

    @staticmethod
    def load(path: str | Path) -> "Cluster":
        """Reads what `save` wrote.

        Raises:
          ClusterError: the file does not describe a cluster.
        """
        try:
            return Cluster.from_json(json.loads(Path(path).read_text()))
        except (OSError, ValueError, RecursionError, ClusterError) as error:
            raise ClusterError(f"cannot read the cluster {path}: {error}") from None

    def to_json(self) -> dict[str, Any]:
        return {"version": _VERSION, **asdict(self)}

    @staticmethod
    def from_json(data: object) -> "Cluster":
        """Raises ClusterError where `data` lacks a field, has one too many or a wrong one."""
        return read(Cluster, cluster_fields(data, ClusterError, _ADVICE), ClusterError, _ADVICE)


def cluster_fields(data: object, raised: type[AlpaError], advice: str, path: str = "") -> object:
    """Those in the JSON of a cluster, for `read` of what has one.

    Raises:
      AlpaError: of the class `raised`: it is of another version.
    """
    return without_version(data, _VERSION, "a cluster", raised, advice, path)
