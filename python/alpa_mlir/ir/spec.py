"""How a tensor lies on a logical mesh: as data, in our passes, in Shardy and in JAX."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

# One entry per dim; each names the mesh axes that split the dim, major to minor.
Spec = tuple[tuple[str, ...], ...]


class UnreducedSpec(Spec):
    """Of a sum in parts: devices along the axes `unreduced` hold parts that are to be added yet."""

    unreduced: tuple[str, ...]

    def __new__(cls, dims: Spec, unreduced: Iterable[str]) -> UnreducedSpec:
        spec = super().__new__(cls, dims)
        spec.unreduced = tuple(unreduced)
        return spec

    @staticmethod
    def before(reduced: Spec, unreduced: Iterable[str]) -> UnreducedSpec:
        """Of what lies as `reduced` once it is added: till then these axes split no dim."""
        axes = tuple(unreduced)
        return UnreducedSpec(
            tuple(tuple(axis for axis in dim if axis not in axes) for dim in reduced), axes
        )

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, UnreducedSpec)
            and super().__eq__(other)
            and self.unreduced == other.unreduced
        )

    def __hash__(self) -> int:
        return hash((tuple(self), self.unreduced))


def replicated(rank: int) -> Spec:
    return ((),) * rank


def parse_spec(text: str) -> Spec:
    """The passes' `{x,y},{}` as (("x", "y"), ())."""
    dims: list[str] = re.findall(r"\{([^}]*)\}", text)
    return tuple(tuple(axis for axis in dim.split(",") if axis) for dim in dims)


def spec_text(spec: Spec) -> str:
    """What `parse_spec` reads."""
    return ",".join("{" + ",".join(axes) + "}" for axes in spec)


def shardy_text(dims: Iterable[Iterable[str]], unreduced: Iterable[str] = ()) -> str:
    """As `#sdy.sharding` on @mesh; the axis "?" leaves a dim open to more."""
    written = ("{" + ", ".join(a if a == "?" else f'"{a}"' for a in axes) + "}" for axes in dims)
    parts = ", ".join(f'"{axis}"' for axis in unreduced)
    suffix = f", unreduced={{{parts}}}" if parts else ""
    return f"#sdy.sharding<@mesh, [{', '.join(written)}]{suffix}>"


def named_sharding(mesh: Mesh, spec: Spec) -> NamedSharding:
    """A JAX sharding that writes each dim as JAX's users do: None, an axis, or a tuple of axes.

    JAX knows sums in parts on meshes with explicit axes only; other arrays of the same program can
    lie on the mesh as it is.
    """
    entries = [None if not axes else axes[0] if len(axes) == 1 else axes for axes in spec]
    while entries and entries[-1] is None:
        entries.pop()
    if not isinstance(spec, UnreducedSpec):
        return NamedSharding(mesh, PartitionSpec(*entries))
    explicit = Mesh(mesh.devices, mesh.axis_names, (AxisType.Explicit,) * len(mesh.axis_names))
    return NamedSharding(explicit, PartitionSpec(*entries, unreduced=frozenset(spec.unreduced)))


def spec_of(sharding: NamedSharding, rank: int) -> Spec:
    """What `named_sharding` was made of, for a tensor of this rank."""
    partitions = sharding.spec.partitions
    entries = [*partitions, *[None] * (rank - len(partitions))]
    spec = tuple(
        () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)
        for entry in entries
    )
    unreduced = sharding.spec.unreduced
    in_order = [axis for axis in sharding.mesh.axis_names if axis in unreduced]
    return UnreducedSpec(spec, in_order) if in_order else spec


def reduced(sharding: NamedSharding) -> NamedSharding:
    """Of a sum in parts once it is reduced and scattered nowhere; others stay as they are."""
    if not sharding.spec.unreduced:
        return sharding
    mesh: Any = sharding.mesh
    spec = spec_of(sharding, len(sharding.spec.partitions))
    return named_sharding(Mesh(mesh.devices, mesh.axis_names), tuple(spec))
