"""Moves the arrays of one transfer instruction between processes, along the routes of one process.

Every process calls it that has a device on either mesh: the sender's processes reshard and offer,
the receiver's pull and reshard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from alpa_mlir.program.placement import Placement, sharding_of_words
from alpa_mlir.program.route import find_route
from alpa_mlir.runtime.transfer.exchange import Crossing, Exchange, compile_exchange
from alpa_mlir.runtime.transfer.reshard import Arrays, Reshard, compile_reshard
from alpa_mlir.runtime.transfer.servers import TransferServers
from alpa_mlir.runtime.transfer.transfer import sharding_at


@dataclass(frozen=True, eq=False)
class ProcessTransfer:
    """A function of the arrays on the sender's mesh, which returns those on the receiver's.

    Where this process has no device on the sender's mesh, the arrays are None each; none are
    returned where it has none on the receiver's.

    Attributes:
      bytes: what all devices receive from other devices, reshards included.
      unwraps, wraps: by position, what makes words of PRNG keys before they cross, and keys again.
    """

    bytes: int
    exchange: Exchange
    before: Reshard | None
    after: Reshard | None
    unwraps: tuple[tuple[int, Callable[[Any], Any]], ...]
    wraps: tuple[tuple[int, Callable[[Any], Any]], ...]

    def __call__(self, arrays: Arrays) -> Arrays:
        moved = self.before(arrays) if self.before else list(arrays)
        for position, unwrap in self.unwraps:
            moved[position] = unwrap(moved[position])
        arrived = self.exchange(moved)
        for position, wrap in self.wraps:
            arrived[position] = wrap(arrived[position])
        return self.after(arrived) if self.after else arrived


def compile_process_transfer(
    avals: Sequence[Any],
    sources: Sequence[NamedSharding],
    targets: Sequence[NamedSharding],
    are_copied: Sequence[bool],
    servers: TransferServers,
    process: int,
) -> ProcessTransfer:
    """Chooses a route for every array, and compiles what is this process' part of it.

    Args:
      are_copied: of each array, whether it may be donated before all have pulled it.
    """
    routes = [
        find_route(a.shape, a.dtype, *(Placement.of(end, len(a.shape)) for end in ends))
        for a, *ends in zip(avals, sources, targets, strict=True)
    ]
    starts = [sharding_at(r.before, source) for r, source in zip(routes, sources, strict=True)]
    arrivals = [sharding_at(r.after, target) for r, target in zip(routes, targets, strict=True)]
    sends, receives = (bool(ends[0].addressable_devices) for ends in (sources, targets))
    crossings: list[Crossing] = []
    unwraps: list[tuple[int, Callable[[Any], Any]]] = []
    wraps: list[tuple[int, Callable[[Any], Any]]] = []
    for i, (aval, is_copied) in enumerate(zip(avals, are_copied, strict=True)):
        # What a reshard has made is nobody else's.
        must_copy = is_copied and starts[i] == sources[i]
        if not _is_key(aval):
            crossings.append(Crossing(aval.shape, aval.dtype, starts[i], arrivals[i], must_copy))
            continue
        words = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(aval.shape, aval.dtype))
        ends = [sharding_of_words(end, aval.ndim) for end in (starts[i], arrivals[i])]
        crossings.append(Crossing(words.shape, words.dtype, *ends, is_copied=False))
        if sends:
            unwraps.append((i, jax.jit(jax.random.key_data, out_shardings=ends[0])))
        if receives:
            wraps.append((i, _compile_wrap(aval, words, ends[1], arrivals[i])))
    return ProcessTransfer(
        sum(route.bytes for route in routes),
        compile_exchange(crossings, servers, process),
        compile_reshard(avals, sources, starts) if sends else None,
        compile_reshard(avals, arrivals, targets) if receives else None,
        tuple(unwraps),
        tuple(wraps),
    )


def _is_key(aval: Any) -> bool:
    return jnp.issubdtype(aval.dtype, jax.dtypes.prng_key)


def _compile_wrap(
    aval: Any, words: Any, source: NamedSharding, target: NamedSharding
) -> jax.stages.Compiled:
    found: list[Any] = []

    def note(key: Any) -> Any:
        found.append(jax.random.key_impl(key))
        return key

    jax.eval_shape(note, jax.ShapeDtypeStruct(aval.shape, aval.dtype))

    def wrap(data: Any) -> Any:
        return jax.random.wrap_key_data(data, impl=found[0])

    jitted = jax.jit(wrap, in_shardings=source, out_shardings=target)
    return jitted.lower(jax.ShapeDtypeStruct(words.shape, words.dtype)).compile()
