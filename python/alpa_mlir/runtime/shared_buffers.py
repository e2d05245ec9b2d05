"""Arrays that share memory, one of them donated: XLA must not get a buffer to take and to read.

It happens in good faith: averaged weights start as the weights, a target network is the network.
XLA refuses some such calls, and crashes on others.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from alpa_mlir._native import has_repeats


class DonationGuard:
    """Gives a step arguments of which each has its own memory, and takes a training loop little.

    Objects that come twice are found in every call. Others that share memory come from
    `jax.device_put`, not from the step: arguments that it has just returned are not looked through.

    Args:
      donate_argnums: positions of the arguments that are donated.
    """

    def __init__(self, donate_argnums: Sequence[int]) -> None:
        self._donate_argnums = donate_argnums
        self._returned: dict[int, list[weakref.ref[Any]]] = {}
        self._array_type: type | None = None

    def arguments(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The same arrays, but copies where one comes again or has the memory of an earlier one."""
        if not self._donate_argnums:
            return args
        if self._are_returned(args) and not has_repeats(args, self._array_type, jax.tree.leaves):
            return args
        leaves, tree = jax.tree.flatten(args)
        self._array_type = next(
            (type(leaf) for leaf in leaves if isinstance(leaf, jax.Array)), None
        )
        return tree.unflatten(without_shared_buffers(leaves))

    def _are_returned(self, args: tuple[Any, ...]) -> bool:
        for position in self._donate_argnums:
            if position < len(args) and not self._is_returned(args[position]):
                return False
        return True

    def _is_returned(self, argument: Any) -> bool:
        """The same container and, for its id may be that of another by now, the same arrays."""
        known = self._returned.get(id(argument))
        if known is None:
            return False
        leaves = jax.tree.leaves(argument)
        return len(leaves) == len(known) and all(map(_is_still, known, leaves))

    def remember(self, result: Any) -> None:
        """Notes what the step has returned: one argument of the next, or several."""
        if not self._donate_argnums:
            return
        parts = [result, *(result if isinstance(result, tuple | list) else ())]
        self._returned = {id(part): list(map(weakref.ref, _arrays(part))) for part in parts}


def _is_still(known: weakref.ref[Any], leaf: Any) -> bool:
    return known() is leaf


def _arrays(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, jax.Array)]


def without_shared_buffers(leaves: Sequence[Any]) -> list[Any]:
    """The same arrays, but copies where one has the memory of an earlier one.

    `jax.device_put` makes such: the part that is on the right device already is not copied, be it
    one of several. Looking takes about 2 us per array and device.
    """
    seen: set[Any] = set()
    result: list[Any] = []
    for leaf in leaves:
        buffers = _buffers(leaf)
        is_shared = isinstance(leaf, jax.Array) and not seen.isdisjoint(buffers)
        result.append(jax.device_put(jnp.copy(leaf), leaf.sharding) if is_shared else leaf)
        seen.update(buffers)
    return result


def _buffers(leaf: Any) -> list[Any]:
    """What tells buffers apart; keys and empty arrays count as sharing none."""
    if not isinstance(leaf, jax.Array) or leaf.size == 0:
        return [id(leaf)]
    if jnp.issubdtype(leaf.dtype, jax.dtypes.extended):
        return [id(leaf)]
    shards = leaf.addressable_shards
    return [(shard.device.id, shard.data.unsafe_buffer_pointer()) for shard in shards]
