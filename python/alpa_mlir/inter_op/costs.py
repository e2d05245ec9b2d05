"""What a stage costs on a mesh: its sharding problem solved, and the answer in seconds and bytes.

A question and its answer are plain data, so that answers can be kept on disk and questions put to
other processes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from alpa_mlir import _native
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cluster.cluster import without_version
from alpa_mlir.cost.memory import stage_memory
from alpa_mlir.errors import InfeasibleError, PlanError
from alpa_mlir.fields import (
    Checked,
    Count,
    Fraction,
    MemoryBytes,
    NumBytes,
    Price,
    Seconds,
    WholeNumber,
    read,
)
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.patience import Patience
from alpa_mlir.intra_op.shard import cost_and_bound, vertex_choices
from alpa_mlir.intra_op.solve import solve

_VERSION = 5  # of the answers: a new one where this package's Python changes them
_MAX_ATTEMPTS = 3  # to find what fits into memory
NO_LIMIT = 1 << 49  # bytes


@cache
def _maker() -> list[Any]:
    """What decides on strategies, their order and their costs."""
    native = hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()
    return [_VERSION, native, jax.__version__, version("jaxlib")]


@dataclass(frozen=True)
class StageQuestion(Checked):
    """A stage, and what it is to run on.

    Attributes:
      text: as of `StageModule`, which holds the numbers of microbatches and of those in flight.
      key: equal for stages that do the same (`StageModule.key`).
      num_microbatches, num_in_flight: as in the text.
      byte_price: picoseconds that a byte of the peak counts for, instead of a limit.
    """

    text: str
    key: str
    mesh: LogicalMesh
    cluster: Cluster
    num_microbatches: Count
    num_in_flight: Count = 1
    strategy_space: str = "auto"
    memory_limit_bytes: MemoryBytes | None = None
    byte_price: Price = 0.0
    time_limit_seconds: Seconds = 60.0
    target_gap: Fraction = 0.005

    @property
    def digest(self) -> str:
        """Names the answer: the same for the same question, and for stages that do the same."""
        content = {**self.to_json(), "text": "", "made by": _maker()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "cluster": self.cluster.to_json()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> StageQuestion:
        """Raises PlanError where `data` is not what `to_json` made."""
        values = {**data, "cluster": without_version(data.get("cluster"))}
        return read(StageQuestion, values, PlanError, "ask again")


@dataclass(frozen=True)
class StageCost(Checked):
    """The answer.

    Attributes:
      choices: index of the strategy of each vertex of the stage's sharding graph.
      forward_seconds, backward_seconds: of one microbatch; update_seconds: of the step.
      resident_bytes, activation_bytes, update_bytes: on a device, as of `StageMemory`.
      cost, lower_bound: picoseconds of a step; see `PlannedStage`.
      is_cut_off: whether a time limit ended the search before it met its target.
    """

    choices: tuple[WholeNumber, ...]
    forward_seconds: Seconds
    backward_seconds: Seconds
    update_seconds: Seconds
    resident_bytes: NumBytes
    activation_bytes: NumBytes
    update_bytes: NumBytes
    cost: WholeNumber
    lower_bound: WholeNumber
    is_cut_off: bool

    @property
    def seconds(self) -> float:
        """Forward and backward of one microbatch."""
        return self.forward_seconds + self.backward_seconds

    def memory_bytes(self, num_in_flight: int) -> int:
        """Peak on a device that holds activations of so many microbatches."""
        in_flight = self.resident_bytes + num_in_flight * self.activation_bytes
        return max(in_flight, self.update_bytes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: object) -> StageCost:
        """Raises PlanError where `data` is not what `to_json` made."""
        return read(StageCost, data, PlanError, "remove it from the cache")


def cost_stage(question: StageQuestion, num_threads: int | None = None) -> StageCost | None:
    """Solves the stage's sharding problem; None where nothing fits into memory.

    Raises:
      SolverError: nothing was found in time. PassError: the stage's module is refused.
    """
    limit = question.memory_limit_bytes or question.cluster.device.memory_bytes
    usage_limit, best = limit, None
    for _ in range(_MAX_ATTEMPTS):
        solved = _solve_stage(question, usage_limit, num_threads)
        if solved is None:
            return best
        best, peak_usage = solved
        excess = best.memory_bytes(question.num_in_flight) - limit
        if limit == 0 or excess <= 0:
            return best
        # The problem does not know of all memory (`stage_memory`): it is to need that much less.
        usage_limit = peak_usage - excess
        if usage_limit <= 0:
            return best
    return best


def _solve_stage(
    question: StageQuestion, usage_limit: int, num_threads: int | None
) -> tuple[StageCost, int] | None:
    """The cost, and the peak that the problem knows of."""
    stage = StageModel.make(
        question.text, question.mesh, question.cluster, question.strategy_space, usage_limit
    )
    problem = stage.model.problem
    if question.byte_price:
        problem = problem.priced(question.byte_price, problem.busiest_time)
    try:
        solution = solve(
            problem,
            time_limit_seconds=question.time_limit_seconds,
            num_threads=num_threads,
            target_gap=question.target_gap,
            on_progress=Patience(),
        )
    except InfeasibleError:
        return None
    choices = vertex_choices(stage.model, solution)
    # All is asked before the phases are cut, which ends the model.
    picoseconds, lower_bound = cost_and_bound(stage.model, solution)
    if question.byte_price:  # what it is below is another problem's cost
        lower_bound = 0
    seconds = stage.model.phase_seconds(choices)
    temporary_bytes = stage.model.phase_temporary_bytes(choices)
    memory = stage_memory(
        stage.phases(choices).functions, stage.mesh, temporary_bytes, question.num_microbatches
    )
    cost = StageCost(
        choices=tuple(choices),
        forward_seconds=seconds.get("forward", 0.0) / question.num_microbatches,
        backward_seconds=seconds.get("backward", 0.0) / question.num_microbatches,
        update_seconds=seconds.get("update", 0.0) + seconds.get("", 0.0),
        **asdict(memory),
        cost=picoseconds,
        lower_bound=lower_bound,
        is_cut_off=solution.gap > question.target_gap,
    )
    return cost, solution.peak_usage
