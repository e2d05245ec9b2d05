"""Random energy problems, and their optima by trying everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from alpa_mlir._native import (
    Computation,
    ComputationKind,
    CostCurve,
    EnergyProblem,
    FrequencyChoice,
)
from hypothesis import strategies as st

# A quarter of a second is a unit: sums of times are exact.
UNIT = 0.25


def kind(
    name: str, *choices: tuple[float, float, float], is_fixed: bool = False
) -> ComputationKind:
    """Of (MHz, s, J)."""
    return ComputationKind(name, [FrequencyChoice(*choice) for choice in choices], is_fixed)


def chain(
    kinds: Sequence[ComputationKind], watts: float = 0.0, unit_seconds: float = UNIT
) -> EnergyProblem:
    """One device that runs the kinds one after another."""
    return EnergyProblem(
        kinds=list(kinds),
        computations=[Computation(number, 0) for number in range(len(kinds))],
        dependencies=[(number, number + 1) for number in range(len(kinds) - 1)],
        blocking_watts=[watts],
        unit_seconds=unit_seconds,
    )


@st.composite
def kinds(draw: st.DrawFn, name: str) -> ComputationKind:
    """Up to four choices whose times rise as clocks fall, of any energy; some off the unit."""
    if draw(st.integers(0, 5)) == 0:
        return kind(
            name, (0, draw(st.integers(0, 3)) * UNIT, draw(st.integers(0, 5))), is_fixed=True
        )
    steps = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    time = draw(st.integers(0, 4))
    choices = [(1000.0, time * UNIT / 2, float(draw(st.integers(0, 60))))]
    for number, step in enumerate(steps):
        time += step
        energy = float(draw(st.integers(0, 60)))
        choices.append((900.0 - number, time * UNIT / 2, energy))
    return kind(name, *choices)


@st.composite
def small_energy_problems(draw: st.DrawFn) -> EnergyProblem:
    """Up to five computations on up to three devices, each in a fixed order, with other edges."""
    count = draw(st.integers(1, 5))
    num_devices = draw(st.integers(1, 3))
    devices = [draw(st.integers(-1, num_devices - 1)) for _ in range(count)]
    made = [draw(kinds(f"kind {number}")) for number in range(draw(st.integers(1, 3)))]
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    dependencies = [
        pair
        for pair in pairs
        if devices[pair[0]] == devices[pair[1]] != -1 or draw(st.integers(0, 3)) == 0
    ]
    return EnergyProblem(
        kinds=made,
        computations=[
            Computation(draw(st.integers(0, len(made) - 1)), device) for device in devices
        ],
        dependencies=dependencies,
        blocking_watts=[float(draw(st.integers(0, 6))) for _ in range(num_devices)],
        unit_seconds=UNIT,
    )


def longest_way(problem: EnergyProblem, durations: Sequence[float]) -> float:
    """Of computations that depend on earlier ones alone."""
    ends: list[float] = []
    for number, duration in enumerate(durations):
        ready = [ends[before] for before, after in problem.dependencies if after == number]
        ends.append(max(ready, default=0.0) + duration)
    return max(ends)


def all_choices(problem: EnergyProblem) -> Iterator[tuple[int, ...]]:
    counts = [len(problem.kinds[each.kind].choices) for each in problem.computations]
    yield from product(*map(range, counts))


def cheapest_units(problem: EnergyProblem, curves: Sequence[CostCurve]) -> dict[int, float]:
    """By length of the step in units, the least sum of costs: all whole durations tried."""
    best: dict[int, float] = {}
    ranges = [range(curve.min_units, curve.max_units + 1) for curve in curves]
    for units in product(*ranges):
        length = round(longest_way(problem, units))
        cost = sum(c.joules[u - c.min_units] for c, u in zip(curves, units, strict=True))
        best[length] = min(cost, best.get(length, float("inf")))
    return best
