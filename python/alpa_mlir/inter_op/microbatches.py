"""Finds stages, submeshes, shardings, microbatches and schedule together (Alpa, section 5).

Each number of microbatches makes a step of its own, since it changes the size of every op: cut
into layers, then into the best stages (`search`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cache
from math import inf

from alpa_mlir.cluster import Cluster
from alpa_mlir.errors import ArgumentError, InfeasibleError, PassError
from alpa_mlir.inter_op.layers import LayeredStep, LayeredSteps
from alpa_mlir.inter_op.options import submeshes_of
from alpa_mlir.inter_op.search import PipelineChoice, StageSearch
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.progress import Stopwatch, warn_of_interrupt

# Tried first: the bubble is small by then.
_FIRST_MICROBATCHES = 32
_FIRST_MICROBATCHES_PER_DEVICE = 2
# Of the time of a step; for less another search is not worth its own time.
_LEAST_GAIN = 0.005
# Ranges of layers to cost grow with the square of the layers.
_MAX_LAYERS = 16
_MIN_MAX_LAYERS = 8


def search_pipelines(
    steps: LayeredSteps,
    method: SearchedPipeline,
    cluster: Cluster,
    batch_size: int,
    stopwatch: Stopwatch,
    *,
    slower_too: bool = False,
) -> list[PipelineChoice]:
    """The fastest pipeline of the step with each number of microbatches that was tried, at least
    one; without those that soon turned out slower than others, unless these are wanted, too. When
    the user interrupts, those that were found until then.

    Raises:
      PassError: the step cannot be split into microbatches, or layers.
      InfeasibleError: no pipeline fits into memory.
      KeyboardInterrupt: of the user, before anything was found.
    """
    found: list[PipelineChoice] = []
    infeasible: list[InfeasibleError] = []

    @cache
    def seconds(num_microbatches: int) -> float:
        try:
            with stopwatch(f"layers of {num_microbatches} microbatches"):
                layered = _in_layers(steps, method, cluster, num_microbatches)
            fastest = min((choice.step_seconds for choice in found), default=inf)
            choice = search.run(layered, inf if slower_too else (1 - _LEAST_GAIN) * fastest)
        except InfeasibleError as error:
            infeasible.append(error)
            return inf
        except PassError:
            if not found and not infeasible:
                raise
            return inf  # fewer are possible
        if choice is None:
            return inf
        found.append(choice)
        return choice.step_seconds

    with StageSearch(method, cluster, stopwatch) as search:
        try:
            if method.num_microbatches == "auto":
                climb(seconds, microbatch_ladder(batch_size), _first_rung(cluster, batch_size))
            else:
                seconds(method.num_microbatches)
        except KeyboardInterrupt:
            if not found:
                raise
            best = min(found, key=lambda choice: choice.step_seconds)
            stopwatch.is_cut_short = True
            warn_of_interrupt(f"{best.layered.num_microbatches} microbatches")
    if not found:
        raise infeasible[-1]
    return found


def fewest_starts(method: SearchedPipeline, cluster: Cluster, batch_size: int) -> int:
    """How many executables a pipeline of at least two stages starts a step, if not more: a forward
    of each microbatch in each stage, of as few microbatches as are searched."""
    fewest = method.num_microbatches
    if fewest == "auto":
        fewest = microbatch_ladder(batch_size)[max(_first_rung(cluster, batch_size) - 1, 0)]
    return 2 * fewest


def _first_rung(cluster: Cluster, batch_size: int) -> int:
    """Of the ladder, the one to climb from."""
    most = max(_FIRST_MICROBATCHES, _FIRST_MICROBATCHES_PER_DEVICE * cluster.num_devices)
    return bisect_right(microbatch_ladder(batch_size), most) - 1


def microbatch_ladder(batch_size: int) -> list[int]:
    """Divisors of the batch, from all of it at once to one example each; every one is the next
    that is at least twice the one before.
    """
    ladder = [1]
    while ladder[-1] < batch_size:
        larger = range(2 * ladder[-1], batch_size + 1)
        ladder.append(next(number for number in larger if batch_size % number == 0))
    return ladder


def climb(seconds: Callable[[int], float], ladder: Sequence[int], first: int) -> None:
    """Asks how long a step takes with the number at `first`, and upwards as long as it gets faster,
    or nothing is possible yet. If it is slower already with the next one, with the one below.

    Not further down: fewer are faster where latencies rule, and there one program is faster still.

    Args:
      seconds: inf where there is no way.
      ladder: numbers of microbatches, ascending.
    """
    best, times = inf, list[float]()
    for number in ladder[first:]:
        times.append(seconds(number))
        if times[-1] > (1 - _LEAST_GAIN) * best:
            break
        best = times[-1]
    if first and best == times[0] < inf:
        seconds(ladder[first - 1])


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
