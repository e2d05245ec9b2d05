"""Shardings the user has chosen: those on the arguments, as Shardy text."""

# JAX declares only part of its types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jax.sharding import NamedSharding, PartitionSpec

from alpa_mlir.errors import ArgumentError


@dataclass(frozen=True)
class UserMesh:
    """Axis names and sizes of the mesh the user's shardings are on."""

    axis_names: tuple[str, ...]
    axis_sizes: tuple[int, ...]

    @property
    def text(self) -> str:
        """As in `sdy.mesh`."""
        axes = zip(self.axis_names, self.axis_sizes, strict=True)
        return "[" + ", ".join(f'"{name}"={size}' for name, size in axes) + "]"


def user_mesh(leaves: Sequence[Any]) -> UserMesh | None:
    """The one mesh all named shardings of `leaves` are on.

    Raises:
      ArgumentError: there are two.
    """
    found: UserMesh | None = None
    for leaf in leaves:
        if (sharding := _named(leaf)) is None:
            continue
        mesh = UserMesh(tuple(sharding.mesh.axis_names), tuple(sharding.mesh.axis_sizes))
        if found not in (None, mesh):
            raise ArgumentError(
                f"expected all arguments on one mesh, got {found.text} and {mesh.text}; "
                "place the arguments on one mesh, or pass them without shardings"
            )
        found = mesh
    return found


def user_sharding(leaf: Any, mesh: UserMesh | None) -> str | None:
    """The sharding of `leaf` as a `#sdy.sharding` on @mesh; None where the user left it open."""
    sharding = _named(leaf)
    if sharding is None or mesh is None:
        return None
    entries = list(sharding.spec) + [None] * (len(leaf.shape) - len(sharding.spec))
    return f"#sdy.sharding<@mesh, [{', '.join(_dim(entry) for entry in entries)}]>"


def _named(leaf: Any) -> NamedSharding | None:
    """The leaf's sharding if it says anything: named, and over more than one device."""
    sharding = getattr(leaf, "sharding", None)
    if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1:
        return sharding
    return None


def _dim(entry: Any) -> str:
    if entry is PartitionSpec.UNCONSTRAINED:
        return "{?}"
    axes = () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)
    return "{" + ", ".join(f'"{axis}"' for axis in axes) + "}"
