"""The problem type: its check, its judge, its JSON."""

from __future__ import annotations

import json

import pytest
from alpa_mlir._native import FORBIDDEN_COST, ShardingProblem
from hypothesis import given
from hypothesis import strategies as st
from sharding_problems import small_problems


def two_nodes() -> ShardingProblem:
    problem = ShardingProblem()
    problem.usage_limit = 10
    problem.add_node((0, 2), [1, 2], [8, 4])
    problem.add_node((1, 3), [3, 0], [6, 6])
    problem.add_edge(0, 1, [0, 5, FORBIDDEN_COST, 7])
    return problem


def test_evaluate_sums_costs_and_finds_the_peak() -> None:
    judged = two_nodes().evaluate([1, 1])
    assert (judged.cost, judged.peak_usage, judged.peak_time) == (2 + 0 + 7, 10, 1)
    assert judged.is_feasible


def test_evaluate_forbidden_pair_is_infeasible() -> None:
    judged = two_nodes().evaluate([1, 0])
    assert judged.num_forbidden == 1
    assert not judged.is_feasible


def test_evaluate_over_the_limit_is_infeasible() -> None:
    judged = two_nodes().evaluate([0, 1])
    assert judged.peak_usage == 14
    assert not judged.is_feasible


def test_evaluate_parallel_edges_add() -> None:
    problem = two_nodes()
    problem.add_edge(1, 0, [0, 0, 0, 100])
    assert problem.evaluate([1, 1]).cost == 109


@pytest.mark.parametrize("choices", [[0], [0, 2], [-1, 0], [0, 0, 0]])
def test_evaluate_wrong_choices_raises(choices: list[int]) -> None:
    with pytest.raises(ValueError, match="choices"):
        two_nodes().evaluate(choices)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (((0, 1), [], []), "at least one strategy"),
        (((0, 1), [1, 2], [1]), "as many usages as costs, got 1 and 2"),
        (((2, 1), [1], [1]), "0 <= begin <= end"),
        (((0, 1), [-1], [1]), "a cost of at least 0, got -1"),
        (((0, 1), [1], [-1]), "a usage of at least 0, got -1"),
    ],
)
def test_check_bad_node_is_named(
    node: tuple[tuple[int, int], list[int], list[int]], message: str
) -> None:
    problem = two_nodes()
    problem.add_node(*node)
    with pytest.raises(ValueError, match=f"node 2: .*{message}"):
        problem.check()


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ((0, 2, [0]), "nodes below 2, got 2"),
        ((1, 1, [0] * 4), "two different nodes"),
        ((0, 1, [0] * 3), "2 x 2 costs, got 3"),
    ],
)
def test_check_bad_edge_is_named(edge: tuple[int, int, list[int]], message: str) -> None:
    problem = two_nodes()
    problem.add_edge(*edge)
    with pytest.raises(ValueError, match=f"edge 1: .*{message}"):
        problem.check()


def test_check_usages_that_overflow_in_sum_are_refused() -> None:
    problem = ShardingProblem()
    for _ in range(3):
        problem.add_node((0, 1), [0], [FORBIDDEN_COST - 1])
    with pytest.raises(ValueError, match="coarser unit"):
        problem.check()


def test_evaluate_costs_that_overflow_in_sum_are_refused() -> None:
    problem = ShardingProblem()
    for _ in range(10):
        problem.add_node((0, 1), [FORBIDDEN_COST - 1, 0], [0, 0])
    problem.check()
    assert problem.evaluate([1] + [0] * 9).cost == 9 * (FORBIDDEN_COST - 1)
    with pytest.raises(OverflowError, match="coarser unit"):
        problem.evaluate([0] * 10)


@given(small_problems())
def test_json_round_trip_is_exact(problem: ShardingProblem) -> None:
    again = ShardingProblem.from_json(problem.to_json().encode())
    assert again.to_json() == problem.to_json()
    assert again.usage_limit == problem.usage_limit
    assert json.loads(problem.to_json())["problem"]["nodes"]["costs"] == [
        problem.node_costs(node) for node in range(problem.num_nodes)
    ]


def test_json_any_key_order_and_unknown_keys() -> None:
    text = b"""{"version": [1, {"a": null}], "problem": {
      "edges": {"costs": [[0, 1e18]], "nodes": [[0, 1]]},
      "nodes": {"usages": [[1], [2, 2]], "costs": [[5], [6, 7]], "intervals": [[0, 1], [0, 0]]}}}"""
    problem = ShardingProblem.from_json(text)
    assert problem.usage_limit is None
    assert problem.edge_costs(0) == [0, FORBIDDEN_COST]
    assert problem.evaluate([0, 0]).peak_usage == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "expected '{', got the end"),
        (b"{}", 'the key "problem"'),
        (b'{"problem": {"nodes": {"costs": [[1, x]]}}}', "byte 37: expected an integer, got 'x'"),
        (b'{"problem": {"nodes": {"costs": [[99999999999999999999]]}}}', "below 2\\^63"),
        (b'{"problem": {"nodes": {"costs": [[0.5]]}}}', "an integer"),
        (b'{"problem": {"nodes": {"costs": [[1]], "usages": [[1], [1]]}}}', "1 items"),
        (b"{} trailing", "expected the end"),
        (b'{"a": ' + b"[" * 100, "nested"),
    ],
)
def test_json_malformed_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ShardingProblem.from_json(text)


@given(st.data())
def test_a_priced_problem_bounds_what_fits(data: st.DataObject) -> None:
    problem = data.draw(small_problems())
    choices = [
        data.draw(st.integers(0, len(problem.node_costs(node)) - 1))
        for node in range(problem.num_nodes)
    ]
    plain = problem.evaluate(choices)
    time = problem.busiest_time
    priced = problem.priced(2.5, time).evaluate(choices)
    used = sum(
        problem.node_usages(node)[choice]
        for node, choice in enumerate(choices)
        if problem.node_interval(node)[0] <= time < problem.node_interval(node)[1]
    )
    assert priced.num_forbidden == plain.num_forbidden
    assert used <= plain.peak_usage
    if not plain.num_forbidden:
        assert abs(priced.cost - plain.cost - 2.5 * used) <= problem.num_nodes


def test_prices_are_finite() -> None:
    problem = ShardingProblem()
    problem.add_node((0, 1), [1], [1])
    for price in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="price: expected a finite one of at least 0"):
            problem.priced(price, 0)
    with pytest.raises(OverflowError, match="a cost is forbidden that was not"):
        problem.priced(1e18, 0)


def test_among_answers_others_are_forbidden() -> None:
    problem = ShardingProblem()
    problem.add_node((0, 1), [5, 6, 7], [1, 2, 3])
    problem.add_node((0, 1), [1, 2], [0, 0])
    among = problem.among([[0, 1], [2, 1]])
    assert among.evaluate([0, 1]).cost == problem.evaluate([0, 1]).cost
    assert among.evaluate([2, 1]).num_forbidden == 0
    assert among.evaluate([1, 1]).num_forbidden == 1
    assert among.evaluate([0, 0]).num_forbidden == 1
    with pytest.raises(ValueError, match="expected one per node"):
        problem.among([[0]])
