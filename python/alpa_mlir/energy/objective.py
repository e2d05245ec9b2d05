"""Of several plans the one that is best once its frequencies are planned too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from alpa_mlir.energy.frequencies import EnergyPoint
from alpa_mlir.energy.frontier import EnergyFrontier
from alpa_mlir.energy.planned import plan_frontier
from alpa_mlir.energy.profile import EnergyProfile
from alpa_mlir.errors import InfeasibleError
from alpa_mlir.options import Auto
from alpa_mlir.plan.data import PlanData


def choose_by_energy(plans: Iterable[PlanData], method: Auto) -> PlanData:
    """The plan with the best point by the power model, the first among equals, with a remark.

    Raises:
      InfeasibleError: no point of any plan keeps the limits.
    """
    best: tuple[float, PlanData, EnergyPoint] | None = None
    reached: list[str] = []
    for plan in plans:
        frontier = plan_frontier(plan, EnergyProfile.from_model(plan))
        reached.append(
            f"{plan.schedule}, {plan.num_microbatches} microbatches: "
            f"{frontier.fastest.seconds:.6g} s, {frontier.cheapest.joules:.6g} J"
        )
        point = _best_point(frontier, method)
        if point is None:
            continue
        value = point.joules if method.objective == "energy" else point.seconds
        if best is None or value < best[0]:
            best = value, plan, point
    if best is None:
        raise InfeasibleError(
            f"expected a plan within max_step_seconds={method.max_step_seconds} and "
            f"max_joules={method.max_joules}, got at least {'; '.join(reached)}; raise the limits"
        )
    _, plan, point = best
    remark = (
        f"objective {method.objective}: {point.joules:.6g} J in {point.seconds:.6g} s a step at "
        "the frequencies of plan.energy(), by the power model"
    )
    return replace(plan, remarks=(*plan.remarks, remark))


def _best_point(frontier: EnergyFrontier, method: Auto) -> EnergyPoint | None:
    """The cheapest, or the fastest, of the points within the limits."""
    within = [
        point
        for point in frontier.pareto
        if (method.max_step_seconds is None or point.seconds <= method.max_step_seconds)
        and (method.max_joules is None or point.joules <= method.max_joules)
    ]
    if not within:
        return None
    return within[0] if method.objective == "energy" else within[-1]
