"""What collectives cost on links of two levels, against every message of their algorithms."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain, combinations
from math import prod

import numpy as np
import pytest
from alpa_mlir._native import DeviceMesh, Link
from hypothesis import given
from hypothesis import strategies as st

RINGS = {"all-reduce": 2, "all-gather": 1, "reduce-scatter": 1}  # with their rounds
KINDS = [*RINGS, "all-to-all", "collective-permute"]
# As of H100s; a node sends less than one device in it.
INTRA_LATENCY, INTER_LATENCY, INTRA_RATE, INTER_RATE = 4e-6, 8e-6, 450e9, 400e9
INTRA, INTER = Link(INTRA_LATENCY, INTRA_RATE), Link(INTER_LATENCY, INTER_RATE)
Group = tuple[int, ...]


def mesh(sizes: tuple[int, ...], devices_per_node: int, intra: Link, inter: Link) -> DeviceMesh:
    return DeviceMesh(list("xyz"[: len(sizes)]), list(sizes), devices_per_node, intra, inter)


def axis_sets(sizes: tuple[int, ...]) -> list[str]:
    names = "xyz"[: len(sizes)]
    sets = chain.from_iterable(combinations(names, k + 1) for k in range(len(names)))
    return ["".join(axes) for axes in sets]


def groups(sizes: tuple[int, ...], axes: str) -> frozenset[Group]:
    """The devices that communicate along the axes."""
    inside = [dim for dim, name in enumerate("xyz"[: len(sizes)]) if name in axes]
    grid = np.moveaxis(np.arange(prod(sizes)).reshape(sizes), inside, range(-len(inside), 0))
    return frozenset(map(tuple, grid.reshape(-1, prod(sizes[dim] for dim in inside)).tolist()))


def factorizations(number: int, most: int = 3) -> Iterator[tuple[int, ...]]:
    yield (number,)
    for first in range(1, number + 1):
        if number % first == 0 and most > 1:
            yield from ((first, *rest) for rest in factorizations(number // first, most - 1))


def messages(kind: str, group: Group, num_bytes: float) -> Iterator[tuple[int, int, float]]:
    """Sender, receiver and bytes of everything that a group sends."""
    n = len(group)
    if kind in RINGS:
        for sender, receiver in zip(group, (*group[1:], group[0]), strict=True):
            yield sender, receiver, RINGS[kind] * (n - 1) / n * num_bytes
    else:
        yield from ((a, b, num_bytes / n) for a in group for b in group if a != b)


def expected_seconds(
    kind: str, all_groups: frozenset[Group], num_bytes: int, devices_per_node: int
) -> float:
    """As long as the busiest device or node sends."""
    sent: defaultdict[int, float] = defaultdict(float)
    left: defaultdict[int, float] = defaultdict(float)
    for group in all_groups:
        for sender, receiver, size in messages(kind, group, num_bytes):
            sent[sender] += size
            if sender // devices_per_node != receiver // devices_per_node:
                left[sender // devices_per_node] += size
    latency = INTER_LATENCY if left else INTRA_LATENCY
    busiest = max(sent.values()) / INTRA_RATE, max(left.values(), default=0.0) / INTER_RATE
    return RINGS.get(kind, 1) * latency + max(busiest)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[int, int]:
    """Devices, and how many a node has: not always a divisor."""
    return draw(st.integers(2, 32)), draw(st.integers(1, 33))


@given(clusters(), st.data())
def test_price_is_that_of_all_messages(cluster: tuple[int, int], data: st.DataObject) -> None:
    num_devices, devices_per_node = cluster
    sizes = data.draw(st.sampled_from(list(factorizations(num_devices))))
    axes = data.draw(st.sampled_from(axis_sets(sizes)))
    kind = data.draw(st.sampled_from(KINDS[:-1]))
    all_groups = groups(sizes, axes)
    seconds = mesh(sizes, devices_per_node, INTRA, INTER).collective_seconds(
        kind, list(axes), 10**9
    )
    if len(next(iter(all_groups))) == 1:
        assert seconds == 0
    else:
        expected = expected_seconds(kind, all_groups, 10**9, devices_per_node)
        assert seconds == pytest.approx(expected)


@given(clusters())
def test_the_same_devices_cost_the_same_on_every_mesh(cluster: tuple[int, int]) -> None:
    num_devices, devices_per_node = cluster
    prices: dict[tuple[str, frozenset[Group]], float] = {}
    for sizes in factorizations(num_devices):
        on = mesh(sizes, devices_per_node, INTRA, INTER)
        for axes in axis_sets(sizes):
            devices = groups(sizes, axes)
            for kind in KINDS:
                seconds = on.collective_seconds(kind, list(axes), 10**6)
                assert prices.setdefault((kind, devices), seconds) == seconds


@given(clusters(), st.data())
def test_no_price_falls_when_a_link_gets_slower(
    cluster: tuple[int, int], data: st.DataObject
) -> None:
    num_devices, devices_per_node = cluster
    sizes = data.draw(st.sampled_from(list(factorizations(num_devices))))
    rates = st.floats(1e8, 1e12)
    latencies = st.floats(0, 1e-4)
    links = [[data.draw(latencies), data.draw(rates)] for _ in range(2)]
    slower = [list(link) for link in links]
    level, field = data.draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
    slower[level][field] *= data.draw(st.floats(0.01, 1)) if field else data.draw(st.floats(1, 100))
    before = mesh(sizes, devices_per_node, Link(*links[0]), Link(*links[1]))
    after = mesh(sizes, devices_per_node, Link(*slower[0]), Link(*slower[1]))
    for axes in axis_sets(sizes):
        for kind in KINDS:
            was = before.collective_seconds(kind, list(axes), 10**6)
            assert after.collective_seconds(kind, list(axes), 10**6) >= was


# --- By hand ---


def seconds(sizes: tuple[int, ...], node: int, kind: str, axes: str, num_bytes: float) -> float:
    """At 100 bytes/s of a device and 10 of a node."""
    on = mesh(sizes, node, Link(0.0, 100.0), Link(0.0, 10.0))
    return on.collective_seconds(kind, list(axes), int(num_bytes))


def test_ring_over_all_devices_leaves_each_node_once() -> None:
    # 2 * 7/8 * 800 bytes at the 10 bytes/s of a node, on the line and on the grid.
    assert seconds((8,), 4, "all-reduce", "x", 800) == pytest.approx(140)
    assert seconds((2, 4), 4, "all-reduce", "xy", 800) == pytest.approx(140)


def test_groups_across_nodes_share_the_network() -> None:
    # Four pairs at once: 2.5 bytes/s each.
    assert seconds((2, 4), 4, "all-gather", "x", 100) == pytest.approx(50 / 2.5)


def test_groups_inside_nodes_have_the_nodes_links() -> None:
    assert seconds((2, 4), 4, "all-gather", "y", 400) == pytest.approx(3)


def test_all_to_all_sends_most_bytes_to_other_nodes() -> None:
    # Four devices of a node send a half of their 800 bytes each.
    assert seconds((8,), 4, "all-to-all", "x", 800) == pytest.approx(160)


def test_permute_is_of_devices_that_all_send_elsewhere() -> None:
    assert seconds((2, 4), 4, "collective-permute", "x", 100) == pytest.approx(40)
    # Of three devices in one node, one sends to the fourth.
    assert seconds((4,), 3, "collective-permute", "x", 100) == pytest.approx(10)


def test_rows_that_do_not_divide_a_node() -> None:
    # Nodes of 6, rows of 4: the middle row lies half in each, the others each in one.
    assert seconds((3, 4), 6, "all-gather", "y", 400) == pytest.approx(30)
    # Of each column one node has one device and the other two: four rings leave each.
    assert seconds((3, 4), 6, "all-gather", "x", 300) == pytest.approx(4 * 200 / 10)


@pytest.mark.parametrize(
    ("kind", "axes", "message"),
    [("all-reduce", ["z"], "axes of the mesh, got 'z'"), ("all", ["x"], "a kind of collective")],
)
def test_collectives_that_are_none(kind: str, axes: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mesh((2, 4), 4, INTRA, INTER).collective_seconds(kind, axes, 1)
