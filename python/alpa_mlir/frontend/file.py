"""Programs of files: StableHLO that `trace` marked and somebody saved, or that anything wrote.

Of a module that nobody marked, the user says which arguments have the examples of the batch, and
which come back updated; what XLA may alias tells the latter, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import ArgumentError, PassError
from alpa_mlir.frontend.saved import argument_of, flat_tree
from alpa_mlir.frontend.trace import Argument, Result, TracedProgram, marks_of
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.element_types import aval_of


@dataclass(frozen=True)
class Roles:
    """What the arguments of a module are, by position.

    Attributes:
      batch: have the examples of the batch along their first dim.
      state: come back updated, as the result at the position given.
    """

    batch: Sequence[int] = ()
    state: Mapping[int, int] = field(default_factory=dict[int, int])


def read_program(source: str | bytes, name: str, roles: Roles | None = None) -> TracedProgram:
    """A StableHLO module (text, bytecode or portable artifact) as a program to plan for.

    Args:
      name: of the program, for people.
      roles: instead of what the module says of its arguments.

    Raises:
      PassError: it is no module with a function @main of tensors of static shape.
      ArgumentError: the roles are of arguments or results that it does not have.
    """
    text = jaxlib.to_generic(source)
    marks = jaxlib.argument_marks(text)
    types, result_types = jaxlib.function_types(text)
    names = [_name(each, number) for number, each in enumerate(marks)]
    avals = [_aval(kind, f"argument {number}") for number, kind in enumerate(types)]
    results = tuple(
        Result(_result_name(each, number), _aval(kind, f"result {number}"))
        for number, (kind, each) in enumerate(
            zip(result_types, jaxlib.result_marks(text), strict=True)
        )
    )
    stated = [
        _with_roles(each, number, roles) if roles else _with_alias(each)
        for number, each in enumerate(marks)
    ]
    arguments = tuple(argument_of(*each) for each in zip(names, avals, stated, strict=True))
    _check_roles(roles or Roles(), arguments, results)
    axes = jaxlib.mesh_axes(text)
    return TracedProgram(
        name=name if name.isidentifier() else "program",
        text=jaxlib.mark_arguments(text, [marks_of(argument) for argument in arguments], None),
        arguments=arguments,
        results=results,
        in_tree=flat_tree(len(arguments)),
        out_tree=flat_tree(len(results)),
        donate_argnums=tuple(i for i, argument in enumerate(arguments) if argument.is_donated),
        mesh=LogicalMesh(tuple(axes), tuple(axes.values())) if axes else None,
        host_callbacks=(),
    )


def _aval(kind: str, what: str) -> Any:
    try:
        return aval_of(kind)
    except PassError:
        raise PassError(
            f"{what} of @main: expected a tensor of static shape and a dtype of JAX, got {kind}"
        ) from None


def _name(marks: Mapping[str, str], number: int) -> str:
    return _text(marks["alpa.name"]) if "alpa.name" in marks else f"argument {number}"


def _result_name(marks: Mapping[str, str], number: int) -> str:
    info = _text(marks.get("jax.result_info", '""'))
    return info or f"result[{number}]"


def _text(attribute: str) -> str:
    """MLIR writes quotes, and bytes that are not printable, as two hexadecimal digits."""

    def byte(match: re.Match[bytes]) -> bytes:
        return b"\\" if match[1] == b"\\" else bytes.fromhex(match[1].decode())

    body = attribute.removeprefix('"').removesuffix('"').encode()
    return re.sub(rb"\\(\\|[0-9A-Fa-f]{2})", byte, body).decode(errors="replace")


def _with_roles(marks: Mapping[str, str], number: int, roles: Roles) -> dict[str, str]:
    stated = {name: each for name, each in marks.items() if name not in _ROLES}
    if number in roles.batch:
        stated["alpa.batch"] = "unit"
    if number in roles.state:
        stated["alpa.state"] = f"{roles.state[number]} : i64"
    return stated


_ROLES = ("alpa.batch", "alpa.state", "alpa.gradient")


def _with_alias(marks: Mapping[str, str]) -> Mapping[str, str]:
    """An argument whose memory a result takes is the state that the result renews."""
    if "alpa.state" in marks or "tf.aliasing_output" not in marks:
        return marks
    return {**marks, "alpa.state": marks["tf.aliasing_output"]}


def _check_roles(roles: Roles, arguments: Sequence[Argument], results: Sequence[Result]) -> None:
    for number in (*roles.batch, *roles.state):
        if not 0 <= number < len(arguments):
            raise ArgumentError(
                f"expected arguments 0 to {len(arguments) - 1} of the module, got {number}"
            )
    for number in roles.batch:
        if not arguments[number].aval.shape:
            raise ArgumentError(f"expected a batch argument with dims, got a number at {number}")
    for number, result in roles.state.items():
        if not 0 <= result < len(results):
            raise ArgumentError(
                f"expected results 0 to {len(results) - 1} of the module, got {result}"
            )
        kinds = [(tuple(v.aval.shape), v.aval.dtype) for v in (arguments[number], results[result])]
        if kinds[0] != kinds[1]:
            raise ArgumentError(
                f"expected argument {number} to come back as a result of its type, "
                f"{kinds[0][1]}{list(kinds[0][0])}, got {kinds[1][1]}{list(kinds[1][0])} at "
                f"result {result}"
            )
