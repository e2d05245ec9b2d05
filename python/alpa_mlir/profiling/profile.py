"""Measures the devices of this process within a budget of time, and makes a profile of it."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Sequence
from typing import Any

import jax
import jaxlib

from alpa_mlir.cluster.efficiency import Efficiency
from alpa_mlir.cluster.profile import Profile, ProfileKey
from alpa_mlir.errors import ClusterError
from alpa_mlir.profiling.fit import Measurement, fit
from alpa_mlir.profiling.ops import LARGE, SMALL, all_ops
from alpa_mlir.profiling.timing import Timer
from alpa_mlir.progress import OnProgress, Stopwatch, say_nothing


def measure(
    devices: Sequence[Any], budget_seconds: float, on_progress: OnProgress = say_nothing
) -> list[Measurement]:
    """Measures ops on all of these devices at once until the budget is spent.

    Some are compiled, then these are measured: while one is timed nothing else is to run. What does
    not compile or run there is left out.
    """
    deadline = time.perf_counter() + budget_seconds
    key = ProfileKey.of(devices)
    is_cpu = key.platform == "cpu"
    scale, types = (SMALL, ["f32"]) if is_cpu else (LARGE, ["f32", "bf16", "f16"])
    timer = Timer(devices, *((0.02, 1) if is_cpu else (0.04, 8)))
    ops = all_ops(scale, types, len(devices))
    num_threads = max(1, min(8, (os.cpu_count() or 1) // 2))
    at_once = 4 * num_threads
    measurements: list[Measurement] = []
    stopwatch = Stopwatch(f"profile of {len(devices)} x {key.device_kind}", on_progress)
    with stopwatch("measure"), stopwatch.counted("ops", len(ops)) as advance:
        for first in range(0, len(ops), at_once):
            batch = ops[first : first + at_once]
            for op, program in zip(batch, timer.compile_all(batch, num_threads), strict=True):
                if program is not None and (seconds := timer.attempt(op, program)):
                    measurements.append(Measurement(op, seconds))
                advance()
                if time.perf_counter() > deadline:
                    return measurements
    return measurements


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
    try:
        found = fit(measurements)
    except ValueError as error:
        raise ClusterError(f"{error}; give it more time with --seconds") from None
    date = datetime.date.today().isoformat()
    source = (
        f"measured {date} on {key.num_devices} x {key.device_kind} with JAX {key.jax_version}: "
        f"{len(measurements)} ops with `alpa-plan profile`"
    )
    return Profile(
        key=key,
        date=date,
        versions={"jax": jax.__version__, "jaxlib": jaxlib.__version__, **_runtime(devices[0])},
        seconds=seconds,
        num_ops=len(measurements),
        peak_flops=found.peak_flops,
        memory_bytes_per_second=found.memory_bytes_per_second,
        memory_bytes=(devices[0].memory_stats() or {}).get("bytes_limit"),
        link=found.link,
        efficiency=Efficiency(
            source, found.products, found.memory, found.collectives, found.errors
        ),
    )


def _runtime(device: Any) -> dict[str, str]:
    """The version of what JAX drives the device with, as it tells it."""
    version = str(getattr(device.client, "platform_version", "")).replace("\n", ", ").strip()
    return {"platform": version} if version else {}
