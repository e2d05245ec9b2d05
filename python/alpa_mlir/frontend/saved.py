"""A traced program of a file: its module, which has the marks of its arguments, and their types.

What the function's caller sees is gone: arguments and results are flat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.api_util import shaped_abstractify

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import PassError, PlanError
from alpa_mlir.frontend.trace import Argument, Result, TracedProgram
from alpa_mlir.ir import jaxlib

_NUMBER = re.compile(r"unit|(-?\d+)(?: : \w+)?")
_KEY_IMPLEMENTATIONS = ("threefry2x32", "rbg", "unsafe_rbg")


@dataclass(frozen=True)
class FlatType:
    """Of an argument or result: its name, and its dtype as text."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    def aval(self) -> Any:
        return shaped_abstractify(jax.ShapeDtypeStruct(self.shape, dtype_of(self.dtype)))


def saved_program(
    name: str, text: str, arguments: Sequence[FlatType], results: Sequence[FlatType]
) -> TracedProgram:
    """The program that `trace` made the module of, without the pytrees around it.

    Raises:
      PassError: the text is no module. PlanError: it has others than these arguments.
    """
    marks = jaxlib.argument_marks(text)
    if len(marks) != len(arguments):
        raise PlanError(
            f"module: expected {len(arguments)} arguments, as many as the plan has, got "
            f"{len(marks)}; plan again"
        )
    marked = tuple(
        argument_of(each.name, each.aval(), of) for each, of in zip(arguments, marks, strict=True)
    )
    return flat_program(
        name, text, marked, tuple(Result(each.name, each.aval()) for each in results)
    )


def flat_program(
    name: str, text: str, arguments: tuple[Argument, ...], results: tuple[Result, ...]
) -> TracedProgram:
    """A program of a module whose arguments are marked, without pytrees around them."""
    axes = jaxlib.mesh_axes(text)
    return TracedProgram(
        name=name,
        text=text,
        arguments=arguments,
        results=results,
        in_tree=_flat_tree(len(arguments)),
        out_tree=_flat_tree(len(results)),
        donate_argnums=tuple(i for i, argument in enumerate(arguments) if argument.is_donated),
        mesh=LogicalMesh(tuple(axes), tuple(axes.values())) if axes else None,
        host_callbacks=(),
    )


def argument_of(name: str, aval: Any, marks: Mapping[str, str]) -> Argument:
    """An argument of which the module says these things.

    Raises:
      PassError: a mark has no number where it should have one.
    """
    return Argument(
        name=name,
        aval=aval,
        batch_dim=number_of(marks, "alpa.batch"),
        is_donated="tf.aliasing_output" in marks or "jax.buffer_donor" in marks,
        state_result=number_of(marks, "alpa.state"),
        gradient_result=number_of(marks, "alpa.gradient"),
        sharding=marks.get("sdy.sharding"),
    )


def number_of(marks: Mapping[str, str], name: str) -> int | None:
    """`3 : i64`; a mark without a number is 0.

    Raises:
      PassError: it has something else.
    """
    text = marks.get(name)
    if text is None:
        return None
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise PassError(f"expected a whole number as {name} of an argument, got {text}")
    return int(match[1] or 0)


def _flat_tree(count: int) -> Any:
    """The pytree of so many leaves."""
    return jax.tree.structure((0,) * count)


def dtype_of(name: str) -> Any:
    """Raises PlanError where JAX knows none of this name."""
    if name.startswith("key<"):
        for implementation in _KEY_IMPLEMENTATIONS:
            dtype = jax.eval_shape(lambda i=implementation: jax.random.key(0, impl=i)).dtype
            if str(dtype) == name:
                return dtype
    try:
        return jnp.dtype(name)
    except TypeError:
        raise PlanError(f"expected the name of a dtype of JAX's, got '{name}'") from None
