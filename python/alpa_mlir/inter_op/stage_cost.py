"""What a stage costs on a mesh: its sharding problem solved, and the answer in seconds and bytes.

A question and its answer are plain data, so that answers can be kept on disk and questions put to
other processes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import jax

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.errors import InfeasibleError, PlanError
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.solve import solve

_VERSION = 1  # of the answers: a new one where costs or the order of strategies change


@dataclass(frozen=True)
class StageQuestion:
    """A stage, and what it is to run on.

    Attributes:
      text: as of `StageModule`, which holds the numbers of microbatches and of those in flight.
      key: equal for stages that do the same (`StageModule.key`).
      num_microbatches, num_in_flight: as in the text.
    """

    text: str
    key: str
    mesh: LogicalMesh
    cluster: Cluster
    num_microbatches: int
    num_in_flight: int = 1
    strategy_space: str = "auto"
    memory_limit_bytes: int | None = None
    time_limit_seconds: float = 60.0
    target_gap: float = 0.005

    @property
    def digest(self) -> str:
        """Names the answer: the same for the same question, and for stages that do the same."""
        content = {**self.to_json(), "text": "", "answers": _VERSION, "jax": jax.__version__}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "cluster": self.cluster.to_json()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> StageQuestion:
        values: dict[str, Any] = dict(data)
        values["mesh"] = LogicalMesh(**{k: tuple(entry) for k, entry in data["mesh"].items()})
        values["cluster"] = Cluster.from_json(data["cluster"])
        return StageQuestion(**values)


@dataclass(frozen=True)
class StageCost:
    """The answer.

    Attributes:
      choices: index of the strategy of each node of the stage's sharding problem.
      forward_seconds, backward_seconds: of one microbatch; update_seconds: of the step.
      resident_bytes: on a device, whatever is in flight; activation_bytes: more for each microbatch
        in flight.
      cost, lower_bound: of the sharding problem, picoseconds of a step.
    """

    choices: tuple[int, ...]
    forward_seconds: float
    backward_seconds: float
    update_seconds: float
    resident_bytes: int
    activation_bytes: int
    cost: int
    lower_bound: int

    @property
    def seconds(self) -> float:
        """Forward and backward of one microbatch."""
        return self.forward_seconds + self.backward_seconds

    def memory_bytes(self, num_in_flight: int) -> int:
        return self.resident_bytes + num_in_flight * self.activation_bytes

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> StageCost:
        try:
            values: dict[str, Any] = {**data, "choices": tuple(data["choices"])}
            return StageCost(**values)
        except (KeyError, TypeError) as error:
            raise PlanError(f"expected the fields of StageCost: {error}") from None


def cost_stage(question: StageQuestion, num_threads: int | None = None) -> StageCost | None:
    """Solves the stage's sharding problem; None where nothing fits into memory."""
    stage = StageModel.make(
        question.text,
        question.mesh,
        question.cluster,
        question.strategy_space,
        question.memory_limit_bytes,
    )
    try:
        solution = solve(
            stage.model.problem,
            time_limit_seconds=question.time_limit_seconds,
            num_threads=num_threads,
            target_gap=question.target_gap,
        )
    except InfeasibleError:
        return None
    choices = solution.choices.tolist()
    seconds = stage.model.phase_seconds(choices)
    sharded = stage.phases(choices)
    activation_bytes = sharded.activation_bytes
    # Parts of gradients, which the problem knows of, are added to sums, which it does not.
    sums = sharded.accumulator_bytes if question.num_microbatches > 1 else 0
    return StageCost(
        choices=tuple(choices),
        forward_seconds=seconds.get("forward", 0.0) / question.num_microbatches,
        backward_seconds=seconds.get("backward", 0.0) / question.num_microbatches,
        update_seconds=seconds.get("update", 0.0) + seconds.get("", 0.0),
        resident_bytes=solution.peak_usage + sums - question.num_in_flight * activation_bytes,
        activation_bytes=activation_bytes,
        cost=solution.cost,
        lower_bound=solution.lower_bound,
    )
