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

from alpa_mlir.errors import CheckpointError
from alpa_mlir.program.placement import absent


def array_handlers(orbax: Any) -> Any:
    """Orbax's registry of types, with a handler of arrays for several processes.

    Args:
      orbax: the package, which is imported in one place only.
    """
    handlers = orbax.type_handlers

    class StageArrayHandler(handlers.ArrayHandler):
        """Every process writes what it owns, and what is said of all arrays for all of them."""

        async def serialize(
            self, values: Sequence[Any], infos: Sequence[Any], args: Any = None
        ) -> Any:
            parts = [_OwnPart(value, info.name) for value, info in zip(values, infos, strict=True)]
            return await super().serialize(parts, infos, args)

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

    def __init__(self, array: Any, name: str) -> None:
        if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
            raise CheckpointError(
                f"expected a state without PRNG keys where several processes save it, got one at "
                f"{name}; keep jax.random.key_data of it"
            )
        self.shape, self.dtype, self.sharding = array.shape, array.dtype, array.sharding
        self.ndim, self.size, self.itemsize = array.ndim, array.size, array.dtype.itemsize
        self.addressable_shards: list[Any] = list(array.addressable_shards) or [_no_part(array)]


def _no_part(array: Any) -> Any:
    """What says the shape of parts, and is not the one that is written."""
    part = jax.ShapeDtypeStruct(array.sharding.shard_shape(array.shape), array.dtype)
    return SimpleNamespace(replica_id=-1, index=(), data=part)
