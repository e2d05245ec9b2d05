"""Arrays of which a process has all, some or nothing: leaves live on the meshes of stages.

Orbax takes for granted that every process has a part of every array, and not the whole of any.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from alpa_mlir.program.placement import absent, sharding_of_words


def array_handlers(orbax: Any) -> Any:
    """Orbax's registry of types, with a handler of arrays for several processes.

    Args:
      orbax: the package, which is imported in one place only.
    """
    handlers = orbax.type_handlers

    class StageArrayHandler(handlers.ArrayHandler):
        """Every process writes what it owns, and what is said of all arrays for all of them."""

        def __init__(self, **options: Any) -> None:
            self._said_of_keys: dict[str, Any] = {}
            super().__init__(**options)

        async def serialize(
            self, values: Sequence[Any], infos: Sequence[Any], args: Any = None
        ) -> Any:
            self._said_of_keys = {
                info.name: {"random_key_impl": _implementation(value)}
                for value, info in zip(values, infos, strict=True)
                if _is_key(value)
            }
            parts = [_OwnPart(_words(value) if _is_key(value) else value) for value in values]
            return await super().serialize(parts, infos, args)

        # What orbax writes beside arrays: empty when it begins, and then of the keys it meets,
        # which are words by now.
        @property
        def _ext_metadata(self) -> dict[str, Any]:
            return self._written_beside

        @_ext_metadata.setter
        def _ext_metadata(self, value: dict[str, Any]) -> None:
            self._written_beside = {**value, **self._said_of_keys}

        async def deserialize(self, infos: Sequence[Any], args: Any = None) -> Any:
            arrays: list[Any] = [
                None
                if arg.sharding.addressable_devices
                else absent(arg.global_shape, arg.dtype, arg.sharding)
                for arg in args
            ]
            here = [i for i, array in enumerate(arrays) if array is None]
            if here:
                pairs = [infos[i] for i in here], [args[i] for i in here]
                for i, array in zip(here, await super().deserialize(*pairs), strict=True):
                    arrays[i] = array
            return arrays

    known: Any = handlers.get_type_handler(jax.Array)
    # Where chunks are described; orbax has no public name for it. Replicas write no parts, which
    # would be cut by programs over devices that not every process has.
    arrays = StageArrayHandler(
        array_metadata_store=known._array_metadata_store, use_replica_parallel=False
    )
    return handlers.create_type_handler_registry(
        (jax.Array, arrays), (np.ndarray, handlers.get_type_handler(np.ndarray))
    )


class _OwnPart:
    """An array as orbax reads it, of which this process may have all, some or nothing."""

    # Orbax refuses arrays that are, for each process might mean another by them.
    is_fully_addressable = False

    def __init__(self, array: Any) -> None:
        self.shape, self.dtype, self.sharding = array.shape, array.dtype, array.sharding
        self.ndim, self.size, self.itemsize = array.ndim, array.size, array.dtype.itemsize
        self.addressable_shards: list[Any] = list(array.addressable_shards) or [_no_part(array)]


def _no_part(array: Any) -> Any:
    """What says the shape of parts, and is not the one that is written."""
    part = jax.ShapeDtypeStruct(array.sharding.shard_shape(array.shape), array.dtype)
    return SimpleNamespace(replica_id=-1, index=(), data=part)


def _is_key(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def _words(keys: Any) -> Any:
    """What PRNG keys are made of, where they lie; of keys that lie elsewhere, no part of it."""
    sharding = sharding_of_words(keys.sharding, keys.ndim)
    if keys.sharding.addressable_devices:
        return jax.jit(jax.random.key_data, out_shardings=sharding)(keys)
    words = jax.eval_shape(jax.random.key_data, _struct(keys))
    return absent(words.shape, words.dtype, sharding)


def _implementation(keys: Any) -> str:
    """Its name, which JAX tells of keys that are here."""
    found: list[str] = []

    def note(traced: Any) -> Any:
        found.append(str(jax.random.key_impl(traced)))
        return traced

    jax.eval_shape(note, _struct(keys))
    return found[0]


def _struct(keys: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(keys.shape, keys.dtype)
