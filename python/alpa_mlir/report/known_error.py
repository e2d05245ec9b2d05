"""How far plans were from the truth when that was last measured: a file that benchmarks write."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from statistics import fmean

from alpa_mlir.errors import PlanError
from alpa_mlir.fields import Checked, RelativeError, WholeNumber, read
from alpa_mlir.xla.comparison import relative_error

_FILE = "known_error.json"
_DIGITS = 4  # that are kept


@dataclass(frozen=True)
class ErrorOf(Checked):
    """Of one quantity.

    Attributes:
      against: what was held against the predictions, for people. date: ISO 8601.
      command: that measures it again.
      count: of plans, or of parts of plans.
      mean, worst: of |predicted / actual - 1|.
    """

    against: str
    date: str
    command: str
    count: WholeNumber
    mean: RelativeError
    worst: RelativeError

    @staticmethod
    def of(pairs: Iterable[tuple[float, float]], against: str, date: str, command: str) -> ErrorOf:
        """Of (predicted, actual) pairs; raises ValueError where there are none."""
        errors = [abs(relative_error(predicted, actual)) for predicted, actual in pairs]
        return ErrorOf(against, date, command, len(errors), fmean(errors), max(errors))


@dataclass(frozen=True)
class KnownError(Checked):
    """Of bytes of collectives, of peak memory, and of seconds of computing."""

    collectives: ErrorOf
    memory: ErrorOf
    seconds: ErrorOf

    def save(self, path: Path) -> None:
        parts = {
            name: {**part, **{each: round(part[each], _DIGITS) for each in ("mean", "worst")}}
            for name, part in asdict(self).items()
        }
        path.write_text(json.dumps(parts, indent=1) + "\n")


@cache
def known_error() -> KnownError:
    """What is in the package."""
    text = (files("alpa_mlir.report") / _FILE).read_text()
    return read(KnownError, json.loads(text), PlanError, "install alpa_mlir again")
