"""Takes the results of a step out of its store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir.ir.functions import BatchDim

ResultReader = Callable[[Sequence[Any], list[Any]], Any]


@dataclass(frozen=True)
class SlotReader:
    slot: int

    def __call__(self, _leaves: Sequence[Any], store: list[Any]) -> Any:
        return store[self.slot]


@dataclass(frozen=True)
class ArgumentReader:
    """For an argument that no task reads."""

    position: int

    def __call__(self, leaves: Sequence[Any], _store: list[Any]) -> Any:
        return jnp.asarray(leaves[self.position])


@dataclass(frozen=True)
class AbsentReader:
    """For what lies on devices of other processes: an array without addressable shards."""

    array: Any

    def __call__(self, _leaves: Sequence[Any], _store: list[Any]) -> Any:
        return self.array


def compile_join(
    aval: Any, sharding: Any, batch_dim: BatchDim, num_parts: int
) -> jax.stages.Compiled:
    """A program that joins the examples of `num_parts` microbatches of type `aval`."""
    dim, size, minor = batch_dim.dim, batch_dim.size // num_parts, batch_dim.minor
    shape = aval.shape
    # The dim as (outer, examples, minor).
    split = (*shape[:dim], shape[dim] // (size * minor), size, minor, *shape[dim + 1 :])
    whole = (*shape[:dim], shape[dim] * num_parts, *shape[dim + 1 :])

    def join(*parts: Any) -> Any:
        examples = [jnp.reshape(part, split) for part in parts]
        return jnp.reshape(jnp.concatenate(examples, axis=dim + 1), whole)

    struct = jax.ShapeDtypeStruct(shape, aval.dtype)
    jitted = jax.jit(join, in_shardings=(sharding,) * num_parts, out_shardings=sharding)
    return jitted.lower(*[struct] * num_parts).compile()
