"""One plan for all processes: process 0 plans, the others get the plan as a file would bring it.

Solvers that stop at a time limit find other plans on other machines, so planning everywhere would
not do. What arrives is text, read by the reader of plan files.
"""

from __future__ import annotations

import json
from hashlib import sha256

from alpa_mlir.cluster import Cluster
from alpa_mlir.errors import PlanError
from alpa_mlir.ir.jaxlib import without_locations
from alpa_mlir.options import FixedPlan, Method
from alpa_mlir.plan.data import PlanData
from alpa_mlir.plan.json import plan_from_json, plan_to_json
from alpa_mlir.plan.versions import Versions
from alpa_mlir.planner import Prepared, plan_program
from alpa_mlir.processes.group import process_group
from alpa_mlir.progress import Stopwatch


def plan_together(
    prepared: Prepared, method: Method | FixedPlan, cluster: Cluster, stopwatch: Stopwatch
) -> PlanData:
    """The plan that the method asks for, the same in every process.

    Raises:
      ProcessError: processes have unlike programs, methods, fixed plans or versions. What
        `plan_program` raises, in every process.
    """
    group = process_group()
    if group is None:
        return plan_program(prepared, method, cluster, stopwatch)

    def decide() -> str:
        return _text(plan_program(prepared, method, cluster, stopwatch))

    if group.index == 0:
        return _read(group.agree("plan", _own(prepared, method), decide))
    with stopwatch("wait for the plan"):
        return _read(group.agree("plan", _own(prepared, method), decide))


def _own(prepared: Prepared, method: Method | FixedPlan) -> dict[str, str]:
    """What has to be the same in every process."""
    program = prepared.program
    # Where Python functions are, is another number in every process.
    module = "" if program.host_callbacks else without_locations(program.text)
    own = {
        "versions": str(Versions.here()),
        "function": program.name,
        "program": _hash(module),
        "method": type(method).__name__,
    }
    return {**own, "plan": _hash(_text(method.plan))} if isinstance(method, FixedPlan) else own


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _text(plan: PlanData) -> str:
    return json.dumps(plan_to_json(plan))


def _read(text: str) -> PlanData:
    """Raises PlanError where the text is no plan, or says more than a plan that is read from it."""
    plan = plan_from_json(json.loads(text))
    if (got := _hash(_text(plan))) != (expected := _hash(text)):
        raise PlanError(
            f"expected the plan of process 0, whose hash is {expected}, got one of hash {got}; use "
            "the same alpa_mlir in every process"
        )
    return plan
