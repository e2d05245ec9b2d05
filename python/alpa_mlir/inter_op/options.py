"""The ways to run layers as a stage: which layers, on which submesh, under which logical mesh.

What a method allows of them is said here, method by method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod

from alpa_mlir._native import StageCandidate
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cluster.logical_mesh import candidate_meshes
from alpa_mlir.cluster.submeshes import equal_submesh, searched_submeshes
from alpa_mlir.errors import ArgumentError
from alpa_mlir.inter_op.costs import StageCost
from alpa_mlir.options import FixedStages, PipelineParallel, SearchedPipeline, ThreeDParallel

# A range of layers is a candidate for submeshes whose part of the devices is its part of the
# layers, which are alike in FLOPs, to this factor.
_IMBALANCE_TOLERANCE = 2.0


@dataclass(frozen=True)
class StageOption:
    """Layers [first_layer, end_layer) on the submesh of that index.

    Attributes:
      is_rematerialized: whether the backward computes the forward of its layers again.
      num_in_flight: as many microbatches are to fit into memory.
      byte_price: picoseconds that a byte of the peak is worth where it is sharded without a limit;
        the higher, the less memory and the more time it takes.
      cost: once it is known.
      is_stand_in: whether the cost is that without a limit on memory, of an option that does not
        fit and has not been sharded to fit yet.
      is_estimate: whether the layers have not been sharded together.
      is_bare: whether the cost is that of its repeated layers alone, as if memory had no limit:
        what stands before and behind them only adds to it.
    """

    first_layer: int
    end_layer: int
    submesh: int
    mesh: LogicalMesh
    is_rematerialized: bool = False
    num_in_flight: int = 1
    byte_price: float = 0.0
    cost: StageCost | None = None
    is_stand_in: bool = False
    is_estimate: bool = False
    is_bare: bool = False

    @property
    def known_cost(self) -> StageCost:
        assert self.cost is not None
        return self.cost

    def candidate(self) -> StageCandidate:
        """The option as the stage DP knows it; a stand-in takes no memory, nor does a bare one."""
        cost = self.known_cost
        is_weightless = self.is_stand_in or self.is_bare
        return StageCandidate(
            first_layer=self.first_layer,
            end_layer=self.end_layer,
            submesh=self.submesh,
            compute_seconds=cost.seconds,
            update_seconds=cost.update_seconds,
            resident_bytes=0 if is_weightless else cost.resident_bytes,
            activation_bytes=0 if is_weightless else cost.activation_bytes,
            update_bytes=0 if is_weightless else cost.update_bytes,
        )


def submeshes_of(method: SearchedPipeline, cluster: Cluster) -> list[tuple[int, int]]:
    """Nodes and devices in each of the submeshes that stages may have.

    Raises:
      ArgumentError: the cluster has no such submeshes.
    """
    match method:
        case PipelineParallel():
            stages = cluster.num_devices if method.num_stages is None else method.num_stages
            return [equal_submesh(cluster, stages)]
        case ThreeDParallel():
            grid = (method.data, method.tensor, method.pipeline)
            if min(grid) < 1 or prod(grid) != cluster.num_devices:
                raise ArgumentError(
                    f"expected data x tensor x pipeline = {cluster.num_devices}, the devices of "
                    f"cluster '{cluster.name}', got {' x '.join(map(str, grid))}"
                )
            return [equal_submesh(cluster, method.pipeline)]
        case FixedStages():
            return list(dict.fromkeys(stage.submesh for stage in method.stages))
        case _:
            return searched_submeshes(cluster.num_nodes, cluster.devices_per_node)


def meshes_of(method: SearchedPipeline, submesh: Cluster) -> list[LogicalMesh]:
    """The logical meshes to try on a submesh, given as a cluster of its own."""
    if isinstance(method, ThreeDParallel):
        return [LogicalMesh.of_shape((method.data, method.tensor))]
    return candidate_meshes(submesh)


def stage_options(
    num_layers: int,
    submeshes: Sequence[tuple[int, int]],
    method: SearchedPipeline,
    cluster: Cluster,
) -> Iterator[StageOption]:
    """Every range of layers on every submesh that is neither far too large nor too small for it."""
    if isinstance(method, FixedStages):
        yield from _chosen_options(num_layers, submeshes, method)
        return
    tolerance = _IMBALANCE_TOLERANCE if num_layers > 2 else float("inf")
    for first, end in combinations(range(num_layers + 1), 2):
        for index, (nodes, devices) in enumerate(submeshes):
            fair = num_layers * nodes * devices / cluster.num_devices
            if not fair / tolerance <= end - first <= fair * tolerance:
                continue
            part = replace(cluster, num_nodes=nodes, devices_per_node=devices)
            for mesh in meshes_of(method, part):
                yield StageOption(first, end, index, mesh, method.rematerialize is True)


def _chosen_options(
    num_layers: int, submeshes: Sequence[tuple[int, int]], method: FixedStages
) -> Iterator[StageOption]:
    total = sum(stage.num_layers for stage in method.stages)
    if total != num_layers:
        raise ArgumentError(
            f"expected stages of {num_layers} layers in all, as many as the step is cut into, got "
            f"{total}; ask for num_layers={total}, or for other stages"
        )
    first = 0
    for stage in method.stages:
        end = first + stage.num_layers
        mesh = LogicalMesh.of_shape(stage.mesh_shape)
        index = submeshes.index(stage.submesh)
        yield StageOption(first, end, index, mesh, method.rematerialize is True)
        first = end
