"""The layer DP: equal to trying every cut; its judge refuses what breaks a rule."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from alpa_mlir._native import LayerOp, LayerProblem, LayerValue
from hypothesis import given, settings
from hypothesis import strategies as st


@st.composite
def small_layer_problems(draw: st.DrawFn) -> LayerProblem:
    """Few heavy ops, forbidden starts, limits that some cuts break; many ties."""
    num_ops = draw(st.integers(1, 8))
    op = st.builds(
        lambda flops, heavy, start: LayerOp(flops=flops, is_heavy=heavy, may_start_layer=start),
        st.integers(0, 5),
        st.sampled_from([True, True, False]),
        st.sampled_from([True, True, True, False]),
    )
    ops = draw(st.lists(op, min_size=num_ops, max_size=num_ops))
    value = st.tuples(st.integers(0, num_ops - 1), st.integers(0, num_ops - 1), st.integers(0, 3))
    values = [
        LayerValue(producer=min(a, b), last_reader=max(a, b), bytes=size)
        for a, b, size in draw(st.lists(value, max_size=10))
    ]
    return LayerProblem(
        num_layers=draw(st.integers(1, 4)),
        ops=ops,
        values=values,
        max_layer_flops=draw(st.integers(0, 20)),
    )


def all_costs(problem: LayerProblem) -> list[tuple[int, float]]:
    """Bytes and squares of every cut that the judge accepts."""
    costs: list[tuple[int, float]] = []
    for cuts in itertools.combinations(range(1, len(problem.ops)), problem.num_layers - 1):
        try:
            evaluation = problem.evaluate([0, *cuts])
        except ValueError:
            continue
        costs.append((evaluation.crossing_bytes, evaluation.sum_of_squares))
    return costs


def with_limit(problem: LayerProblem, max_layer_flops: float) -> LayerProblem:
    return LayerProblem(
        num_layers=problem.num_layers,
        ops=problem.ops,
        values=problem.values,
        max_layer_flops=max_layer_flops,
    )


@settings(max_examples=300)
@given(small_layer_problems())
def test_solve_equals_brute_force(problem: LayerProblem) -> None:
    costs = all_costs(problem)
    starts = problem.solve()
    if not costs:
        assert starts is None
        return
    assert starts is not None
    evaluation = problem.evaluate(starts)
    assert (evaluation.crossing_bytes, evaluation.sum_of_squares) == min(costs)


@settings(max_examples=300)
@given(small_layer_problems())
def test_least_limit_is_the_least(problem: LayerProblem) -> None:
    least = problem.least_max_layer_flops()
    if least is None:
        assert not all_costs(with_limit(problem, problem.total_flops))
        assert problem.num_layers > problem.most_layers
        return
    assert all_costs(with_limit(problem, least))
    assert problem.num_layers <= problem.most_layers
    if least > 0:
        assert not all_costs(with_limit(problem, least - 0.5))


def chain(num_ops: int, num_layers: int, max_layer_flops: float) -> LayerProblem:
    return LayerProblem(
        num_layers=num_layers,
        ops=[LayerOp(flops=1) for _ in range(num_ops)],
        values=[LayerValue(producer=i, last_reader=i + 1, bytes=1) for i in range(num_ops - 1)],
        max_layer_flops=max_layer_flops,
    )


def test_solve_chain_is_even() -> None:
    assert chain(8, 4, 8).solve() == [0, 2, 4, 6]


def test_solve_four_thousand_ops_is_fast() -> None:
    problem = chain(4000, 16, 1.6 * 4000 / 16)
    begin = time.perf_counter()
    assert problem.solve() == list(range(0, 4000, 250))
    assert problem.least_max_layer_flops() == 250
    assert time.perf_counter() - begin < 1


def malformed(**fields: Any) -> LayerProblem:
    sound: dict[str, Any] = {
        "num_layers": 1,
        "ops": [LayerOp(flops=1)],
        "values": [],
        "max_layer_flops": 1.0,
    }
    return LayerProblem(**sound | fields)


@pytest.mark.parametrize(
    ("field", "make", "message"),
    [
        ("num_layers", lambda: 0, "layers: expected at least 1, got 0"),
        ("max_layer_flops", lambda: -1, "layer flops: expected a finite limit of at least 0"),
        ("ops", lambda: [LayerOp(flops=-1)], "op 0: expected finite flops of at least 0"),
        (
            "values",
            lambda: [LayerValue(producer=0, last_reader=1, bytes=1)],
            "value 0: expected 0 <= producer <= last reader < 1, got 0 and 1",
        ),
        (
            "values",
            lambda: [LayerValue(producer=0, last_reader=0, bytes=-1)],
            r"value 0: expected bytes from 0 to 2\^50, got -1",
        ),
    ],
)
def test_check_malformed_problem_is_refused(
    field: str, make: Callable[[], Any], message: str
) -> None:
    problem = malformed(**{field: make()})
    with pytest.raises(ValueError, match=message):
        problem.check()
    with pytest.raises(ValueError, match=message):
        problem.solve()


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        ([0], "layers: expected 2, got 1"),
        ([1, 2], "layer 0: expected to start at op 0, got 1"),
        ([0, 0], "layer 1: expected to start between ops 0 and 4, got 0"),
        ([0, 4], "layer 1: expected to start between ops 0 and 4, got 4"),
        ([0, 1], "layer 1: op 1 may not start a layer"),
        ([0, 3], "layer 1: expected a heavy op"),
        ([0, 2], "layer 0: expected at most 5.000000 flops, got 6.000000"),
    ],
)
def test_evaluate_broken_rule_is_refused(starts: list[int], message: str) -> None:
    problem = LayerProblem(
        num_layers=2,
        ops=[
            LayerOp(flops=3),
            LayerOp(flops=3, may_start_layer=False),
            LayerOp(flops=1),
            LayerOp(flops=0, is_heavy=False),
        ],
        values=[],
        max_layer_flops=7 if starts == [0, 3] else 5,
    )
    with pytest.raises(ValueError, match=message):
        problem.evaluate(starts)
