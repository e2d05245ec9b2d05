"""Programs that change how arrays lie on one mesh.

XLA solves some changes only by replicating the array. Those are taken in the steps that the core
knows XLA to make one by one (cpp/core/Reshard.h), over prime factors of the mesh's axes.
"""

# JAX declares only part of its types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import with_sharding_constraint
from jax.sharding import NamedSharding

from alpa_mlir._native import DeviceMesh, DeviceSpec, ReshardTable
from alpa_mlir.cluster.spec import Spec, named_sharding
from alpa_mlir.runtime.route import prime_axes, prime_mesh

Arrays = list[Any]

_MOST_AXES = 3  # of a mesh, to the core
_ANY_DEVICE = DeviceSpec({"f32": 1.0}, 1.0, 0, has_reduce_scatter=False)


@dataclass(frozen=True, eq=False)
class Reshard:
    """Replaces the arrays at some positions by themselves in another sharding, on the same mesh."""

    positions: tuple[int, ...]
    compiled: Callable[..., Any]

    def __call__(self, arrays: Arrays) -> Arrays:
        results = list(arrays)
        resharded = self.compiled(*[arrays[i] for i in self.positions])
        for position, array in zip(self.positions, resharded, strict=True):
            results[position] = array
        return results


def compile_reshard(
    avals: Sequence[Any], sources: Sequence[NamedSharding], targets: Sequence[NamedSharding]
) -> Reshard | None:
    """One program for all arrays that lie otherwise; None where none does."""
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
    )
    structs = [jax.ShapeDtypeStruct(avals[i].shape, avals[i].dtype) for i in positions]
    return Reshard(positions, jitted.lower(*structs).compile())


def _through(array: Any, steps: Sequence[NamedSharding]) -> Any:
    for step in steps:
        array = with_sharding_constraint(array, step)
    return array


def _steps(aval: Any, source: NamedSharding, target: NamedSharding) -> list[NamedSharding]:
    """What the array lies like on the way."""
    mesh = prime_mesh(source.mesh)
    is_plain = aval.size and aval.ndim and not jnp.issubdtype(aval.dtype, jax.dtypes.extended)
    if not is_plain or mesh != prime_mesh(target.mesh):
        return []
    if not 1 <= len(mesh.axis_names) <= _MOST_AXES:
        return []
    sizes = list(mesh.shape.values())
    native = DeviceMesh(list(mesh.axis_names), sizes, [0.0] * len(sizes), [1.0] * len(sizes))
    table = ReshardTable(list(aval.shape), aval.dtype.itemsize, native, _ANY_DEVICE)
    begin, end = (_text(prime_axes(sharding, aval.ndim)) for sharding in (source, target))
    route = table.route(native, begin, end, aval.ndim)
    return [named_sharding(mesh, _spec(reached)) for reached, _, _ in route[:-1]]


def _text(axes: list[list[str]]) -> str:
    return ",".join("{" + ",".join(dim) + "}" for dim in axes)


def _spec(text: str) -> Spec:
    return tuple(
        tuple(axis for axis in dim.split(",") if axis) for dim in re.findall(r"\{([^}]*)\}", text)
    )
