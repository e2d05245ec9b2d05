"""Creates state where its owners keep it: no device ever holds more than its share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding

from alpa_mlir.errors import ArgumentError
from alpa_mlir.program.placement import absent


@dataclass(frozen=True, eq=False)
class StateLayout:
    """How a step keeps an argument between its calls.

    Attributes:
      tree: its `PyTreeDef`.
      avals, shardings: of its leaves, on any number of meshes.
    """

    tree: Any
    avals: Sequence[Any]
    shardings: Sequence[NamedSharding]


def create(init: Callable[[], Any], layout: StateLayout) -> Any:
    """What `init` returns, leaf by leaf where the step keeps it.

    On each mesh runs what of `init` its leaves need; XLA drops the rest.

    Raises:
      ArgumentError: `init` returns another structure, or leaves of other shapes or dtypes.
    """
    tree, avals, shardings = layout.tree, layout.avals, layout.shardings
    shapes, got = jax.tree.flatten(jax.eval_shape(init))
    if got != tree:
        raise ArgumentError(
            f"expected a function that returns the state {tree}, got one that returns {got}; "
            "return what the step was compiled for, or compile it for this state"
        )
    for aval, shape in zip(avals, shapes, strict=True):
        if (aval.shape, aval.dtype) != (shape.shape, shape.dtype):
            raise ArgumentError(
                f"expected a leaf {aval.dtype}{list(aval.shape)} of the state, got "
                f"{shape.dtype}{list(shape.shape)}; return what the step was compiled for, or "
                "compile it for this state"
            )
    of_mesh: dict[Any, list[int]] = {}
    for position, sharding in enumerate(shardings):
        of_mesh.setdefault(sharding.mesh, []).append(position)
    leaves: list[Any] = [None] * len(shardings)
    for positions in of_mesh.values():
        if shardings[positions[0]].addressable_devices:
            created = _creator(init, positions, shardings)()
        else:
            created = [
                absent(avals[position].shape, avals[position].dtype, shardings[position])
                for position in positions
            ]
        for position, leaf in zip(positions, created, strict=True):
            leaves[position] = leaf
    return tree.unflatten(leaves)


def _creator(
    init: Callable[[], Any], positions: Sequence[int], shardings: Sequence[NamedSharding]
) -> Callable[[], list[Any]]:
    def create_some() -> list[Any]:
        leaves = jax.tree.leaves(init())
        return [leaves[position] for position in positions]

    return jax.jit(create_some, out_shardings=[shardings[position] for position in positions])
