"""What does not fit into memory, in the user's terms: which op, which tensors, how many bytes."""

import numpy as np

from alpa_mlir._native import ShardingModel
from alpa_mlir.units import format_bytes

_NUM_NAMED = 3


def describe_shortage(model: ShardingModel) -> str | None:
    """Where even the smallest shardings exceed the limit; None where each time alone fits."""
    problem = model.problem
    if problem.usage_limit is None:
        return None
    smallest = np.array(
        [min(problem.node_usages(n)) for n in range(model.num_vertices)], dtype=np.int64
    )
    spans = np.array([problem.node_interval(n) for n in range(model.num_vertices)], dtype=np.int64)
    change = np.zeros(spans.max() + 1, dtype=np.int64)
    np.add.at(change, spans[:, 0], smallest)
    np.add.at(change, spans[:, 1], -smallest)
    needed = np.cumsum(change)
    time = int(needed.argmax())
    missing = int(needed[time]) - problem.usage_limit
    if missing <= 0:
        return None

    alive = (spans[:, 0] <= time) & (time < spans[:, 1])
    order = np.argsort(-np.where(alive, smallest, 0), kind="stable")[:_NUM_NAMED]
    largest = ", ".join(
        f"{model.node_name(int(n))} {format_bytes(int(smallest[n]))}" for n in order
    )
    return (
        f"{format_bytes(missing)} of memory per device are missing ({missing} bytes): the values "
        f"alive at {_op_at(model, spans, time)} need {format_bytes(int(needed[time]))} of "
        f"{format_bytes(problem.usage_limit)} even where every tensor is sharded as far as it "
        f"goes; the largest are {largest}. Use more devices, a smaller batch, or jax.checkpoint"
    )


def describe_copies(needed_bytes: int, limit_bytes: int) -> str:
    """That values fit, but not with the copies of them that are gathered or otherwise resharded."""
    missing = needed_bytes - limit_bytes
    return (
        f"{format_bytes(missing)} of memory per device are missing ({missing} bytes): with the "
        f"copies that collectives make, the smallest plan found needs "
        f"{format_bytes(needed_bytes)} of {format_bytes(limit_bytes)}. Use more devices, a smaller "
        "batch, or jax.checkpoint"
    )


def _op_at(model: ShardingModel, spans: np.ndarray, time: int) -> str:
    """The last op that starts at or before `time`."""
    started = [n for n in range(model.num_vertices) if model.op_id(n) >= 0 and spans[n, 0] <= time]
    if not started:
        return "the start"
    node = max(started, key=lambda n: int(spans[n, 0]))
    return f"{model.node_name(node)} (op {model.op_id(node)})"
