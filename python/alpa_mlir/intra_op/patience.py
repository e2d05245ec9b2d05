"""When a search that may go on is no longer worth waiting for.

Where weights are used in several passes (preference pairs, adversarial steps) the best answer is
found in a second or two, and what is missing of its proof would take hours.
"""

from __future__ import annotations

from dataclasses import dataclass

from alpa_mlir.intra_op.solution import TracePoint

_LEAST_SECONDS = 3.0
_SHARE = 2.0


@dataclass
class Patience:
    """Goes on as long as there is no answer, and twice as long as the last better one took.

    At least three seconds. For `solve(on_progress=...)`.
    """

    best: int | None = None
    found_seconds: float = 0.0

    def __call__(self, point: TracePoint) -> bool:
        if point.cost is None:
            return True
        if self.best is None or point.cost < self.best:
            self.best, self.found_seconds = point.cost, point.seconds
        waited = point.seconds - self.found_seconds
        return waited <= max(_LEAST_SECONDS, _SHARE * self.found_seconds)
