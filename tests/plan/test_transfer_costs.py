"""What sends between stages cost by where they lie, against every share on its links."""

from dataclasses import replace
from math import inf

import pytest
from alpa_mlir import Cluster, Link
from alpa_mlir.cost.transfer import placed_send_seconds
from hypothesis import given
from hypothesis import strategies as st

H100 = Cluster.preset("dgx-h100", num_nodes=8)
BYTES = 800_000_000


def stage(number: int, size: int) -> range:
    return range(number * size, (number + 1) * size)


def test_every_second_boundary_of_half_nodes_crosses_the_network() -> None:
    seconds = [placed_send_seconds(BYTES, stage(i, 4), stage(i + 1, 4), H100) for i in range(15)]
    inside = 4e-6 + BYTES / 4 / 450e9
    across = 8e-6 + BYTES / 400e9
    assert seconds == pytest.approx([inside, across] * 7 + [inside])


def test_whole_nodes_send_by_all_their_networks() -> None:
    seconds = placed_send_seconds(BYTES, range(16), range(16, 32), H100)
    assert seconds == pytest.approx(8e-6 + BYTES / 2 / 400e9)


def test_many_nodes_that_send_to_one_wait_for_it() -> None:
    seconds = placed_send_seconds(BYTES, range(16), range(16, 24), H100)
    assert seconds == pytest.approx(8e-6 + BYTES / 400e9)


def test_nothing_takes_no_time() -> None:
    assert placed_send_seconds(0, range(4), range(4, 8), H100) == 0


def brute_force(num_bytes: int, source: range, target: range, cluster: Cluster) -> float:
    """Every link carries what is sent over it, one after the other."""
    shares = min(len(source), len(target))
    links: dict[tuple[str, int], float] = {}
    crosses = False
    for number in range(shares):
        sender = source[number * len(source) // shares]
        receiver = target[number * len(target) // shares]
        ways = [("device", sender, cluster.intra_node)]
        nodes = sender // cluster.devices_per_node, receiver // cluster.devices_per_node
        if nodes[0] != nodes[1]:
            crosses = True
            ways.append(("out of", nodes[0], cluster.inter_node))
            ways.append(("into", nodes[1], cluster.inter_node))
        for kind, end, link in ways:
            seconds = num_bytes / shares / link.bytes_per_second
            links[kind, end] = links.get((kind, end), 0.0) + seconds
    latency = (cluster.inter_node if crosses else cluster.intra_node).latency_seconds
    return latency + max(links.values())


@st.composite
def placements(draw: st.DrawFn) -> tuple[range, range, Cluster]:
    """Two stages that share no device, on nodes of any size."""
    sizes = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    first = draw(st.integers(0, 8))
    second = first + sizes[0] + draw(st.integers(0, 8))
    source, target = range(first, first + sizes[0]), range(second, second + sizes[1])
    cluster = replace(H100, devices_per_node=draw(st.integers(1, 9)), num_nodes=32)
    return (source, target, cluster) if draw(st.booleans()) else (target, source, cluster)


@given(placements(), st.integers(1, 10**9))
def test_price_is_that_of_the_busiest_link(
    placed: tuple[range, range, Cluster], num_bytes: int
) -> None:
    assert placed_send_seconds(num_bytes, *placed) == pytest.approx(brute_force(num_bytes, *placed))


@given(placements(), st.floats(1, 100), st.booleans())
def test_no_price_falls_when_a_link_gets_slower(
    placed: tuple[range, range, Cluster], factor: float, is_inside: bool
) -> None:
    source, target, cluster = placed
    name = "intra_node" if is_inside else "inter_node"
    link: Link = getattr(cluster, name)
    slow = Link(link.latency_seconds * factor, link.bytes_per_second / factor)
    before = placed_send_seconds(BYTES, source, target, cluster)
    after = placed_send_seconds(BYTES, source, target, replace(cluster, **{name: slow}))
    assert before <= after < inf
