"""A logical mesh: the devices of a cluster as a grid with named axes."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
from jax.sharding import Mesh

from alpa_mlir._native import MAX_MESH_AXES
from alpa_mlir.cluster.cluster import Cluster
from alpa_mlir.errors import ArgumentError, ClusterError
from alpa_mlir.fields import Checked, Count

AXIS_NAMES = ("x", "y", "z")


@dataclass(frozen=True)
class LogicalMesh(Checked):
    """Devices in row-major order: the last axis joins neighbours."""

    axis_names: tuple[str, ...]
    axis_sizes: tuple[Count, ...]

    @staticmethod
    def of_shape(shape: tuple[int, ...]) -> "LogicalMesh":
        """A mesh with our own axis names.

        Raises:
          ArgumentError: the shape is not one of one to three positive sizes.
        """
        if not 1 <= len(shape) <= MAX_MESH_AXES or min(shape) < 1:
            raise ArgumentError(
                f"expected a mesh_shape of one to {MAX_MESH_AXES} positive sizes, got {shape}"
            )
        return LogicalMesh(AXIS_NAMES[: len(shape)], tuple(shape))

    @property
    def num_devices(self) -> int:
        return prod(self.axis_sizes)

    def num_pieces(self, axes: Iterable[str]) -> int:
        """How many pieces a dim is cut into that these axes split."""
        sizes = dict(zip(self.axis_names, self.axis_sizes, strict=True))
        return prod(sizes[axis] for axis in axes)

    def check_fits(self, cluster: Cluster) -> None:
        """Raises ClusterError unless the mesh takes exactly the devices of the cluster."""
        if self.num_devices != cluster.num_devices:
            raise ClusterError(
                f"expected a mesh of {cluster.num_devices} devices, got {self} with "
                f"{self.num_devices}; change mesh_shape, or pass cluster=... with as many devices"
            )

    def over(self, devices: list[object]) -> Mesh:
        """The JAX mesh of these devices, given in the order of the cluster.

        Raises:
          ClusterError: there are fewer devices than the mesh needs.
        """
        if len(devices) < self.num_devices:
            raise ClusterError(
                f"expected {self.num_devices} devices for the mesh {self}, got {len(devices)}; on "
                "CPU set XLA_FLAGS=--xla_force_host_platform_device_count="
                f"{self.num_devices} before importing jax"
            )
        grid = np.array(devices[: self.num_devices], dtype=object).reshape(self.axis_sizes)
        return Mesh(grid, self.axis_names)

    @property
    def shardy_text(self) -> str:
        """As in `sdy.mesh`."""
        axes = zip(self.axis_names, self.axis_sizes, strict=True)
        return "[" + ", ".join(f'"{name}"={size}' for name, size in axes) + "]"

    def __str__(self) -> str:
        axes = zip(self.axis_names, self.axis_sizes, strict=True)
        return "{" + ", ".join(f"{name}: {size}" for name, size in axes) + "}"


def candidate_meshes(cluster: Cluster) -> list[LogicalMesh]:
    """The logical meshes worth planning for when the user names none.

    Several nodes: one axis across them and one inside, and a line, which splits what two axes do
    not divide. Otherwise a line, and the most square grid: links are alike. Other grids differ from
    these in little but planning time.
    """
    nodes, devices, n = cluster.num_nodes, cluster.devices_per_node, cluster.num_devices
    if nodes > 1 and devices > 1:
        return [LogicalMesh.of_shape(shape) for shape in [(nodes, devices), (n,)]]
    rows = max(r for r in range(1, int(n**0.5) + 1) if n % r == 0)
    shapes = [(n,)] if rows == 1 else [(n,), (rows, n // rows)]
    return [LogicalMesh.of_shape(shape) for shape in shapes]
