"""Curves out of measurements, and how far they are from ops they were not made of."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log
from typing import Any, get_args

import numpy as np

from alpa_mlir import _native
from alpa_mlir._native import DeviceMesh, DeviceSpec
from alpa_mlir.cluster.efficiency import (
    CollectiveCurve,
    CollectiveKind,
    Curve,
    Efficiency,
    HeldOutError,
    MemoryClass,
    MemoryCurve,
    ProductClass,
    ProductCurve,
)
from alpa_mlir.cluster.link import Link
from alpa_mlir.profiling.ops import MeasuredOp

# Sizes within this factor make one point.
_SAME_SIZE = 1.25
_MEMORY_CLASSES: tuple[MemoryClass, ...] = get_args(MemoryClass)
_SLOWEST_LINK_BYTES_PER_SECOND = 1.0
_NO_TIME = 1e300  # bytes per second at which none counts


@dataclass(frozen=True)
class Measurement:
    """An op, and the seconds of one run of it."""

    op: MeasuredOp
    seconds: float


@dataclass(frozen=True)
class Fit:
    """What measurements say of a device.

    Attributes:
      efficiency: curves of what is not held out, and errors on what is.
      peak_flops: the highest rate seen, by element type. memory_bytes_per_second: of elementwise
        ops.
      link: that tells collectives' times best; None where none were measured.
    """

    efficiency: Efficiency
    peak_flops: Mapping[str, float]
    memory_bytes_per_second: float
    link: Link | None


def fit(measurements: Sequence[Measurement], source: str) -> Fit:
    """Curves and a link of what is not held out, and their errors on what is.

    Args:
      source: where the measurements come from, for people.

    Raises:
      ValueError: no elementwise op and no product were measured.
    """
    fitted = [m for m in measurements if not m.op.is_held_out]
    held_out = [m for m in measurements if m.op.is_held_out]
    elementwise = _of(fitted, "elementwise")
    peaks = _peak_flops(fitted)
    if not elementwise or not peaks:
        raise ValueError("expected measurements of elementwise ops and of products, got none")
    largest = max(elementwise, key=lambda m: m.op.num_bytes)  # of no cache
    bytes_per_second = largest.op.num_bytes / largest.seconds
    moving: list[Measurement] = []
    computing: list[Measurement] = []
    for m in fitted:
        (moving if _is_moving(m.op, peaks, bytes_per_second) else computing).append(m)
    efficiency = Efficiency(
        source, _product_curves(computing), _memory_curves(moving), _collective_curves(fitted)
    )
    link = _link(fitted)
    points = {name: (c.sizes, c.seconds) for name, c in efficiency.curves.items()}
    device = DeviceSpec(peaks, bytes_per_second, 0, has_reduce_scatter=False, curves=points)
    errors = _errors(held_out, device, link)
    return Fit(replace(efficiency, errors=errors), peaks, bytes_per_second, link)


def _is_moving(op: MeasuredOp, peaks: Mapping[str, float], bytes_per_second: float) -> bool:
    """Whether an op is slow for what it moves, rather than for what it computes."""
    if _is_collective(op):
        return False
    computing = op.flops / peaks.get(op.element_type, 1.0)
    return op.num_bytes / bytes_per_second >= computing


def _is_collective(op: MeasuredOp) -> bool:
    return op.op_class in get_args(CollectiveKind)


def _of(measurements: Iterable[Measurement], op_class: str) -> list[Measurement]:
    return [m for m in measurements if m.op.op_class == op_class]


def _peak_flops(measurements: Iterable[Measurement]) -> dict[str, float]:
    peaks: dict[str, float] = {}
    for m in measurements:
        if m.op.flops:
            rate = m.op.flops / m.seconds
            peaks[m.op.element_type] = max(rate, peaks.get(m.op.element_type, 0.0))
    return peaks


def _curve(points: Sequence[tuple[float, float]]) -> Curve | None:
    """Through the geometric means of points of about the same size; seconds are made to rise by
    averaging those that fall (isotonic regression of their logarithms). None without points."""
    groups: list[list[tuple[float, float]]] = []
    for point in sorted(points):
        if groups and point[0] <= groups[-1][0][0] * _SAME_SIZE:
            groups[-1].append(point)
        else:
            groups.append([point])
    if not groups:
        return None
    sizes = [_geometric_mean(size for size, _ in group) for group in groups]
    seconds = [statistics.fmean(log(s) for _, s in group) for group in groups]
    return Curve(tuple(sizes), tuple(exp(s) for s in _isotonic(seconds, list(map(len, groups)))))


def _geometric_mean(values: Iterable[float]) -> float:
    return exp(statistics.fmean(map(log, values)))


def _isotonic(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The closest sequence that does not fall: neighbours that do are pooled."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values, weights, strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, wa, na), (b, wb, nb) = pools[-2:]
            pools[-2:] = [((a * wa + b * wb) / (wa + wb), wa + wb, na + nb)]
    return [mean for mean, _, count in pools for _ in range(count)]


def _product_curves(fitted: Sequence[Measurement]) -> tuple[ProductCurve, ...]:
    points: defaultdict[tuple[Any, str], list[tuple[float, float]]] = defaultdict(list)
    for m in fitted:
        if m.op.op_class in get_args(ProductClass):
            points[m.op.op_class, m.op.element_type].append((m.op.flops, m.seconds))
    return tuple(
        ProductCurve(*key, curve)
        for key, of_key in sorted(points.items())
        if (curve := _curve(of_key))
    )


def _memory_curves(moving: Sequence[Measurement]) -> tuple[MemoryCurve, ...]:
    return tuple(
        MemoryCurve(op_class, curve)
        for op_class in _MEMORY_CLASSES
        if (curve := _curve([(m.op.num_bytes, m.seconds) for m in _of(moving, op_class)]))
    )


def _collective_curves(fitted: Sequence[Measurement]) -> tuple[CollectiveCurve, ...]:
    points: defaultdict[tuple[Any, int], list[tuple[float, float]]] = defaultdict(list)
    for m in fitted:
        if _is_collective(m.op):
            points[m.op.op_class, m.op.group_size].append((m.op.num_bytes, m.seconds))
    return tuple(
        CollectiveCurve(*key, "node", curve)
        for key, of_key in sorted(points.items())
        if (curve := _curve(of_key))
    )


# --- Links ---


def _link(fitted: Sequence[Measurement]) -> Link | None:
    """Least squares of relative errors; the cost model is linear in the latency and in the seconds
    of a byte."""
    chosen = [m for m in fitted if _is_collective(m.op)]
    if not chosen:
        return None
    latency_alone, bytes_alone = _native.Link(1.0, _NO_TIME), _native.Link(0.0, 1.0)
    rows = np.array(
        [
            [_collective_seconds(m.op, link) / m.seconds for link in (latency_alone, bytes_alone)]
            for m in chosen
        ]
    )
    (latency, seconds_per_byte), *_ = np.linalg.lstsq(rows, np.ones(len(chosen)), rcond=None)
    if latency < 0:  # then bytes alone explain it
        latency = 0.0
        seconds_per_byte = rows[:, 1].sum() / (rows[:, 1] ** 2).sum()
    rate = 1 / seconds_per_byte if seconds_per_byte > 0 else 1e30
    return Link(float(latency), float(max(rate, _SLOWEST_LINK_BYTES_PER_SECOND)))


def _collective_seconds(op: MeasuredOp, link: _native.Link) -> float:
    """By the cost model, within a node."""
    mesh = DeviceMesh(["devices"], [op.group_size], op.group_size, link, link)
    return mesh.collective_seconds(op.op_class, ["devices"], round(op.num_bytes))


# --- Errors ---


def _errors(
    held_out: Sequence[Measurement], device: DeviceSpec, link: Link | None
) -> tuple[HeldOutError, ...]:
    """Of what plans are priced by: the device's curves, and the link for collectives."""
    by_class: defaultdict[str, list[float]] = defaultdict(list)
    for m in held_out:
        op = m.op
        name = op.op_class
        if not _is_collective(op):
            predicted = device.op_seconds(op.op_class, op.element_type, op.flops, op.num_bytes)
            name += f" {op.element_type}" if op.op_class in get_args(ProductClass) else ""
        elif link is not None:
            sent_over = _native.Link(link.latency_seconds, link.bytes_per_second)
            predicted = _collective_seconds(op, sent_over)
        else:
            continue
        by_class[name].append(abs(predicted - m.seconds) / m.seconds)
    return tuple(
        HeldOutError(name, len(errors), statistics.fmean(errors), max(errors))
        for name, errors in sorted(by_class.items())
    )
