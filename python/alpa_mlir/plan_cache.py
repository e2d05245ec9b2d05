"""Plans of earlier runs: a program that was planned before is not planned again.

What decides on a plan is its name: the traced program, whatever the lines it is written on, the
method, the cluster, and this package. A search that time or the user ended is not kept: the next
one may find more.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from alpa_mlir import _native
from alpa_mlir._native import Module
from alpa_mlir.cluster import Cluster
from alpa_mlir.disk_cache import ABSENT, DiskCache, chosen_dir
from alpa_mlir.errors import PlanError
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.ir.passes import pass_errors
from alpa_mlir.options import SearchedPipeline
from alpa_mlir.plan.data import PlanData
from alpa_mlir.plan.json import plan_from_json, plan_to_json
from alpa_mlir.plan.versions import Versions
from alpa_mlir.processes.group import process_group
from alpa_mlir.progress import Stopwatch

# Of the fields of a method, what decides how it is planned, but not what.
_INDIFFERENT = ("cache_dir", "num_processes")


def kept_plan(
    program: TracedProgram,
    method: SearchedPipeline,
    cluster: Cluster,
    stopwatch: Stopwatch,
    make: Callable[[], PlanData],
) -> PlanData:
    """The plan that was made of the same before; else the one that `make` makes, and keeps.

    Raises:
      PassError: the program's module does not parse. What `make` raises.
    """
    # Where Python functions are, is another number in every process.
    if method.cache_dir is None or program.host_callbacks:
        return make()
    disk = DiskCache(chosen_dir(method.cache_dir) / "plans")
    with stopwatch("look for a plan that is kept"):
        name = _name(program, method, cluster)
        kept = _read(disk, name)
    if kept is not None:
        return kept
    stopwatch.is_cut_short = False
    plan = make()
    if not stopwatch.is_cut_short:
        disk.write(name, plan_to_json(plan))
    return plan


def _read(disk: DiskCache, name: str) -> PlanData | None:
    data = disk.read(name)
    if data is ABSENT:
        return None
    try:
        return plan_from_json(data)
    except PlanError:  # damaged
        return None


def _name(program: TracedProgram, method: SearchedPipeline, cluster: Cluster) -> str:
    fields = {name: value for name, value in asdict(method).items() if name not in _INDIFFERENT}
    group = process_group()
    with pass_errors():
        module = Module.parse(program.text)
    content: dict[str, Any] = {
        "made by": [_package(), str(Versions.here())],
        "module": module.content_hash(),
        "name": program.name,
        "arguments": [repr(argument) for argument in program.arguments],
        "results": [repr(result) for result in program.results],
        "mesh": str(program.mesh),
        "method": [type(method).__name__, repr(sorted(fields.items()))],
        "cluster": cluster.to_json(),
        "processes": None if group is None else group.count,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _package() -> str:
    """Of all that plans: this package's Python, and its compiled module."""
    content = hashlib.sha256(Path(_native.__file__).read_bytes())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()
