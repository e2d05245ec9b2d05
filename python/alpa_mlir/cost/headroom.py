"""What XLA may use of a device's memory beyond what a plan needs, and how it is kept from that.

XLA's latency-hiding scheduler (for NVIDIA's Hopper and later) starts collectives early as long as
it takes memory to be free. It brings the peak of what `jax.checkpoint` freed back, and close to
the limit it ends far above it: a plan of 19 GB took 29 GB of 24 GB. The plain scheduler needs what
plans predict; of GPT with 24 layers it hides as many collectives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alpa_mlir.cluster.cluster import Device

# Above this share of a device's memory the scheduler was seen to use half as much again.
_LARGEST_SHARE = 0.5
# Options that turn the scheduler off; on older GPUs it is off anyway.
PLAIN_SCHEDULER: Mapping[str, Any] = {"xla_gpu_enable_analytical_sol_latency_estimator": False}


def has_headroom(device: Device, needed_bytes: int) -> bool:
    """Whether XLA may use more than a program needs; only compilers for GPUs would."""
    return device.platform == "cuda" and needed_bytes <= _LARGEST_SHARE * device.memory_bytes


def scheduler_options(device: Device, needed_bytes: int) -> dict[str, Any]:
    """Compiler options under which XLA needs no more than was planned."""
    if device.platform != "cuda" or has_headroom(device, needed_bytes):
        return {}
    return dict(PLAIN_SCHEDULER)
