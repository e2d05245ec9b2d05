"""Transfer plans: what arrives is what was sent, soon, and over the slow links once."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from alpa_mlir import Link
from alpa_mlir._native import Link as NativeLink
from alpa_mlir._native import Send, TransferPlan, TransferProblem
from alpa_mlir.cost.device_mesh import native_link
from hypothesis import assume, given, settings
from oracles.extent import in_part
from transfer_problems import (
    FAST,
    SLOW,
    Ends,
    carry_out,
    fastest_of_all,
    rows,
    time_in_order,
    transfers,
    whole,
)


def test_slice_for_a_node_enters_it_once_and_is_handed_on() -> None:
    ends = Ends((1024,), whole((1024,), [0]), whole((1024,), [2, 3]))
    plan = ends.problem.plan()
    assert plan.crossing_bytes == plan.least_crossing_bytes == 4096
    replay = ends.problem.verify(plan)
    assert {(use.link, use.number): use.bytes for use in replay.links} == {
        ("card in", 1): 4096,
        ("card out", 0): 4096,
        ("port in", 2): 4096,
        ("port in", 3): 4096,
        ("port out", 0): 4096,
        ("port out", 2): 2048,
        ("port out", 3): 2048,
    }


def test_receivers_hand_on_while_the_rest_is_on_its_way() -> None:
    ends = Ends((4096,), whole((4096,), [0]), whole((4096,), [2, 4, 6]))
    plan = ends.problem.plan()
    alone = 4 * 4096 / SLOW.bytes_per_second
    assert plan.bound_seconds == alone + SLOW.latency_seconds
    assert plan.makespan_seconds < 1.1 * alone  # one after the other: 3 times
    assert plan.crossing_bytes == 3 * 4 * 4096


def test_holders_share_what_they_have_to_send() -> None:
    ends = Ends((1024,), whole((1024,), [0, 2]), rows(1024, [4, 6]))
    plan = ends.problem.plan()
    assert plan.makespan_seconds == plan.bound_seconds == 2048 + SLOW.latency_seconds
    assert plan.is_optimal
    assert {send.sender for send in plan.sends} == {0, 2}


def test_neighbour_in_the_node_sends_rather_than_a_stranger() -> None:
    ends = Ends((64,), whole((64,), [0, 2]), whole((64,), [3]))
    plan = ends.problem.plan()
    assert [(send.sender, send.receiver) for send in plan.sends] == [(2, 3)]
    assert plan.crossing_bytes == plan.least_crossing_bytes == 0


def test_what_is_there_already_is_not_sent() -> None:
    ends = Ends((8,), whole((8,), [0, 1]), rows(8, [0, 1]))
    plan = ends.problem.plan()
    assert (plan.sends, plan.makespan_seconds, plan.is_optimal) == ([], 0, True)
    ends.problem.verify(plan)


def test_second_crossing_is_taken_where_it_is_faster_and_is_told() -> None:
    slow_inside = (Link(1000.0, 1.0), Link(4.0, 1.0))
    ends = Ends((1,), whole((1,), [0]), whole((1,), [2, 3]), links=slow_inside)
    plan = ends.problem.plan()
    assert plan.crossing_bytes == 2 * plan.least_crossing_bytes
    assert plan.makespan_seconds == 4 + 4 + 4  # handing it on takes 4 + 4 + 4 + 1000
    assert plan.is_optimal


@settings(max_examples=in_part(150, 1000), deadline=None)
@given(transfers())
def test_what_arrives_is_what_was_sent(ends: Ends) -> None:
    problem = ends.problem
    plan = problem.plan()
    carry_out(ends, plan)
    replay = problem.verify(plan)
    assert replay.crossing_bytes == plan.crossing_bytes >= plan.least_crossing_bytes
    assert plan.bound_seconds <= plan.makespan_seconds * (1 + 1e-9)
    if plan.crossing_bytes > plan.least_crossing_bytes:
        once = problem.plan(max_search_states=0)
        assert once.crossing_bytes == once.least_crossing_bytes
        assert plan.makespan_seconds < once.makespan_seconds


@settings(max_examples=in_part(8, 50), deadline=None)
@given(transfers())
def test_few_sends_take_as_little_as_the_best_of_all(ends: Ends) -> None:
    problem = ends.problem
    slices = problem.slices()
    assume(0 < sum(len(each.receivers) for each in slices) <= 4)
    plan = problem.plan(max_parts=1)
    assert plan.is_optimal
    best = fastest_of_all(ends, slices)
    assert plan.makespan_seconds == pytest.approx(best)
    assert plan.bound_seconds <= best * (1 + 1e-9)


@settings(deadline=None)
@given(transfers())
def test_sends_begin_as_soon_as_they_can(ends: Ends) -> None:
    problem = ends.problem
    plan = problem.plan(max_parts=1)
    sends, makespan = problem.time(plan.slices, plan.sends)
    assert [send.start_seconds for send in sends] == pytest.approx(
        [send.start_seconds for send in plan.sends]
    )
    assert makespan == pytest.approx(plan.makespan_seconds)
    assert makespan == pytest.approx(time_in_order(ends, sends, plan.slices))


@settings(deadline=None)
@given(transfers())
def test_same_problem_has_the_same_plan(ends: Ends) -> None:
    def key(plan: TransferPlan) -> list[Any]:
        return [
            (send.slice, send.begin, send.end, send.sender, send.receiver, send.start_seconds)
            for send in plan.sends
        ]

    assert key(ends.problem.plan()) == key(ends.problem.plan())


# --- The verifier and the form ---

CHAIN = Ends((8,), whole((8,), [0]), whole((8,), [2, 3]))


def chain(**fields: Any) -> TransferPlan:
    """The slice crosses, and is handed on; correct unless a field says otherwise."""
    first = send(sender=0, receiver=2)
    second = send(sender=2, receiver=3, start_seconds=36.0)
    values: dict[str, Any] = {
        "sends": [first, second],
        "makespan_seconds": 41.0,
        "crossing_bytes": 32,
        **fields,
    }
    return TransferPlan(slices=CHAIN.problem.slices(), **values)


def send(**fields: Any) -> Send:
    return Send(**{"slice": 0, "begin": 0, "end": 8, **fields})


def test_plan_made_by_hand_is_right() -> None:
    CHAIN.problem.verify(chain())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sends": [send(sender=0, receiver=2)]}, "device 3: expected 8 elements, got 0"),
        (
            {"sends": [send(sender=0, receiver=2), send(sender=2, receiver=3, start_seconds=35.0)]},
            "send 1: expected device 2 to have 8 elements by 35 s",
        ),
        (
            {"sends": [send(sender=0, receiver=2), send(sender=0, receiver=3, start_seconds=1.0)]},
            "card in of 1: expected one send at a time, got send 0 and send 1",
        ),
        ({"sends": [send(sender=0, receiver=2)] * 2}, "send 1: expected elements .* 2 has not"),
        ({"sends": [send(sender=2, receiver=0)]}, "send 0: expected device 2 to have 8"),
        ({"sends": [send(slice=1, sender=0, receiver=2)]}, "expected a slice below 1"),
        ({"sends": [send(sender=0, receiver=9)]}, "expected devices of the problem, got 9"),
        ({"sends": [send(sender=0, receiver=2, end=9)]}, "elements of its slice, got 0:9"),
        ({"makespan_seconds": 40.0}, "makespan: expected 41"),
        ({"makespan_seconds": inf}, "makespan: expected a finite one, got inf s"),
        ({"makespan_seconds": nan}, "makespan: expected a finite one, got nan s"),
        ({"bound_seconds": 42.0}, "bound: expected at most the makespan, got 42"),
        ({"bound_seconds": nan}, "bound: expected at most the makespan, got nan"),
        ({"least_crossing_bytes": 33}, "least crossing bytes: expected at most .* got 33 and 32"),
        ({"crossing_bytes": 31}, "crossing bytes: expected 32, got 31"),
    ],
)
def test_verifier_names_what_is_wrong(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        CHAIN.problem.verify(chain(**fields))


def test_sends_without_data_have_no_time() -> None:
    problem = CHAIN.problem
    with pytest.raises(ValueError, match="send 0: expected device 2 to have 8 elements, got 0"):
        problem.time(problem.slices(), [send(sender=2, receiver=3)])


def problem(**fields: Any) -> TransferProblem:
    values: dict[str, Any] = {
        "shape": [8],
        "element_bytes": 4,
        "source": list(whole((8,), [0]).items()),
        "target": list(whole((8,), [1]).items()),
        "devices_per_node": 2,
        "intra_node": native_link(FAST),
        "inter_node": native_link(SLOW),
        **fields,
    }
    return TransferProblem(**values)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"element_bytes": 0}, "element bytes: expected at least 1, got 0"),
        ({"shape": [-1]}, "shape: expected sizes of at least 0"),
        ({"shape": [2**40, 2**40]}, r"shape: expected at most 2\^60 bytes"),
        ({"devices_per_node": 0}, "devices per node: expected at least 1"),
        ({"inter_node": NativeLink(0.0, 0.0)}, "link between nodes: expected a finite bandwidth"),
        ({"intra_node": NativeLink(-1.0, 1.0)}, "link inside nodes: expected a finite latency"),
        ({"source": [(0, [(0, 7)])]}, "source: expected tiles of all 8 elements, got 7"),
        ({"source": [(0, [(0, 5)]), (1, [(4, 8)])]}, "equal or disjoint, got .0:5. and .4:8."),
        ({"target": [(1, [(0, 9)])]}, "target device 1: expected a tile of the array, got .0:9."),
        ({"target": [(1, [])]}, "target device 1: expected a tile of the array"),
        ({"target": [(1, [(0, 4)]), (1, [(4, 8)])]}, "target device 1: expected one tile, got two"),
        ({"target": [(-1, [(0, 8)])]}, "target device -1: expected a number of at least 0"),
    ],
)
def test_malformed_problem_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        problem(**fields).check()
