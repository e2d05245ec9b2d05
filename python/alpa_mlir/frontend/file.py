"""Programs of files: StableHLO that `trace` marked and somebody saved, or that anything wrote.

Of a module that nobody marked, the user says which arguments have the examples of the batch, and
which come back updated; what XLA may alias tells the latter, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alpa_mlir.errors import AlpaError, ArgumentError, PassError
from alpa_mlir.frontend.saved import argument_of, flat_program, number_of
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
      PassError: it is no module with a function @main of tensors of static shape, or says of its
        arguments what cannot be.
      ArgumentError: the roles are of arguments or results that it does not have, or that are of
        other types.
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
        _with_roles(each, number, roles) if roles else _with_alias(each, avals[number], results)
        for number, each in enumerate(marks)
    ]
    arguments = tuple(argument_of(*each) for each in zip(names, avals, stated, strict=True))
    if roles:
        for number in (*roles.batch, *roles.state):
            _check_position("an argument", number, len(arguments), "arguments", ArgumentError)
    _check_roles(arguments, results, ArgumentError if roles else PassError)
    return flat_program(
        name if name.isidentifier() else "program",
        jaxlib.mark_arguments(text, [{**_NO_MARKS, **marks_of(each)} for each in arguments], None),
        arguments,
        results,
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
# What `marks_of` says anew: what it does not say is not so.
_NO_MARKS = dict.fromkeys((*_ROLES, "tf.aliasing_output", "jax.buffer_donor"))


def _with_alias(
    marks: Mapping[str, str], aval: Any, results: Sequence[Result]
) -> Mapping[str, str]:
    """An argument whose memory a result of its type takes is the state that the result renews."""
    alias = number_of(marks, "tf.aliasing_output")
    if alias is None or "alpa.state" in marks:
        return marks
    if 0 <= alias < len(results) and _type(results[alias].aval) != _type(aval):
        return marks
    return {**marks, "alpa.state": str(alias)}


def _check_roles(
    arguments: Sequence[Argument], results: Sequence[Result], raised: type[AlpaError]
) -> None:
    renewed: dict[int, int] = {}
    for number, argument in enumerate(arguments):
        dims = f"dims of argument {number}"
        _check_position("the batch", argument.batch_dim, len(argument.aval.shape), dims, raised)
        state = argument.state_result
        for what, result in (("gradient", argument.gradient_result), ("next value", state)):
            whose = f"the {what} of argument {number}"
            _check_position(whose, result, len(results), "results", raised)
        if state is None:
            continue
        kinds = _type(argument.aval), _type(results[state].aval)
        if kinds[0] != kinds[1]:
            raise raised(
                f"expected argument {number} to come back as a result of its type, {kinds[0]}, "
                f"got {kinds[1]} at result {state}"
            )
        if (other := renewed.setdefault(state, number)) != number:
            raise raised(
                f"expected arguments {other} and {number} to come back as a result each, got "
                f"result {state} for both"
            )


def _check_position(
    what: str, position: int | None, count: int, among: str, raised: type[AlpaError]
) -> None:
    if position is not None and not 0 <= position < count:
        raise raised(
            f"expected {what} to be one of the {count} {among}, counted from 0, got {position}"
        )


def _type(aval: Any) -> str:
    return f"{aval.dtype}{list(aval.shape)}"
