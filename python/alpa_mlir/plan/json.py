"""Plans as JSON: files are data, and what does not have the form of a plan is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar, cast

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.errors import ClusterError, PlanError
from alpa_mlir.plan.data import (
    Choice,
    PlanData,
    PlannedCollective,
    PlannedPrologue,
    PlannedStage,
    PlannedTransfer,
    TensorPlan,
)
from alpa_mlir.plan.versions import Versions

VERSION = 3  # of the form

_Plan = TypeVar("_Plan", bound=PlanData)


def plan_to_json(plan: PlanData) -> dict[str, Any]:
    return {"version": VERSION, **asdict(plan), "cluster": plan.cluster.to_json()}


def plan_from_json(data: Any, kind: type[_Plan]) -> _Plan:
    """A plan of that class.

    Raises:
      PlanError: `data` is of another version or lacks something.
    """
    if not isinstance(data, Mapping):  # a file may hold anything
        raise PlanError(f"expected the fields of alpa_mlir.Plan, got {type(data).__name__}")
    entries = cast(Mapping[str, Any], data)
    if entries.get("version") != VERSION:
        raise PlanError(
            f"expected a plan of version {VERSION}, got {entries.get('version')}; plan again"
        )
    try:
        values = {field.name: entries[field.name] for field in fields(PlanData)}
        values["versions"] = Versions(**entries["versions"])
        values["cluster"] = Cluster.from_json(entries["cluster"])
        for name, entry_kind in (
            ("arguments", TensorPlan),
            ("results", TensorPlan),
            ("transfers", PlannedTransfer),
        ):
            values[name] = tuple(entry_kind(**_tuples(entry)) for entry in entries[name])
        values["stages"] = tuple(_stage(entry) for entry in entries["stages"])
        values["prologue"] = entries["prologue"] and _prologue(entries["prologue"])
        values["remarks"] = tuple(entries["remarks"])
        return kind(**values)
    except (AttributeError, KeyError, TypeError, ValueError, ClusterError) as error:
        raise PlanError(f"expected the fields of alpa_mlir.Plan: {error}") from None


def _stage(data: Any) -> PlannedStage:
    values = _with_choices(data)
    values["mesh"] = LogicalMesh(**values["mesh"])
    return PlannedStage(**values)


def _prologue(data: Any) -> PlannedPrologue:
    return PlannedPrologue(**_with_choices(data))


def _with_choices(data: Any) -> dict[str, Any]:
    values = _tuples(data)
    values["choices"] = tuple(Choice(**choice) for choice in values["choices"])
    values["collectives"] = tuple(PlannedCollective(**entry) for entry in values["collectives"])
    return values


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples they were."""
    if isinstance(value, list):
        return tuple(_tuples(entry) for entry in cast(list[Any], value))
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in cast(dict[str, Any], value).items()}
    return value
