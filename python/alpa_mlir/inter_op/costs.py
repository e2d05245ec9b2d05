"""What is asked about a stage on a mesh, and the answer in seconds and bytes.

Both are plain data, so that answers can be kept on disk and questions put to other processes.
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
from alpa_mlir.cluster.cluster import cluster_fields
from alpa_mlir.errors import PlanError
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

_VERSION = 7  # of the answers: a new one where this package's Python changes them
NO_LIMIT = 1 << 49  # bytes
_ADVICE = "ask again"


@cache
def _maker() -> list[Any]:
    """What decides on strategies, their order and their costs."""
    native = hashlib.sha256(Path(_native.__file__).read_bytes()).hexdigest()
    return [_VERSION, native, jax.__version__, version("jaxlib")]


@dataclass(frozen=True)
class StageQuestion(Checked):
    """A stage, and what it is to run on.

    Attributes:
      text: as of `StageModule`.
      key: equal for stages that do the same (`StageModule.key`).
      num_microbatches: as in the text; num_in_flight: of those, whose activations exist at once.
      byte_price: picoseconds that a byte of the peak counts for; where there is a limit as well,
        one to begin with.
      work_limit: of the solver, in its own units, about a billion a second (`solve`); None leaves
        it to its patience.
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
    work_limit: WholeNumber | None = None

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
        cluster = cluster_fields(data.get("cluster"), PlanError, _ADVICE, "cluster: ")
        return read(StageQuestion, {**data, "cluster": cluster}, PlanError, _ADVICE)


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
