"""Finds stages, submeshes, shardings, microbatches and schedule together (Alpa, section 5).

Each number of microbatches makes a step of its own, since it changes the size of every op: cut
into layers, then into the best stages (`search`).
"""

from __future__ import annotations

from alpa_mlir.cluster import Cluster
from alpa_mlir.errors import ArgumentError, InfeasibleError, PassError
from alpa_mlir.inter_op.layers import LayeredStep, LayeredSteps
from alpa_mlir.inter_op.options import submeshes_of
from alpa_mlir.inter_op.search import PipelineChoice, StageSearch
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.progress import Stopwatch

# To begin with, the largest of these that divide the batch: the bubble is small by then.
_MICROBATCHES_TO_TRY = (2, 4, 8, 16, 32)
_MAX_MICROBATCH_CHOICES = 2
# Ranges of layers to cost grow with the square of the layers.
_MAX_LAYERS = 16
_MIN_MAX_LAYERS = 8


def search_pipeline(
    steps: LayeredSteps,
    method: SearchedPipeline,
    cluster: Cluster,
    batch_size: int,
    stopwatch: Stopwatch,
) -> PipelineChoice:
    """The fastest pipeline of the step.

    Raises:
      PassError: the step cannot be split into microbatches, or layers.
      InfeasibleError: no pipeline fits into memory.
    """
    best: PipelineChoice | None = None
    infeasible: InfeasibleError | None = None
    with StageSearch(method, cluster, stopwatch) as search:
        for num_microbatches in microbatch_choices(method, batch_size):
            with stopwatch(f"layers of {num_microbatches} microbatches"):
                layered = _in_layers(steps, method, cluster, num_microbatches)
            try:
                choice = search.run(layered)
            except InfeasibleError as error:
                infeasible = error
                continue
            if best is None or choice.step_seconds < best.step_seconds:
                best = choice
    if best is None:
        raise infeasible or InfeasibleError(
            f"expected a number of microbatches that divides the batch of {batch_size}, got none"
        )
    return best


def microbatch_choices(method: SearchedPipeline, batch_size: int) -> list[int]:
    """The one asked for, or the largest few of the usual that divide the batch, to begin with."""
    if method.num_microbatches != "auto":
        return [method.num_microbatches]
    fitting = [m for m in _MICROBATCHES_TO_TRY if batch_size % m == 0]
    return fitting[-_MAX_MICROBATCH_CHOICES:] or [1]


def _in_layers(
    steps: LayeredSteps, method: SearchedPipeline, cluster: Cluster, num_microbatches: int
) -> LayeredStep:
    """In as many layers as seem useful: one at least for every stage that the method asks for, and
    no more than the devices can make use of."""

    def layered(num_layers: int) -> LayeredStep:
        return steps.get(num_microbatches, num_layers, method.allow_local_statistics)

    least = cluster.num_devices // max(n * d for n, d in submeshes_of(method, cluster))
    if method.num_layers != "auto":
        if method.num_layers < least:
            raise ArgumentError(
                f"expected num_layers of at least {least}, one for every stage that the method "
                f"asks for, got {method.num_layers}; ask for more layers or fewer stages"
            )
        return layered(method.num_layers)
    most = max(least, _MIN_MAX_LAYERS, min(_MAX_LAYERS, cluster.num_devices))
    possible = layered(0)
    if possible.num_layers > _MAX_LAYERS:  # blocks that repeat: ranges of them cost no more
        most = possible.num_layers
    wanted = min(max(possible.num_layers, least), most)
    if wanted == possible.num_layers:
        return possible
    try:
        return layered(wanted)
    except PassError as error:
        raise ArgumentError(
            f"expected a step with a layer for each of the {least} stages that the method asks "
            f"for; ask for fewer stages: {error}"
        ) from None
