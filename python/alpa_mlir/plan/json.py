"""Plans as JSON: files are data, and what does not have the form of a plan is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from alpa_mlir.cluster.cluster import cluster_fields
from alpa_mlir.errors import PlanError
from alpa_mlir.fields import read, without_version
from alpa_mlir.plan.check import ADVICE, check_rules
from alpa_mlir.plan.data import PlanData, decisions

VERSION = 4  # of the form


def plan_to_json(plan: PlanData) -> dict[str, Any]:
    return {"version": VERSION, **decisions(plan), "cluster": plan.cluster.to_json()}


def plan_from_json(data: object) -> PlanData:
    """The plan, whose parts agree with one another.

    Raises:
      PlanError: `data` is of another version, or a field is wrong, which the message names.
    """
    if not isinstance(data, Mapping):  # a file may hold anything
        raise PlanError(f"expected the fields of alpa_mlir.Plan, got {type(data).__name__}")
    fields = without_version(data, VERSION, "a plan", PlanError, "plan again")
    values = dict(cast(Mapping[str, Any], fields))
    values["cluster"] = cluster_fields(values.get("cluster"), PlanError, ADVICE, "cluster: ")
    plan = read(PlanData, values, PlanError, ADVICE)
    check_rules(plan)
    return plan
