"""The ways to run layers as a stage: which layers, on which submesh, under which logical mesh."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.options import SearchedPipeline

# A range of layers is a candidate for submeshes whose part of the devices is its part of the
# layers, which are alike in FLOPs, to this factor.
_IMBALANCE_TOLERANCE = 2.0


@dataclass(frozen=True)
class StageOption:
    """Layers [first_layer, end_layer) on the submesh of that index.

    Attributes:
      is_rematerialized: whether the backward computes the forward of its layers again.
      num_in_flight: as many microbatches are to fit into memory.
    """

    first_layer: int
    end_layer: int
    submesh: int
    mesh: LogicalMesh
    is_rematerialized: bool = False
    num_in_flight: int = 1

    @property
    def range(self) -> tuple[int, int, bool, int]:
        """What its program depends on."""
        return self.first_layer, self.end_layer, self.is_rematerialized, self.num_in_flight


def stage_options(
    num_layers: int,
    submeshes: Sequence[tuple[int, int]],
    method: SearchedPipeline,
    cluster: Cluster,
) -> Iterator[StageOption]:
    """Every range of layers on every submesh that is neither far too large nor too small for it."""
    tolerance = _IMBALANCE_TOLERANCE if num_layers > 2 else float("inf")
    for first, end in combinations(range(num_layers + 1), 2):
        for index, (nodes, devices) in enumerate(submeshes):
            fair = num_layers * nodes * devices / cluster.num_devices
            if not fair / tolerance <= end - first <= fair * tolerance:
                continue
            part = replace(cluster, num_nodes=nodes, devices_per_node=devices)
            for mesh in method.logical_meshes(part):
                yield StageOption(first, end, index, mesh, method.rematerialize is True)
