"""Creates the state of a parallelized step where the step wants it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from alpa_mlir.parallelize import ParallelFunction


def create_state(
    init_fn: Callable[..., Any], *args: Any, like: ParallelFunction, argnum: int = 0
) -> Any:
    """What `init_fn(*args)` returns, every leaf created on the devices that keep it between steps.

    No device ever holds more than its share, so that state can be created which fits on none.

    Args:
      init_fn: a JAX function that returns argument `argnum` of the step.
      like: the parallelized step. It must have been compiled, by `like.compile` or a call.
      argnum: the position of the state among the step's arguments.

    Raises:
      ArgumentError: the step has not been compiled, has no such argument, or the function returns
        another structure, or other shapes or dtypes.
    """
    executable = like.compiled_executable("create")
    return executable.create_state(partial(init_fn, *args), like.dynamic_position(argnum))
