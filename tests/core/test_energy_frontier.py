"""The time-energy frontier: published points, proofs by replay, and optima by trying everything."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest
from alpa_mlir._native import EnergyProblem, Horizon, Relaxation
from alpa_mlir.energy.frontier import EnergyFrontier
from alpa_mlir.energy.problem import EnergyStep, make_problem
from alpa_mlir.energy.profile import EnergyProfile, ProfiledChoice
from alpa_mlir.plan.data import ScheduleName
from energy_problems import (
    UNIT,
    all_choices,
    chain,
    cheapest_units,
    kind,
    longest_way,
    small_energy_problems,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.published_energy import BLOCKING_WATTS, FRONTIER, PROFILE, needs_data
from scipy.optimize import curve_fit


def published_step(num_microbatches: int = 12, schedule: ScheduleName = "1f1b") -> EnergyStep:
    profile = EnergyProfile.load(PROFILE, BLOCKING_WATTS)
    return EnergyStep(profile, schedule, profile.num_stages, num_microbatches)


@needs_data
def test_frontier_is_the_published_one() -> None:
    with FRONTIER.open() as file:
        published = [(float(row["time"]), float(row["energy"])) for row in csv.DictReader(file)]
    points = EnergyFrontier.of(published_step()).points
    assert [point.seconds for point in points] == [seconds for seconds, _ in published]
    np.testing.assert_allclose(
        [point.joules for point in points], [joules for _, joules in published], rtol=1e-8
    )


@needs_data
def test_published_frontier_takes_a_fraction_of_a_second() -> None:
    problem = make_problem(published_step()).problem
    begin = time.process_time()
    problem.solve(Relaxation.EXPONENTIAL)
    assert time.process_time() - begin < 1.0  # 0.04 s; the reference takes 12.7 s


@needs_data
@pytest.mark.filterwarnings("ignore:Covariance of the parameters")
def test_exponential_fits_as_the_reference_does() -> None:
    """The reference: SciPy's Levenberg-Marquardt from many starts, the best of all."""
    problem = make_problem(published_step()).problem
    measured = problem.kinds[0].choices
    choices = [
        choice
        for choice in measured
        if not any(o.seconds < choice.seconds and o.joules < choice.joules for o in measured)
    ]
    units = np.array([int(choice.seconds // 0.001) for choice in choices])
    joules = np.array([choice.joules for choice in choices]) - BLOCKING_WATTS * units * 0.001
    chosen = {u: max(joules[units == u]) for u in sorted(set(units))}
    x, y = np.array(list(chosen), float), np.array(list(chosen.values()))

    def curve(t: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return a * np.exp(b * t) + c

    fits = [curve_fit(curve, x, y, (100, -b, 10), maxfev=50000)[0] for b in (0.02, 0.04, 0.1)]
    best = min(fits, key=lambda fit: float(np.sum((curve(x, *fit) - y) ** 2)))
    ours = problem.curves(Relaxation.EXPONENTIAL)[0]
    places = np.arange(ours.min_units, ours.max_units + 1)
    np.testing.assert_allclose(ours.joules, curve(places, *best), rtol=1e-7)


@settings(max_examples=500)
@given(small_energy_problems(), st.sampled_from([Relaxation.HULL, Relaxation.EXPONENTIAL]))
def test_points_are_verified_and_ends_have_closed_forms(
    problem: EnergyProblem, relaxation: Relaxation
) -> None:
    problem.check()
    curves = problem.curves(relaxation)
    frontier = problem.solve(relaxation)
    problem.verify(relaxation, frontier)
    slowest = [curve.max_units for curve in curves]
    fastest = [curve.min_units for curve in curves]
    assert frontier.slowest_units == longest_way(problem, slowest)
    assert frontier.slowest_units - len(frontier.joules) + 1 == longest_way(problem, fastest)
    assert frontier.joules[0] == pytest.approx(sum(curve.joules[-1] for curve in curves))


@settings(max_examples=150)
@given(small_energy_problems())
def test_every_point_is_the_cheapest_of_its_length(problem: EnergyProblem) -> None:
    curves = problem.curves(Relaxation.HULL)
    if np.prod([len(curve.joules) for curve in curves]) > 20_000:
        return
    best = cheapest_units(problem, curves)
    frontier = problem.solve(Relaxation.HULL)
    for point, joules in enumerate(frontier.joules):
        length = frontier.slowest_units - point
        least = min(cost for other, cost in best.items() if other <= length)
        assert joules == pytest.approx(least, abs=1e-6)


@settings(max_examples=300)
@given(small_energy_problems(), st.floats(1.0, 2.0), st.sampled_from(list(Horizon)))
def test_assignment_is_the_best_within_the_deadline(
    problem: EnergyProblem, slack: float, horizon: Horizon
) -> None:
    deadline = problem.replay(problem.fastest()).makespan_seconds * slack
    watts = problem.total_blocking_watts if horizon == Horizon.MAKESPAN else 0.0
    frontier = problem.solve(Relaxation.HULL)
    start = problem.round(frontier.units_at(len(frontier.joules) - 1))
    made = problem.assign(start, deadline, horizon)
    assert made.is_optimal
    assert made.makespan_seconds <= deadline * (1 + 1e-9)
    assert problem.replay(made.choices).makespan_seconds == pytest.approx(made.makespan_seconds)
    best = float("inf")
    for choices in all_choices(problem):
        replay = problem.replay(list(choices))
        if replay.makespan_seconds <= deadline:
            until_then = problem.total_blocking_watts * replay.makespan_seconds
            cost = replay.joules - until_then + watts * replay.makespan_seconds
            best = min(best, cost)
    total = made.effective_joules + watts * made.makespan_seconds
    assert total == pytest.approx(best, abs=1e-9)
    point = max(frontier.slowest_units - int(deadline / UNIT + 1e-9), 0)
    point = min(point, len(frontier.joules) - 1)
    if watts == 0:
        assert frontier.joules[point] <= best + 1e-6


@settings(max_examples=500)
@given(
    st.sampled_from(["gpipe", "1f1b", "eager_1f1b", "inference"]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.lists(st.integers(4, 12), min_size=6, max_size=6),
    st.integers(0, 8),
)
def test_schedules_are_verified(
    schedule: ScheduleName, num_stages: int, num_microbatches: int, times: list[int], watts: int
) -> None:
    choices = tuple(
        ProfiledChoice(stage, "backward" if second else "forward", clock, seconds, joules)
        for stage in range(num_stages)
        for second in (False, True)
        for clock, seconds, joules in stretched(times[2 * stage + second])
    )
    sends = (0.5,) * num_stages
    step = EnergyStep(
        EnergyProfile(choices, (float(watts),) * num_stages),
        schedule,
        num_stages,
        num_microbatches,
        UNIT,
        send_forward_seconds=sends,
        send_backward_seconds=sends,
    )
    frontier = EnergyFrontier.of(step)
    frontier.verify()
    plan = frontier.plan(frontier.fastest)
    assert plan.bound_joules <= plan.joules * (1 + 1e-9)
    problem = make_problem(step).problem
    assert frontier.fastest.seconds == problem.replay(problem.fastest()).makespan_seconds


def stretched(time: int) -> list[tuple[float, float, float]]:
    """Four clocks (MHz, s, J) of a task, from its fastest on."""
    return [(1000 / k, time * UNIT * k / 2, 40 / k + 3 * time) for k in (2, 3, 4, 5)]


@needs_data
@pytest.mark.parametrize("num_microbatches", [12, 24])
def test_plan_costs_no_time_and_saves_more_than_rounding(num_microbatches: int) -> None:
    frontier = EnergyFrontier.of(published_step(num_microbatches))
    plan = frontier.plan(frontier.fastest)
    problem = make_problem(frontier.step).problem
    highest = problem.replay(problem.fastest())
    assert plan.seconds <= highest.makespan_seconds * 1.001
    assert plan.joules <= plan.rounded_joules
    assert plan.joules < 0.86 * highest.joules
    assert plan.gap < 0.005


@needs_data
def test_straggler_gets_the_slowest_point_that_is_in_time() -> None:
    frontier = EnergyFrontier.of(published_step())
    for seconds in (2.818, 2.9, 2.90049, 3.456, 99.0):
        point = frontier.for_straggler(seconds)
        assert point == next(p for p in frontier.points if p.seconds <= seconds)
    assert frontier.at(99.0) == frontier.cheapest
    joules = [plan.joules for _, plan in frontier.stragglers]
    assert len(joules) == 11
    assert frontier.plan_for_straggler(1.12) is frontier.stragglers[2][1]
    alone = frontier.plan(frontier.fastest)
    waiting = 8 * BLOCKING_WATTS * alone.seconds * 0.5
    assert joules[-1] < alone.joules + waiting


def test_one_device_alone_gets_no_faster_than_it_can() -> None:
    problem = chain([kind("work", (2, 0.5, 9), (1, 1.0, 4))])
    frontier = problem.solve(Relaxation.HULL)
    assert frontier.joules == pytest.approx([4, 6.5, 9])
    assert frontier.units_at(2) == [2]
