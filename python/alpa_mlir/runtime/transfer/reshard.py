"""Programs that change how arrays lie on one mesh.

XLA solves some changes only by replicating the array. Those are taken in the steps that the core
knows XLA to make one by one (cpp/core/Reshard.h), over prime factors of the mesh's axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import with_sharding_constraint
from jax.sharding import NamedSharding

from alpa_mlir._native import MAX_MESH_AXES, DeviceMesh, DeviceSpec, Link, ReshardTable
from alpa_mlir.ir.spec import parse_spec, spec_text
from alpa_mlir.program.placement import Placement, devices_of

Arrays = list[Any]

_ANY_LINK = Link(0.0, 1.0)
_ANY_DEVICE = DeviceSpec({"f32": 1.0}, 1.0, 0, has_reduce_scatter=False)


@dataclass(frozen=True, eq=False)
class Reshard:
    """Replaces the arrays at some positions by themselves in another sharding, on the same mesh."""

    positions: tuple[int, ...]
    compiled: jax.stages.Compiled

    def __call__(self, arrays: Arrays) -> Arrays:
        results = list(arrays)
        resharded = self.compiled(*[arrays[i] for i in self.positions])
        for position, array in zip(self.positions, resharded, strict=True):
            results[position] = array
        return results


def compile_reshard(
    avals: Sequence[Any],
    sources: Sequence[NamedSharding],
    targets: Sequence[NamedSharding],
    gives_up: bool = False,
) -> Reshard | None:
    """One program for all arrays that lie otherwise; None where none does.

    Args:
      gives_up: whether nobody else reads what is replaced, so that its memory may be taken.
    """
    positions = tuple(
        i
        for i, (source, target) in enumerate(zip(sources, targets, strict=True))
        if source != target
    )
    if not positions:
        return None
    steps = [_steps(avals[i], sources[i], targets[i]) for i in positions]

    def reshard(*arrays: Any) -> tuple[Any, ...]:
        return tuple(_through(array, way) for array, way in zip(arrays, steps, strict=True))

    jitted = jax.jit(
        reshard,
        in_shardings=tuple(sources[i] for i in positions),
        out_shardings=tuple(targets[i] for i in positions),
        donate_argnums=tuple(
            n
            for n, i in enumerate(positions)
            if gives_up and is_in_place(avals[i].shape, sources[i], targets[i])
        ),
    )
    structs = [jax.ShapeDtypeStruct(avals[i].shape, avals[i].dtype) for i in positions]
    return Reshard(positions, jitted.lower(*structs).compile())


def is_in_place(shape: tuple[int, ...], source: NamedSharding, target: NamedSharding) -> bool:
    """Whether a device has as much of the array behind a reshard as before it."""
    return source.shard_shape(shape) == target.shard_shape(shape)


def _through(array: Any, steps: Sequence[NamedSharding]) -> Any:
    for step in steps:
        array = with_sharding_constraint(array, step)
    return array


def _steps(aval: Any, source: NamedSharding, target: NamedSharding) -> list[NamedSharding]:
    """What the array lies like on the way; sums in parts are reduced in one step."""
    if source.spec.unreduced:
        return []
    is_plain = aval.size and aval.ndim and not jnp.issubdtype(aval.dtype, jax.dtypes.extended)
    begin, end = (Placement.of(sharding, aval.ndim).in_primes for sharding in (source, target))
    names, sizes = list(begin.mesh.axis_names), list(begin.mesh.axis_sizes)
    is_known = begin.mesh == end.mesh and begin.devices == end.devices
    if not is_plain or not is_known or not 1 <= len(names) <= MAX_MESH_AXES:
        return []
    native = DeviceMesh(names, sizes, begin.mesh.num_devices, _ANY_LINK, _ANY_LINK)
    table = ReshardTable(list(aval.shape), aval.dtype.itemsize, native, _ANY_DEVICE)
    route = table.route(native, spec_text(begin.spec), spec_text(end.spec), aval.ndim)
    devices = {device.id: device for device in devices_of(source)}
    return [
        replace(begin, spec=parse_spec(reached)).sharding(devices) for reached, _, _ in route[:-1]
    ]
