"""Where the flat arguments and results of a step in rows are among those that its user knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Part:
    """A flat argument or result of a step in rows.

    Attributes:
      number: of the argument or result of the traced step that it is, or has rows of.
      dim: that the rows are counted along; None: it is whole.
      begin, end: of the rows.
    """

    number: int
    dim: int | None = None
    begin: int = 0
    end: int = 0

    def name(self, of_whole: str) -> str:
        if self.dim is None:
            return of_whole
        rows = str(self.begin) if self.end == self.begin + 1 else f"{self.begin}:{self.end}"
        return f"{of_whole}[{':, ' * self.dim}{rows}]"

    def aval(self, of_whole: Any) -> Any:
        if self.dim is None:
            return of_whole
        shape = list(of_whole.shape)
        shape[self.dim] = self.end - self.begin
        return of_whole.update(shape=tuple(shape))

    def cut(self, whole: Any) -> Any:
        """Of an array, on the host or traced."""
        if self.dim is None:
            return whole
        return whole[(slice(None),) * self.dim + (slice(self.begin, self.end),)]


@dataclass(frozen=True)
class Leaf:
    """A leaf of the user's: the flat values `first` to `end` are its parts.

    Attributes:
      dim: that they follow one another along; None: it is one value.
    """

    first: int
    end: int
    dim: int | None


@dataclass(frozen=True, eq=False)
class Stacks:
    """The user's side of a step in rows.

    Attributes:
      in_tree, out_tree: of the tuple of positional arguments, and of the result.
      arguments, results: in order, parts of leaves.
      avals: of the leaves of the arguments.
    """

    in_tree: Any
    out_tree: Any
    arguments: tuple[Part, ...]
    results: tuple[Part, ...]
    avals: tuple[Any, ...]


def leaves_of_parts(parts: Sequence[Part]) -> tuple[Leaf, ...]:
    """The leaves that flat values in this order are parts of."""
    leaves: list[Leaf] = []
    for number, part in enumerate(parts):
        if part.number < len(leaves):
            leaves[-1] = Leaf(leaves[-1].first, number + 1, part.dim)
        else:
            leaves.append(Leaf(number, number + 1, part.dim))
    return tuple(leaves)
