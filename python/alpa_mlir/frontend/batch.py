"""Which leaves of the batch arguments count examples, and in which dim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from alpa_mlir.errors import ArgumentError

BatchDimsSpec = int | None | Sequence[Any]
"""As `in_axes` of `jax.vmap`: one dim for all leaves of all batch arguments, or for each of these
arguments a dim, None (no examples), or a pytree of such that is a prefix of the argument."""


@dataclass(frozen=True)
class BatchLeaf:
    """A leaf of a batch argument.

    Attributes:
      dim: the dim said to count examples; None: it has none.
      is_certain: whether that was said of this leaf, not of all.
    """

    name: str
    shape: tuple[int, ...]
    dim: int | None
    is_certain: bool

    @property
    def size(self) -> int | None:
        """Of that dim; None where the leaf has no such dim."""
        fits = self.dim is not None and -len(self.shape) <= self.dim < len(self.shape)
        return self.shape[self.dim] if fits and self.dim is not None else None


def spread(spec: BatchDimsSpec, arguments: Sequence[Any]) -> list[list[tuple[int | None, bool]]]:
    """The dim of every leaf of the batch arguments, and whether it was said of the leaf.

    Raises:
      ArgumentError: `spec` is not of the structure of the arguments.
    """
    if spec is None or isinstance(spec, int):
        return [[(spec, False) for _ in jax.tree.leaves(argument)] for argument in arguments]
    if len(spec) != len(arguments):
        raise ArgumentError(
            f"expected batch_dims with an entry for each of the {len(arguments)} batch arguments, "
            f"got {len(spec)}"
        )
    return [_spread_over(entry, argument) for entry, argument in zip(spec, arguments, strict=True)]


def _spread_over(entry: Any, argument: Any) -> list[tuple[int | None, bool]]:
    if entry is None or isinstance(entry, int):
        return [(entry, False) for _ in jax.tree.leaves(argument)]
    try:
        dims = jax.tree.leaves(
            jax.tree.broadcast(entry, argument, is_leaf=lambda leaf: leaf is None),
            is_leaf=lambda leaf: leaf is None,
        )
    except ValueError as error:
        raise ArgumentError(
            f"expected batch_dims to be a prefix of the batch argument, as in_axes of jax.vmap: "
            f"{error}"
        ) from None
    for dim in dims:
        if not (dim is None or isinstance(dim, int)):
            raise ArgumentError(f"expected batch_dims of whole numbers and None, got {dim!r}")
    return [(dim, True) for dim in dims]


def settle(leaves: Sequence[BatchLeaf]) -> tuple[list[int | None], list[str]]:
    """The dim of each leaf that counts examples, None for those without, and remarks on these.

    The batch has as many examples as most leaves have (of as many, those with the most elements);
    where dims were said of single leaves, as those have.

    Raises:
      ArgumentError: a leaf lacks the dim that was said of it, or two disagree.
    """
    certain = [leaf for leaf in leaves if leaf.is_certain and leaf.dim is not None]
    for leaf in certain:
        if leaf.size is None:
            raise ArgumentError(
                f"expected {leaf.name} to have the dim {leaf.dim} that batch_dims names, got shape "
                f"{list(leaf.shape)}"
            )
        if leaf.size != certain[0].size:
            raise ArgumentError(
                f"expected as many examples in {leaf.name} as in {certain[0].name}, "
                f"{certain[0].size}, got {leaf.size} in dim {leaf.dim}; correct batch_dims"
            )
    size = certain[0].size if certain else _most_common_size(leaves)
    dims = [
        leaf.dim % len(leaf.shape) if leaf.dim is not None and leaf.size == size else None
        for leaf in leaves
        if size is not None
    ] or [None] * len(leaves)
    whole = [
        f"{leaf.name} {list(leaf.shape)}"
        for leaf, dim in zip(leaves, dims, strict=True)
        if dim is None and leaf.dim is not None
    ]
    if size is None or not whole:
        return dims, []
    return dims, [
        f"{', '.join(whole)} of the batch counts none of its {size} examples: every microbatch and "
        "device reads the whole of it (batch_dims names dims other than the first)"
    ]


def _most_common_size(leaves: Sequence[BatchLeaf]) -> int | None:
    weights: dict[int, tuple[int, int]] = {}
    for leaf in leaves:
        if leaf.size:
            count, elements = weights.get(leaf.size, (0, 0))
            num_elements = 1
            for size in leaf.shape:
                num_elements *= size
            weights[leaf.size] = (count + 1, elements + num_elements)
    return max(weights, key=lambda size: weights[size], default=None)
