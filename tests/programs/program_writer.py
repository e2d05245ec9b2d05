"""Programs as lists of nodes, and the writer that appends to them at random."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

DIM_SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 12, 16, 16, 24]
MAX_ELEMENTS = 4096


@dataclass(frozen=True)
class Node:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    is_exact: bool
    operands: tuple[int, ...] = ()
    function: Callable[..., Any] | None = None  # of the operands; None for an input


@dataclass(eq=False)  # hashable by identity, as a function is
class Program:
    """Callable with one array per input; returns a tuple of arrays."""

    nodes: list[Node] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    @property
    def inputs(self) -> list[Node]:
        return [node for node in self.nodes if node.function is None]

    def __call__(self, *arguments: jax.Array) -> tuple[jax.Array, ...]:
        remaining = iter(arguments)
        values: list[jax.Array] = []
        for node in self.nodes:
            if node.function is None:
                values.append(next(remaining))
            else:
                values.append(node.function(*(values[i] for i in node.operands)))
        return tuple(values[i] for i in self.outputs)

    def example_arguments(self, seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        return [_random_array(rng, node.shape, node.dtype) for node in self.inputs]

    def __str__(self) -> str:
        lines = [
            f"%{i}: {node.dtype.name}{list(node.shape)} = {node.name}"
            f"({', '.join(f'%{operand}' for operand in node.operands)})"
            for i, node in enumerate(self.nodes)
        ]
        return "\n".join([*lines, f"return {', '.join(f'%{i}' for i in self.outputs)}"])


def _random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if dtype == np.int32:
        return rng.integers(-100, 100, shape, dtype=np.int32)
    return rng.uniform(-2, 2, shape).astype(dtype)


class NothingSuitableError(Exception):
    """No node of the program can be an operand of this operation."""


class Writer:
    """Appends nodes to a program; every random choice is made here."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.program = Program()

    def choose(self, options: Any) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def node(self, index: int) -> Node:
        return self.program.nodes[index]

    def input(self, shape: tuple[int, ...], dtype: Any = np.float32) -> int:
        self.program.nodes.append(Node("input", tuple(shape), np.dtype(dtype), is_exact=True))
        return len(self.program.nodes) - 1

    def random_input(self) -> int:
        rank = self.choose([1, 2, 2, 3, 3, 4])
        shape = [self.choose(DIM_SIZES) for _ in range(rank)]
        while np.prod(shape) > MAX_ELEMENTS:
            shape[int(np.argmax(shape))] = self.choose([1, 2, 3, 4, 8])
        return self.input(tuple(shape), self.choose([np.float32, np.float32, np.int32]))

    def pick(self, is_suitable: Callable[[Node], bool]) -> int:
        """A suitable node, most often the result of an operation, so that programs grow deep."""
        suitable = [i for i, node in enumerate(self.program.nodes) if is_suitable(node)]
        if not suitable:
            raise NothingSuitableError
        results = [i for i in suitable if self.node(i).function is not None]
        return self.choose(results if results and self.rng.random() < 0.8 else suitable)

    def partner(self, index: int) -> int:
        """Another node of the same shape and dtype, or a new input."""
        node = self.node(index)
        try:
            return self.pick(
                lambda other: (
                    (other.shape, other.dtype) == (node.shape, node.dtype) and other is not node
                )
            )
        except NothingSuitableError:
            return self.input(node.shape, node.dtype)

    def apply(
        self, name: str, function: Callable[..., Any], *operands: int, is_movement: bool = False
    ) -> None:
        """Appends `function` of the operands; a movement keeps floats exact. Drops huge results."""
        nodes = [self.node(i) for i in operands]
        result = jax.eval_shape(function, *(jax.ShapeDtypeStruct(n.shape, n.dtype) for n in nodes))
        if result.size > MAX_ELEMENTS or result.size == 0:
            return
        is_exact = result.dtype != np.float32 or (is_movement and all(n.is_exact for n in nodes))
        self.program.nodes.append(
            Node(name, result.shape, np.dtype(result.dtype), is_exact, operands, function)
        )

    def random_slice(self, size: int) -> slice:
        start = int(self.rng.integers(size))
        stop = int(self.rng.integers(start, size)) + 1
        return slice(start, stop, self.choose([1, 1, 2]))

    def indices(self, size: int, shape: tuple[int, ...]) -> int:
        """A node of int32 indices below `size`."""
        source = self.input(shape, np.int32)
        self.apply("remainder", lambda x: x % size, source)
        return len(self.program.nodes) - 1


def is_float(node: Node) -> bool:
    return node.dtype == np.float32


def is_number(node: Node) -> bool:
    return node.dtype.name in ("float32", "int32")


def has_rank(*ranks: int) -> Callable[[Node], bool]:
    return lambda node: is_number(node) and len(node.shape) in ranks
