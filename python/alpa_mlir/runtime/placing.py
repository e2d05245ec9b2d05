"""Puts values on devices of which some may be other processes'.

What a process holds alone (host arrays, arrays on one of its devices) has the same value in every
process, as each runs the same script; each puts the shards of its own devices. `jax.device_put`
would compare them across all processes first, in a collective. An array with a NamedSharding is one
array to all processes, also where all its devices are those of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from alpa_mlir.program.placement import absent, sharding_of_words
from alpa_mlir.runtime.share import everywhere
from alpa_mlir.runtime.transfer.transport import AbstractTransport, Lot, Move


def put(arrays: Sequence[Any], shardings: Sequence[NamedSharding]) -> list[Any]:
    """Values of this process alone, each on devices some of which are its own."""
    are_here = [sharding.is_fully_addressable for sharding in shardings]
    if all(are_here):
        return jax.device_put(list(arrays), list(shardings))
    return [
        jax.device_put(array, sharding) if is_here else _put_own_shards(array, sharding)
        for array, sharding, is_here in zip(arrays, shardings, are_here, strict=True)
    ]


def _put_own_shards(array: Any, sharding: NamedSharding) -> Any:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        words = _put_own_shards(jax.random.key_data(array), sharding_of_words(sharding, array.ndim))
        impl = jax.random.key_impl(array)
        wrap = jax.jit(lambda data: jax.random.wrap_key_data(data, impl=impl))
        return jax.device_put(wrap(words), sharding)
    host = np.asarray(array)
    host = host.astype(jax.dtypes.canonicalize_dtype(host.dtype), copy=False)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


class Mover:
    """Moves arrays that lie on devices of several processes; every process takes part."""

    def __init__(self, transport: AbstractTransport) -> None:
        self._transport = transport
        self._moves: dict[Any, Move] = {}

    def place(self, leaf: Any, target: NamedSharding) -> Any:
        """Any argument as it is wanted; what lies so already is not copied."""
        if not isinstance(leaf, jax.Array):
            return put([np.array(leaf)], [target])[0]
        if leaf.sharding == target:
            return leaf
        return self.move(leaf, target) if self.is_shared(leaf) else put([leaf], [target])[0]

    def is_shared(self, array: jax.Array) -> bool:
        """Whether it is one array to all processes, and not a value that each of them has.

        Those who have none of its devices cannot tell it from its shards: it has a NamedSharding.
        """
        has_others = jax.process_count() > 1
        return has_others and isinstance(array.sharding, NamedSharding)

    def own_copy(self, array: Any) -> Any:
        """The whole array on a device of this process."""
        is_here = _spans_all(array.sharding) and array.is_fully_replicated
        return (array if is_here else self.move(array, everywhere())).addressable_data(0)

    def move(self, array: Any, target: NamedSharding) -> Any:
        """The array in another sharding; without shards here where its devices are others'."""
        source = array.sharding
        key = (array.shape, array.dtype, source, target)
        if key not in self._moves:
            # The user may donate the array to another program once this step has begun.
            self._moves[key] = self._transport.compile(Lot([array], [source], [target], [True]))
        moved = self._moves[key]([array if source.addressable_devices else None])
        return moved[0] if moved else absent(array.shape, array.dtype, target)


def _spans_all(sharding: Any) -> bool:
    """Whether every process has a device of it."""
    return len({d.process_index for d in sharding.device_set}) == jax.process_count()
