"""Seconds by measured curves: interpolation, what falls back on what, and what is refused."""

import math
from itertools import pairwise

import pytest
from alpa_mlir._native import DeviceSpec
from hypothesis import given
from hypothesis import strategies as st

PEAK = 1e12
BANDWIDTH = 1e11
Curves = dict[str, tuple[list[float], list[float]]]


def device(curves: Curves) -> DeviceSpec:
    return DeviceSpec({"f32": PEAK}, BANDWIDTH, 0, has_reduce_scatter=False, curves=curves)


def moved(curves: Curves, num_bytes: float, op_class: str = "elementwise") -> float:
    return device(curves).op_seconds(op_class, "f32", 0.0, num_bytes)


RISING: Curves = {"elementwise": ([100.0, 10000.0], [1e-6, 4e-6])}


def test_points_are_met() -> None:
    assert moved(RISING, 100) == pytest.approx(1e-6)
    assert moved(RISING, 10000) == pytest.approx(4e-6)


def test_between_points_both_axes_are_logarithmic() -> None:
    assert moved(RISING, 1000) == pytest.approx(2e-6)


def test_beyond_the_ends_the_rate_is_that_of_the_end() -> None:
    assert moved(RISING, 10) == pytest.approx(1e-7)
    assert moved(RISING, 0) == 0
    assert moved(RISING, 30000) == pytest.approx(12e-6)


def test_without_curves_the_roofline_holds() -> None:
    bare = device({})
    assert bare.op_seconds("product", "f32", PEAK, 1.0) == pytest.approx(1)
    assert bare.op_seconds("product", "f32", 1.0, BANDWIDTH) == pytest.approx(1)


def test_class_that_was_not_measured_moves_data_as_elementwise_ops_do() -> None:
    assert moved(RISING, 1000, "transpose") == moved(RISING, 1000)
    own: Curves = {**RISING, "transpose": ([100.0], [5e-6])}
    assert moved(own, 100, "transpose") == pytest.approx(5e-6)


def test_product_takes_the_longer_of_computing_and_moving() -> None:
    both: Curves = {**RISING, "product bf16": ([1e6], [3e-6])}
    assert device(both).op_seconds("product", "bf16", 1e6, 100.0) == pytest.approx(3e-6)
    assert device(both).op_seconds("product", "bf16", 1e6, 10000.0) == pytest.approx(4e-6)
    # Other types and classes have no curve.
    assert device(both).op_seconds("product", "f32", 1e6, 0.0) == pytest.approx(1e6 / PEAK)
    assert device(both).op_seconds("convolution", "bf16", 1e6, 0.0) == pytest.approx(1e6 / PEAK)


@pytest.mark.parametrize(
    "points",
    [
        ([], []),
        ([1.0], [1.0, 2.0]),
        ([2.0, 1.0], [1.0, 2.0]),
        ([1.0, 1.0], [1.0, 2.0]),
        ([1.0, 2.0], [2.0, 1.0]),
        ([0.0, 2.0], [1.0, 1.0]),
        ([1.0, 2.0], [0.0, 1.0]),
        ([1.0, math.inf], [1.0, 2.0]),
        ([1.0, 2.0], [1.0, math.nan]),
    ],
)
def test_points_that_are_no_curve_are_refused(points: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="efficiency curve 'reduce': expected"):
        device({"reduce": points})


@given(
    st.lists(st.tuples(st.floats(1, 1e12), st.floats(1e-9, 1)), min_size=1, max_size=8),
    st.lists(st.floats(0, 1e15), min_size=2, max_size=20),
)
def test_larger_op_never_takes_less(points: list[tuple[float, float]], sizes: list[float]) -> None:
    rising = sorted(dict(points).items())
    seconds = sorted(second for _, second in rising)
    curves: Curves = {"elementwise": ([size for size, _ in rising], seconds)}
    taken = [moved(curves, size) for size in sorted(sizes)]
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(taken))
