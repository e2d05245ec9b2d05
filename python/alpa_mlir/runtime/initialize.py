"""Creates state where its owners keep it: no device ever holds more than its share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from jax.sharding import NamedSharding

from alpa_mlir.errors import ArgumentError
from alpa_mlir.frontend.stacks import Part
from alpa_mlir.program.placement import absent


@dataclass(frozen=True, eq=False)
class StateLayout:
    """How a step keeps an argument between its calls.

    Attributes:
      tree: its `PyTreeDef`.
      avals, shardings: of its leaves, on any number of meshes.
      rows: by position, of leaves that are created row by row.
    """

    tree: Any
    avals: Sequence[Any]
    shardings: Sequence[NamedSharding]
    rows: Mapping[int, Rows] = field(default_factory=dict[int, "Rows"])


@dataclass(frozen=True, eq=False)
class Rows:
    """Parts of a leaf, how each lies, and what makes one leaf of them."""

    parts: Sequence[Part]
    shardings: Sequence[NamedSharding]
    join: Callable[[Sequence[jax.Array]], Any]


@dataclass(frozen=True)
class _Piece:
    """What is created at once: the leaf at `position`, or a row of it."""

    position: int
    part: Part
    aval: Any
    sharding: NamedSharding


def create(init: Callable[[], Any], layout: StateLayout) -> Any:
    """What `init` returns, leaf by leaf where the step keeps it.

    On each mesh runs what of `init` its leaves need; XLA drops the rest.

    Raises:
      ArgumentError: `init` returns another structure, or leaves of other shapes or dtypes.
    """
    tree, avals = layout.tree, layout.avals
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
    every = list(_pieces(layout))
    of_mesh: dict[Any, list[_Piece]] = {}
    for piece in every:
        of_mesh.setdefault(piece.sharding.mesh, []).append(piece)
    made: dict[_Piece, Any] = {}
    for pieces in of_mesh.values():
        if pieces[0].sharding.addressable_devices:
            created = _creator(init, pieces)()
        else:
            created = [absent(each.aval.shape, each.aval.dtype, each.sharding) for each in pieces]
        made.update(zip(pieces, created, strict=True))
    of_leaf: list[list[Any]] = [[] for _ in avals]
    for piece in every:
        of_leaf[piece.position].append(made[piece])
    return tree.unflatten(
        layout.rows[position].join(parts) if position in layout.rows else parts[0]
        for position, parts in enumerate(of_leaf)
    )


def _pieces(layout: StateLayout) -> Iterator[_Piece]:
    for position, (aval, sharding) in enumerate(zip(layout.avals, layout.shardings, strict=True)):
        rows = layout.rows.get(position)
        if rows is None:
            yield _Piece(position, Part(position), aval, sharding)
            continue
        for part, where in zip(rows.parts, rows.shardings, strict=True):
            yield _Piece(position, part, part.aval(aval), where)


def _creator(init: Callable[[], Any], pieces: Sequence[_Piece]) -> Callable[[], list[Any]]:
    def create_some() -> list[Any]:
        leaves = jax.tree.leaves(init())
        return [each.part.cut(leaves[each.position]) for each in pieces]

    return jax.jit(create_some, out_shardings=[each.sharding for each in pieces])
