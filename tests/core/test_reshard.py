"""Meshes, shardings and reshard routes of the C++ core, by hand-made examples and their laws."""

from collections.abc import Sequence
from typing import Any

import pytest
from alpa_mlir._native import DeviceMesh, DeviceSpec, Link, ReshardTable, all_shardings
from hypothesis import given
from hypothesis import strategies as st
from oracles.meshes import one_node_mesh


def mesh(*sizes: int, bandwidth: float = 1e9) -> DeviceMesh:
    return one_node_mesh(sizes, 1e-9, bandwidth)


def device(memory_bandwidth: float = 1e11) -> DeviceSpec:
    return DeviceSpec({"f32": 1e12}, memory_bandwidth, 0, has_reduce_scatter=False)


def route(
    shape: Sequence[int], on: DeviceMesh, source: str, target: str
) -> list[tuple[str, str, int]]:
    return ReshardTable(list(shape), 4, on, device()).route(on, source, target, len(shape))


# --- Meshes ---


def test_mesh_has_the_product_of_its_axes() -> None:
    assert mesh(2, 4).num_devices == 8


@pytest.mark.parametrize(
    ("names", "sizes", "node", "link", "message"),
    [
        ([], [], 1, (0, 1), "expected a mesh of one to 3 axes, got 0"),
        (["x", "x"], [2, 2], 1, (0, 1), "distinct names, got 'x' twice"),
        (["x"], [0], 1, (0, 1), "axis 'x' to have at least 1 device, got 0"),
        (["x"], [2], 0, (0, 1), "at least 1 device per node, got 0"),
        (["x"], [2], 1, (0, 0), "bandwidth above 0 .* between nodes, got 0 bytes/s"),
        (["x"], [2], 1, (-1, 1), "latency of at least 0, both finite, between nodes"),
        (["x"], [2, 2], 1, (0, 1), "one size per mesh axis, got 1 names and 2 sizes"),
    ],
)
def test_mesh_that_cannot_be_is_refused(
    names: list[str], sizes: list[int], node: int, link: tuple[float, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        DeviceMesh(names, sizes, node, Link(0, 1), Link(*link))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, 1.0, 0, True), "peak FLOP/s of at least one element type"),
        (({"f32": 0.0}, 1.0, 0, True), "positive and finite peak FLOP/s for 'f32'"),
        (({"f32": 1.0}, 0.0, 0, True), "positive and finite memory bandwidth"),
        (({"f32": 1.0}, 1.0, -1, True), "memory size of at least 0 bytes, got -1"),
    ],
)
def test_device_that_cannot_be_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeviceSpec(*arguments)


# --- Shardings ---


def test_all_shardings_divide_every_dim() -> None:
    assert all_shardings([4, 3], mesh(2, 2)) == [
        "{},{}",
        "{y},{}",
        "{x},{}",
        "{x,y},{}",
        "{y,x},{}",
    ]


def test_axis_of_one_device_splits_nothing() -> None:
    assert all_shardings([4], mesh(1, 2)) == ["{}", "{y}"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{z}", "the mesh has no axis 'z'"),
        ("{x,x}", "axis 'x' is used twice"),
        ("{x", "a brace is not closed"),
        ("x", "expected a dim in braces"),
    ],
)
def test_sharding_text_that_means_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        route((4,), mesh(2), text, "{}")


def test_sharding_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a sharding that divides the tensor"):
        route((4, 3), mesh(2), "{},{x}", "{},{}")


# --- Routes: bytes are the larger of operand and result, per device ---


@pytest.mark.parametrize(
    ("source", "target", "steps"),
    [
        ("{x},{}", "{x},{}", []),
        ("{},{}", "{x},{}", [("{x},{}", "slice", 0)]),
        ("{x},{}", "{},{}", [("{},{}", "all-gather", 256)]),
        ("{x},{}", "{},{x}", [("{},{x}", "all-to-all", 128)]),
        ("{x,y},{}", "{},{}", [("{},{}", "all-gather", 256)]),
        ("{x,y},{}", "{y,x},{}", [("{y,x},{}", "collective-permute", 64)]),
        ("{x},{y}", "{y},{x}", [("{y},{x}", "collective-permute", 64)]),
        ("{x},{}", "{x,y},{}", [("{x,y},{}", "slice", 0)]),
        # No single step of XLA's: y goes over, then x is gathered.
        (
            "{x,y},{}",
            "{},{y}",
            [("{x},{y}", "all-to-all", 64), ("{},{y}", "all-gather", 128)],
        ),
    ],
)
def test_route_of_an_8x8_tensor_on_2x2(
    source: str, target: str, steps: list[tuple[str, str, int]]
) -> None:
    assert route((8, 8), mesh(2, 2), source, target) == steps


SIZES = st.sampled_from([1, 2, 3, 4, 6, 8])


