"""Minimum cuts equal trying every set of nodes, and have the largest source side."""

from __future__ import annotations

import itertools
import threading

from alpa_mlir._native import MinCut
from hypothesis import given, settings
from hypothesis import strategies as st

Edges = list[tuple[int, int, int]]
SOURCE, SINK = 0, 1


@st.composite
def small_graphs(draw: st.DrawFn) -> tuple[int, Edges]:
    num_nodes = draw(st.integers(2, 7))
    node = st.integers(0, num_nodes - 1)
    return num_nodes, draw(st.lists(st.tuples(node, node, st.integers(0, 4)), max_size=16))


def cut_capacity(above: set[int], edges: Edges) -> int:
    return sum(size for start, end, size in edges if start in above and end not in above)


@settings(max_examples=300)
@given(small_graphs())
def test_source_side_is_the_largest_minimum_cut(graph: tuple[int, Edges]) -> None:
    num_nodes, edges = graph
    cut = MinCut()
    for _ in range(num_nodes - 2):
        cut.add_node()
    for edge in edges:
        cut.add_edge(*edge)
    found = {node for node, is_above in enumerate(cut.source_side()) if is_above}

    free = range(2, num_nodes)
    sides = [
        {SOURCE, *chosen}
        for size in range(num_nodes - 1)
        for chosen in itertools.combinations(free, size)
    ]
    least = min(cut_capacity(side, edges) for side in sides)
    minimum = [side for side in sides if cut_capacity(side, edges) == least]
    assert found == set.union(*minimum)


def test_way_as_long_as_a_program_needs_no_stack() -> None:
    num_nodes = 200_000
    cut = MinCut()
    for _ in range(num_nodes):
        cut.add_node()
    way = [SOURCE, *range(2, num_nodes + 2), SINK]
    narrow = num_nodes // 2
    for place, edge in enumerate(itertools.pairwise(way)):
        cut.add_edge(*edge, 1 if place == narrow else 2)
    sides: list[bool] = []
    before = threading.stack_size(1 << 20)
    try:
        thread = threading.Thread(target=lambda: sides.extend(cut.source_side()))
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()
    assert [sides[node] for node in way] == [place <= narrow for place in range(len(way))]
