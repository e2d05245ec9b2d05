"""Sums over microbatches, before anything is added to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _greatest(dtype: Any) -> Any:
    return np.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).max


def _least(dtype: Any) -> Any:
    return -np.inf if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype).min


# What changes nothing when combined, for every name in `alpa_mlir.program.pipeline.COMBINERS`.
_NEUTRAL: dict[str, Callable[[Any], Any]] = {
    "add": lambda dtype: 0,
    "mul": lambda dtype: 1,
    "min": _greatest,
    "max": _least,
    "and": lambda dtype: True if dtype == np.bool_ else -1,
    "or": lambda dtype: 0,
}


def compile_start(
    combiners: Sequence[str], avals: Sequence[Any], shardings: Sequence[Any]
) -> jax.stages.Compiled:
    """A program without arguments that makes sums, each of what changes nothing when combined.

    Args:
      combiners: how parts combine with each sum, names of `_NEUTRAL`.
      avals: shape and dtype of each, of the whole array.
      shardings: where each lies; tasks take and return it so.
    """

    def start() -> tuple[Any, ...]:
        return tuple(
            jnp.full(aval.shape, _NEUTRAL[name](aval.dtype), aval.dtype)
            for name, aval in zip(combiners, avals, strict=True)
        )

    return jax.jit(start, out_shardings=tuple(shardings)).lower().compile()
