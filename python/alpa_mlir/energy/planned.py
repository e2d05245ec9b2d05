"""The energy of a plan: its schedule and transfers, with a profile of its stages."""

from __future__ import annotations

from math import floor, log10
from typing import cast

from alpa_mlir.energy.frontier import EnergyFrontier
from alpa_mlir.energy.problem import EnergyStep
from alpa_mlir.energy.profile import EnergyProfile
from alpa_mlir.errors import EnergyError
from alpa_mlir.plan.data import PlanData, ScheduleName
from alpa_mlir.simulate.planned import planned_durations
from alpa_mlir.simulate.step import PlannedStep

_LONGEST_UNIT = 0.001  # seconds, the reference's
_UNITS_OF_A_TASK = 50  # at least, or rounding to units would hide what frequencies save


def plan_frontier(
    plan: PlanData,
    profile: EnergyProfile,
    schedule: str | None = None,
    unit_seconds: float | None = None,
    load_seconds: float = 0.0,
) -> EnergyFrontier:
    """The frontier of a pipeline's plan.

    Args:
      schedule: instead of the plan's.
      unit_seconds: None is a millisecond, or less for short tasks.
      load_seconds: until the first stage has the data of one microbatch.

    Raises:
      EnergyError: the plan is no pipeline, or the profile does not fit it.
    """
    if not plan.is_pipeline:
        raise EnergyError(
            "expected the plan of a pipeline, got one program over all devices: nothing in it "
            "waits, so every frequency costs time"
        )
    durations, planned = planned_durations(plan), PlannedStep(plan).schedule
    step = EnergyStep(
        profile=profile,
        schedule=cast(ScheduleName, schedule or plan.schedule),
        num_stages=len(plan.stages),
        num_microbatches=plan.num_microbatches,
        unit_seconds=unit_seconds or _unit_of(profile),
        prologue_stage=planned.prologue and planned.prologue.stage,
        num_update_rounds=planned.num_update_rounds,
        send_forward_seconds=tuple(each.send_forward_seconds for each in durations),
        send_backward_seconds=tuple(each.send_backward_seconds for each in durations),
        load_seconds=load_seconds,
    )
    return EnergyFrontier.of(step)


def _unit_of(profile: EnergyProfile) -> float:
    """A power of ten."""
    tasks = [choice.time for choice in profile.choices if choice.instruction == "forward"]
    least = min((time for time in tasks if time > 0), default=1.0) / _UNITS_OF_A_TASK
    return min(_LONGEST_UNIT, 10.0 ** floor(log10(least)))
