"""How a tensor lies on a logical mesh: as data, in our passes, in Shardy and in JAX."""

from __future__ import annotations

import re
from collections.abc import Iterable

from jax.sharding import Mesh, NamedSharding, PartitionSpec

# One entry per dim; each names the mesh axes that split the dim, major to minor.
Spec = tuple[tuple[str, ...], ...]


def replicated(rank: int) -> Spec:
    return ((),) * rank


def parse_spec(text: str) -> Spec:
    """The passes' `{x,y},{}` as (("x", "y"), ())."""
    dims: list[str] = re.findall(r"\{([^}]*)\}", text)
    return tuple(tuple(axis for axis in dim.split(",") if axis) for dim in dims)


def spec_text(spec: Spec) -> str:
    """What `parse_spec` reads."""
    return ",".join("{" + ",".join(axes) + "}" for axes in spec)


def shardy_text(dims: Iterable[Iterable[str]]) -> str:
    """As `#sdy.sharding` on @mesh; the axis "?" leaves a dim open to more."""
    written = ("{" + ", ".join(a if a == "?" else f'"{a}"' for a in axes) + "}" for axes in dims)
    return f"#sdy.sharding<@mesh, [{', '.join(written)}]>"


def named_sharding(mesh: Mesh, spec: Spec) -> NamedSharding:
    """A JAX sharding that writes each dim as JAX's users do: None, an axis, or a tuple of axes."""
    entries = [None if not axes else axes[0] if len(axes) == 1 else axes for axes in spec]
    while entries and entries[-1] is None:
        entries.pop()
    return NamedSharding(mesh, PartitionSpec(*entries))


def spec_of(sharding: NamedSharding, rank: int) -> Spec:
    """What `named_sharding` was made of, for a tensor of this rank."""
    entries = [*sharding.spec, *[None] * (rank - len(sharding.spec))]
    return tuple(
        () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)
        for entry in entries
    )