@given(st.data())
def test_routes_end_at_their_target_and_no_detour_is_cheaper(data: st.DataObject) -> None:
    shape = data.draw(st.lists(SIZES, min_size=1, max_size=3))
    on = mesh(*data.draw(st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3)))
    table = ReshardTable(shape, 4, on, device())
    shardings = all_shardings(shape, on)
    source, target = (data.draw(st.sampled_from(shardings)) for _ in range(2))
    steps = table.route(on, source, target, len(shape))
    assert (steps == []) == (source == target)
    assert not steps or steps[-1][0] == target
    assert all(reached in shardings for reached, _, _ in steps)
    by_way_of = data.draw(st.sampled_from(shardings))
    detour = table.seconds(on, source, by_way_of) + table.seconds(on, by_way_of, target)
    assert table.seconds(on, source, target) <= detour * (1 + 1e-9)


def test_collectives_cost_what_the_alpha_beta_model_says() -> None:
    # 256 bytes over 4 devices at 1 byte/s and no latency to speak of; local copies are free.
    on = one_node_mesh([4], 0.0, 1.0)
    table = ReshardTable([8, 8], 4, on, device(memory_bandwidth=1e30))
    assert table.seconds(on, "{x},{}", "{},{}") == pytest.approx(256 * 3 / 4)  # all-gather
    assert table.seconds(on, "{x},{}", "{},{x}") == pytest.approx(64 * 3 / 4)  # all-to-all
    assert table.seconds(on, "{},{}", "{},{x}") == pytest.approx(0)  # slice


def gpu(memory_bandwidth: float) -> DeviceSpec:
    return DeviceSpec({"f32": 1e12}, memory_bandwidth, 0, has_reduce_scatter=True)


def test_gathers_of_minor_dims_transpose_on_gpus() -> None:
    # Of 256 bytes that are gathered the link takes next to no time, memory reads and writes all.
    on = one_node_mesh([2], 0.0, 1e30)
    on_gpu, on_cpu = (ReshardTable([8, 8], 4, on, spec) for spec in (gpu(1.0), device(1.0)))
    assert on_gpu.seconds(on, "{x},{}", "{},{}") == pytest.approx(512)
    assert on_gpu.seconds(on, "{},{x}", "{},{}") == pytest.approx(512 + 512)
    assert on_cpu.seconds(on, "{},{x}", "{},{}") == pytest.approx(512)


def test_dim_after_those_of_one_element_is_the_major_one() -> None:
    on = one_node_mesh([2, 2], 0.0, 1e30)
    table = ReshardTable([1, 2, 8], 4, on, gpu(1.0))
    assert table.seconds(on, "{},{x},{}", "{},{},{}") == pytest.approx(128)
    assert table.seconds(on, "{},{y},{x}", "{},{y},{}") == pytest.approx(64)


def test_all_to_all_transposes_on_the_side_of_each_minor_dim() -> None:
    on = one_node_mesh([2], 0.0, 1e30)
    table = ReshardTable([8, 8, 8], 4, on, gpu(1.0))
    assert table.seconds(on, "{x},{},{}", "{},{x},{}") == pytest.approx(2048 + 2048)
    assert table.seconds(on, "{},{x},{}", "{x},{},{}") == pytest.approx(2048 + 2048)
    assert table.seconds(on, "{},{x},{}", "{},{},{x}") == pytest.approx(2048 + 2 * 2048)


# --- Trees: one value for several readers ---


def test_tree_of_readers_that_want_the_same_has_their_route_once():
    on = mesh(2, 2)
    table = ReshardTable([8, 8], 4, on, device())
    steps, arrivals, seconds = table.tree(on, "{x,y},{}", ["{},{y}"] * 3, 2)
    assert steps == [(-1, "{x},{y}"), (0, "{},{y}")]
    assert arrivals == [1, 1, 1]
    assert seconds == pytest.approx(table.seconds(on, "{x,y},{}", "{},{y}"))


def test_tree_goes_on_from_the_view_and_from_what_was_made():
    # One gather for the reader of the whole; its slice is cheaper than an all-to-all.
    on = mesh(2)
    table = ReshardTable([512, 512], 4, on, device())
    steps, arrivals, _ = table.tree(on, "{x},{}", ["{},{x}", "{x},{}", "{},{}"], 2)
    assert steps == [(-1, "{},{}"), (0, "{},{x}")]
    assert arrivals == [1, -1, 0]


@given(st.data())
def test_tree_is_cheapest_for_two_readers_and_never_dearer_than_routes(data: st.DataObject) -> None:
    shape = data.draw(st.lists(SIZES, min_size=1, max_size=3))
    on = mesh(*data.draw(st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3)))
    table = ReshardTable(shape, 4, on, device())
    shardings = all_shardings(shape, on)
    made, *wanted = data.draw(st.lists(st.sampled_from(shardings), min_size=2, max_size=5))
    steps, arrivals, seconds = table.tree(on, made, wanted, len(shape))

    reached = [made]
    for source, target in steps:
        assert source < len(reached) - 1
        assert len(table.route(on, reached[source + 1], target, len(shape))) == 1
        reached.append(target)
    assert [reached[step + 1] for step in arrivals] == wanted

    def via(view: str) -> float:
        return table.seconds(on, made, view) + sum(table.seconds(on, view, w) for w in wanted)

    best = min(map(via, shardings))
    assert seconds <= best * (1 + 1e-9)
    if len({made, *wanted}) == len(wanted) + 1 <= 3:
        assert seconds == pytest.approx(best)
    assert table.tree(on, made, wanted[::-1], len(shape))[0] == steps
