"""Combines the parts of accumulated values, one microbatch each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

# Of every name in `alpa_mlir.program.pipeline.COMBINERS`.
COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "add": jnp.add,
    "mul": jnp.multiply,
    "min": jnp.minimum,
    "max": jnp.maximum,
    "and": jnp.bitwise_and,
    "or": jnp.bitwise_or,
}


def compile_accumulation(
    combiners: Sequence[str], avals: Sequence[Any], shardings: Sequence[Any]
) -> jax.stages.Compiled:
    """A program of all sums, which it takes the memory of, and then all parts."""

    def accumulate(*arrays: Any) -> tuple[Any, ...]:
        sums, parts = arrays[: len(combiners)], arrays[len(combiners) :]
        combine = (COMBINE[name] for name in combiners)
        return tuple(f(a, b) for f, a, b in zip(combine, sums, parts, strict=True))

    structs = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
    jitted = jax.jit(
        accumulate,
        in_shardings=(*shardings, *shardings),
        out_shardings=tuple(shardings),
        donate_argnums=tuple(range(len(combiners))),
    )
    return jitted.lower(*structs, *structs).compile()
