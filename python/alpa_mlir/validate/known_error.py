"""How far plans were from the truth when that was last measured: a file that benchmarks write."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from annotated_types import Ge

from alpa_mlir.errors import PlanError
from alpa_mlir.fields import AS_WRITTEN, Checked, WholeNumber, read

_FILE = "known_error.json"
_Error = Annotated[float, Ge(0), AS_WRITTEN]  # relative: 0.1 is 10 %


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
    mean: _Error
    worst: _Error


@dataclass(frozen=True)
class KnownError(Checked):
    """Of bytes of collectives, of peak memory, and of seconds of computing."""

    version: WholeNumber
    collectives: ErrorOf
    memory: ErrorOf
    seconds: ErrorOf

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


@cache
def known_error() -> KnownError:
    """What is in the package."""
    text = (files("alpa_mlir.validate") / _FILE).read_text()
    return read(KnownError, json.loads(text), PlanError, "install alpa_mlir again")
