"""The plans that a search is compared with: data parallel and ZeRO, Megatron's grid, GShard's
experts, stages or shardings alone, and the plans that Alpa's authors published.

A hand plan fixes what its authors fix and leaves the rest to the planner, with the same prices: it
is never made to look worse than it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from alpa_mlir.baselines.shardings import GSHARD, MEGATRON, Rules, place
from alpa_mlir.cluster import Cluster
from alpa_mlir.models.training import TrainState
from alpa_mlir.models.workload import Workload
from alpa_mlir.options import (
    DataParallel,
    FixedStages,
    Method,
    PipelineParallel,
    ShardParallel,
    StageShape,
    ThreeDParallel,
    Zero2Parallel,
    Zero3Parallel,
)


@dataclass(frozen=True)
class HandPlan:
    """What someone decided, for `alpa_mlir.parallelize(step, method).plan(*arguments)`.

    Attributes:
      rules: of parameters, on the meshes of the stages; None leaves shardings open.
      mesh_shape: of these meshes.
      shards_optimizer: whether moments of the optimizer are also split along the data axis.
      overrides: of the model's configuration.
    """

    name: str
    method: Method
    rules: Rules | None = None
    mesh_shape: tuple[int, ...] = ()
    shards_optimizer: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def arguments(self, workload: Workload) -> tuple[TrainState, Any]:
        """State and batch as shapes, with the shardings that are fixed."""
        arguments = workload.abstract_arguments()
        if self.rules is None:
            return arguments
        return place(arguments, self.rules, self.mesh_shape, self.shards_optimizer)


def ablations() -> Iterator[HandPlan]:
    """What is left of the search without one of its halves, or both."""
    yield HandPlan("data parallel", DataParallel())
    yield HandPlan("ZeRO-2", Zero2Parallel())
    yield HandPlan("ZeRO-3", Zero3Parallel())
    yield HandPlan("intra-op only", ShardParallel())
    yield HandPlan("inter-op only", PipelineParallel())


def experts(model: str, cluster: Cluster) -> Iterator[HandPlan]:
    """GShard's: experts on different devices, all else data parallel."""
    if model in GSHARD:
        shape = (cluster.num_devices,)
        yield HandPlan("GShard", ShardParallel(mesh_shape=shape), GSHARD[model], shape)


def megatron_grid(
    model: str,
    cluster: Cluster,
    batch_size: int,
    num_layers: int,
    recomputation: Mapping[str, Mapping[str, Any]],
) -> Iterator[HandPlan]:
    """Every data x tensor x pipeline that fits the cluster, with microbatches of up to 8 examples.

    Args:
      num_layers: of the model; the planner finds which of them each stage has.
      recomputation: by name, the overrides of the model's configuration that recompute layers, or
        do not.
    """
    for data, tensor, pipeline in grid(cluster, num_layers):
        for examples in (1, 2, 4, 8):
            if batch_size % (data * examples):
                continue
            for recomputed, overrides in recomputation.items():
                for shards_optimizer in (False, True) if data > 1 else (False,):
                    m = batch_size // (data * examples)
                    yield HandPlan(
                        f"Megatron {data} x {tensor} x {pipeline}, {m} microbatches, {recomputed}"
                        + (", optimizer sharded" if shards_optimizer else ""),
                        ThreeDParallel(
                            data=data, tensor=tensor, pipeline=pipeline, num_microbatches=m
                        ),
                        MEGATRON[model],
                        (data, tensor),
                        shards_optimizer,
                        overrides,
                    )


def grid(cluster: Cluster, num_layers: int) -> Iterator[tuple[int, int, int]]:
    """Data, tensor and pipeline: tensors within a node, stages equal parts of nodes or whole nodes,
    a layer for each at least."""
    per_node = cluster.devices_per_node
    for pipeline in _divisors(cluster.num_devices):
        stage = cluster.num_devices // pipeline
        is_part = per_node % stage == 0 or stage % per_node == 0
        if pipeline > num_layers or not is_part:
            continue
        for tensor in _divisors(min(stage, per_node)):
            if stage % tensor == 0:
                yield stage // tensor, tensor, pipeline


def _divisors(number: int) -> list[int]:
    return [k for k in range(1, number + 1) if number % k == 0]


def _stages(
    layers: list[int], submesh: tuple[int, int], shape: tuple[int, int]
) -> list[StageShape]:
    return [StageShape(count, submesh, shape) for count in layers]


def _published(name: str, num_microbatches: int, stages: list[StageShape]) -> HandPlan:
    total = sum(stage.num_layers for stage in stages)
    return HandPlan(
        name,
        FixedStages(stages=tuple(stages), num_layers=total, num_microbatches=num_microbatches),
    )


# By the number of V100s, eight in a node: what Alpa found for GPT (Zheng et al., OSDI'22; its
# repository's benchmark/alpa/suite_auto_gpt.py). Each stage's layers, submesh and logical mesh.
ALPA_GPT: Mapping[int, HandPlan] = {
    8: _published(
        "Alpa's",
        128,
        [*_stages([2, 2], (1, 2), (2, 1)), StageShape(4, (1, 4), (4, 1))],
    ),
    16: _published("Alpa's", 64, _stages([4] * 2, (1, 8), (2, 4))),
    32: _published("Alpa's", 128, _stages([4] * 4, (1, 8), (2, 4))),
    64: _published("Alpa's", 1024, _stages([1] * 16, (1, 4), (1, 4))),
}
