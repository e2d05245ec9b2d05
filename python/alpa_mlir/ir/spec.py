"""How one tensor lies on a logical mesh."""

from jax.sharding import Mesh, NamedSharding, PartitionSpec

# One entry per dim; each names the mesh axes that split the dim, major to minor.
Spec = tuple[tuple[str, ...], ...]


def named_sharding(mesh: Mesh, spec: Spec) -> NamedSharding:
    """A JAX sharding that writes each dim as JAX's users do: None, an axis, or a tuple of axes."""
    entries = [None if not axes else axes[0] if len(axes) == 1 else axes for axes in spec]
    while entries and entries[-1] is None:
        entries.pop()
    return NamedSharding(mesh, PartitionSpec(*entries))
