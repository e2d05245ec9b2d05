"""Measures the devices of this process within a budget of time, and makes a profile of it."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import jax

from alpa_mlir.cluster.profile import Profile, ProfileKey
from alpa_mlir.errors import ClusterError
from alpa_mlir.profiling.fit import Measurement, fit
from alpa_mlir.profiling.ops import LARGE, SMALL, MeasuredOp, all_ops
from alpa_mlir.profiling.timing import TimedProgram, Timer
from alpa_mlir.progress import OnProgress, Stopwatch, say_nothing


def measure(
    devices: Sequence[Any], budget_seconds: float, on_progress: OnProgress = say_nothing
) -> list[Measurement]:
    """Measures ops on all of these devices at once until the budget is spent.

    Some are compiled, then these are measured: while one is timed nothing else is to run. What does
    not compile or run there is left out. Time that is left goes into measuring all of them again:
    what else the machine does comes and goes, and the shortest time counts.
    """
    deadline = time.perf_counter() + budget_seconds
    key = ProfileKey.of(devices)
    is_cpu = key.platform == "cpu"
    scale = SMALL if is_cpu else LARGE
    timer = Timer(devices, scale, can_unroll=not is_cpu)
    stopwatch = Stopwatch(f"profile of {len(devices)} x {key.device_kind}", on_progress)
    ops = all_ops(scale, len(devices))
    with stopwatch("measure"):
        with stopwatch.counted("ops", len(ops)) as advance:
            measured = _first_pass(timer, ops, deadline, advance)
        while measured and time.perf_counter() < deadline:
            _measure_again(timer, measured, deadline)
    return [Measurement(op, seconds) for op, _, seconds in measured]


_Measured = list[tuple[MeasuredOp, TimedProgram, float]]


def _first_pass(
    timer: Timer, ops: Sequence[MeasuredOp], deadline: float, advance: Callable[[], None]
) -> _Measured:
    num_threads = min(16, os.cpu_count() or 1)
    at_once = 3 * num_threads
    measured: _Measured = []
    for first in range(0, len(ops), at_once):
        batch = ops[first : first + at_once]
        for op, program in zip(batch, timer.compile_all(batch, num_threads), strict=True):
            if program is not None and (seconds := timer.attempt(op, program)):
                measured.append((op, program, seconds))
            advance()
            if time.perf_counter() > deadline:
                return measured
    return measured


def _measure_again(timer: Timer, measured: _Measured, deadline: float) -> None:
    for number, (op, program, before) in enumerate(measured):
        if time.perf_counter() > deadline:
            return
        seconds = timer.attempt(op, program)
        measured[number] = (op, program, min(before, seconds or before))


def make_profile(
    devices: Sequence[Any], measurements: Sequence[Measurement], seconds: float
) -> Profile:
    """What measurements say of these devices.

    Args:
      seconds: that measuring took.

    Raises:
      ClusterError: there is no elementwise op or no product among them.
    """
    key = ProfileKey.of(devices)
    date = datetime.date.today().isoformat()
    source = (
        f"measured {date} on {key.num_devices} x {key.device_kind} with JAX {key.jax_version}: "
        f"{len(measurements)} ops with `alpa-plan profile`"
    )
    try:
        found = fit(measurements, source)
    except ValueError as error:
        raise ClusterError(f"{error}; give it more time with --seconds") from None
    return Profile(
        key=key,
        date=date,
        versions={"jax": jax.__version__, "jaxlib": version("jaxlib"), **_runtime(devices[0])},
        seconds=seconds,
        num_ops=len(measurements),
        peak_flops=found.peak_flops,
        memory_bytes_per_second=found.memory_bytes_per_second,
        memory_bytes=(devices[0].memory_stats() or {}).get("bytes_limit"),
        link=found.link,
        efficiency=found.efficiency,
    )


def _runtime(device: Any) -> dict[str, str]:
    """The version of what JAX drives the device with, as it tells it."""
    told = str(getattr(device.client, "platform_version", "")).replace("\n", ", ").strip()
    return {"platform": told} if told else {}
