"""A module with shardings, and the pytrees its callers see: what is compiled as one executable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh

from alpa_mlir.ir.spec import Spec, named_sharding


@dataclass(frozen=True, eq=False)
class ProgramInterface:
    """What a program takes and returns, before it is known how it does that.

    Attributes:
      in_avals, out_avals: flat, in the order of its arguments and results.
      in_specs, out_specs: how each is sharded, in the same order.
    """

    in_avals: tuple[Any, ...]
    out_avals: tuple[Any, ...]
    in_specs: tuple[Spec, ...]
    out_specs: tuple[Spec, ...]


@dataclass(frozen=True, eq=False)
class AnnotatedProgram(ProgramInterface):
    """A module whose `main` takes and returns flat arrays, with the pytrees its callers see.

    Attributes:
      name: name of the program in profiles and in HLO.
      text: StableHLO with one `sdy.mesh` and `sdy.sharding_constraint` ops, generic form.
      in_tree: pytree of the tuple of positional arguments.
      donate_argnums: positions in that tuple.
      host_callbacks: Python functions that custom calls of the module refer to by position.
    """

    name: str
    text: str
    in_tree: Any
    out_tree: Any
    donate_argnums: tuple[int, ...]
    host_callbacks: tuple[Any, ...] = ()

    def in_shardings(self, mesh: Mesh) -> tuple[Any, ...]:
        """The arguments' pytree with a `NamedSharding` at every leaf."""
        return self.in_tree.unflatten([named_sharding(mesh, s) for s in self.in_specs])

    def out_shardings(self, mesh: Mesh) -> Any:
        """The result's pytree with a `NamedSharding` at every leaf."""
        return self.out_tree.unflatten([named_sharding(mesh, s) for s in self.out_specs])


def leaves_of(in_tree: Any, argument: int) -> range:
    """Where the leaves of a positional argument are among those of all."""
    counts = [tree.num_leaves for tree in in_tree.children()]
    first = sum(counts[:argument])
    return range(first, first + counts[argument])


def logical_specs(specs: Sequence[Spec], avals: Sequence[Any]) -> tuple[Spec, ...]:
    """Without the dim of a PRNG key's words, which JAX does not show; nothing is not split."""
    return tuple(
        spec
        if len(spec) == len(aval.shape) and aval.size
        else spec[: len(aval.shape)]
        if aval.size
        else ((),) * len(aval.shape)
        for spec, aval in zip(specs, avals, strict=True)
    )
