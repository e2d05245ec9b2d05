"""Shardings the user has chosen: those on the arguments, as Shardy text."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import ArgumentError
from alpa_mlir.ir.spec import shardy_text


def are_on_several_meshes(leaves: Sequence[Any]) -> bool:
    """Whether named shardings of `leaves` are over different devices, as those of stages are."""
    named = (getattr(leaf, "sharding", None) for leaf in leaves)
    meshes = {sharding.mesh for sharding in named if isinstance(sharding, NamedSharding)}
    return len({tuple(mesh.devices.flat) for mesh in meshes if isinstance(mesh, Mesh)}) > 1


def user_mesh(leaves: Sequence[Any]) -> LogicalMesh | None:
    """The one mesh all named shardings of `leaves` are on.

    Raises:
      ArgumentError: there are two.
    """
    found: LogicalMesh | None = None
    for leaf in leaves:
        if (sharding := _named(leaf)) is None:
            continue
        mesh = LogicalMesh(tuple(sharding.mesh.axis_names), tuple(sharding.mesh.axis_sizes))
        if found not in (None, mesh):
            raise ArgumentError(
                f"expected all arguments on one mesh, got {found} and {mesh}; "
                "place the arguments on one mesh, or pass them without shardings"
            )
        found = mesh
    return found


def wished_mesh(leaves: Sequence[Any]) -> LogicalMesh | None:
    """The one abstract mesh that named shardings of `leaves` are on; None where one of them is on
    devices. No array lies on an abstract mesh: such shardings are wishes, not places.

    Raises:
      ArgumentError: there are two.
    """
    if user_devices(leaves) is not None:
        return None
    return user_mesh(leaves)


def user_devices(leaves: Sequence[Any]) -> tuple[Any, ...] | None:
    """The devices of the mesh `leaves` are on, in its row-major order; None where no leaf is on a
    mesh of devices (an abstract mesh has none)."""
    for leaf in leaves:
        sharding = _named(leaf)
        if sharding is not None and isinstance(sharding.mesh, Mesh):
            return tuple(sharding.mesh.devices.flat)
    return None


def user_sharding(leaf: Any, mesh: LogicalMesh | None) -> str | None:
    """The sharding of `leaf` as a `#sdy.sharding` on @mesh; None where the user left it open."""
    sharding = _named(leaf)
    if sharding is None or mesh is None:
        return None
    rank = len(leaf.shape) + _num_key_dims(leaf.dtype)
    entries = list(sharding.spec) + [None] * (rank - len(sharding.spec))
    return shardy_text(_axes(entry) for entry in entries)


def _named(leaf: Any) -> NamedSharding | None:
    """The leaf's sharding if it says anything: named, and over more than one device."""
    sharding = getattr(leaf, "sharding", None)
    if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1:
        return sharding
    return None


def _num_key_dims(dtype: Any) -> int:
    """A PRNG key is an array of words in the module: its words are a dim behind the others."""
    if not jax.numpy.issubdtype(dtype, jax.dtypes.prng_key):
        return 0
    return jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct((), dtype)).ndim


def _axes(entry: Any) -> tuple[str, ...]:
    if entry is PartitionSpec.UNCONSTRAINED:
        return ("?",)
    return () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)
