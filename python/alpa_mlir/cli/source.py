"""What `alpa-plan` plans for: a function of an importable module, or a StableHLO file."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import click
import jax

from alpa_mlir.errors import AlpaError, ArgumentError, PassError, PlanError
from alpa_mlir.frontend.file import Roles, read_program
from alpa_mlir.frontend.saved import dtype_of
from alpa_mlir.frontend.signature import Call, Signature
from alpa_mlir.frontend.trace import TracedProgram, trace
from alpa_mlir.ir.element_types import aval_of

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_SHAPE = re.compile(r"\s*([A-Za-z][\w<>]*)\[([\d\s,]*)\]\s*")
_SIZE = re.compile(r"\d{1,18}")
_RANGE = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")  # more positions than any program has
_ABSENT = object()
_PACKAGE = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Asked:
    """What the options say of the program.

    Attributes:
      arguments: pytrees of shapes as text; arguments_path: where in a module to find them instead.
      batch_argnums, state: as text; None where nothing was said.
    """

    source: str
    arguments: tuple[str, ...]
    arguments_path: str | None
    batch_argnums: str | None
    state: str | None


def source_options(command: _Callback) -> _Callback:
    """SOURCE and what can be said of it: an option for every field of `Asked`."""
    for add in (
        click.option(
            "--state", metavar="A-B:C-D",
            help="Of a file: arguments A to B come back updated as results C to D.",
        ),
        click.option(
            "--batch-argnums", metavar="N,...",
            help="Arguments with the examples of the batch (of a file: flat). Default: 1, or as "
            "the file is marked.",
        ),
        click.option(
            "--args", "arguments_path", metavar="MODULE:NAME",
            help="Of a function: a tuple of its arguments, or a function that returns it.",
        ),
        click.option(
            "--arg", "arguments", multiple=True, metavar="SHAPE",
            help="Of a function: an argument, as f32[8,16], or JSON of such: "
            '{"w": "f32[8,16]"}. Once for each.',
        ),
        click.argument("source", type=click.Path()),
    ):  # fmt: skip
        command = add(command)
    return command


def read_source(asked: Asked, platform: str | None) -> TracedProgram:
    """The program that is asked for, lowered for a platform.

    Raises:
      AlpaError: there is none, or it cannot be traced.
    """
    if os.path.exists(asked.source):
        return _of_file(asked)
    if not _IMPORT_PATH.fullmatch(asked.source):
        raise ArgumentError(
            f"expected a StableHLO file or module:function, got {asked.source}: no such file"
        )
    return _of_function(asked, platform)


def _of_file(asked: Asked) -> TracedProgram:
    if asked.arguments or asked.arguments_path:
        raise ArgumentError(
            "expected no --arg and --args beside a StableHLO file, which has types of its own"
        )
    roles = None
    if asked.batch_argnums is not None or asked.state is not None:
        roles = Roles(_numbers(asked.batch_argnums or ""), _state(asked.state or ""))
    try:
        return read_program(Path(asked.source).read_bytes(), _stem(asked.source), roles)
    except (OSError, PassError) as error:
        raise PassError(f"cannot read the module {asked.source}: {error}") from None


def _stem(path: str) -> str:
    return re.sub(r"\W", "_", Path(path).name.partition(".")[0])


def _of_function(asked: Asked, platform: str | None) -> TracedProgram:
    if asked.state is not None:
        raise ArgumentError("expected no --state beside a function: its state is found")
    sys.path.insert(0, os.getcwd())  # as python -m does
    function = _imported(asked.source)
    if not callable(function):
        raise ArgumentError(f"{asked.source}: expected a function, got {_kind(function)}")
    arguments = _arguments(asked)
    batch = asked.batch_argnums
    default = (1,) if len(arguments) > 1 else ()
    signature = Signature(function)
    return _run(
        asked.source,
        lambda: trace(
            signature,
            Call(arguments),
            default if batch is None else _numbers(batch),
            platform=platform,
        ),
    )


def _arguments(asked: Asked) -> tuple[Any, ...]:
    if bool(asked.arguments) == bool(asked.arguments_path):
        raise ArgumentError(
            "expected the arguments of the function, either as --args module:name or as one "
            "--arg for each, such as --arg 'f32[8,16]'"
        )
    if asked.arguments_path is None:
        return tuple(_tree(text) for text in asked.arguments)
    found = _imported(asked.arguments_path)
    if callable(found):
        found = _run(asked.arguments_path, found)
    if not isinstance(found, tuple | list):
        raise ArgumentError(
            f"{asked.arguments_path}: expected a tuple of arguments, got {_kind(found)}"
        )
    return tuple(cast(Sequence[Any], found))


def _imported(path: str) -> Any:
    if not _IMPORT_PATH.fullmatch(path):
        raise ArgumentError(f"expected module:name, got {path}")
    module, _, name = path.partition(":")
    found = _run(path, lambda: importlib.import_module(module))
    for part in name.split("."):
        found = _run(path, partial(getattr, found, part, _ABSENT))  # may import more
        if found is _ABSENT:
            raise ArgumentError(f"{path}: expected a '{part}' there, found none")
    return found


_Result = TypeVar("_Result")


def _run(path: str, work: Callable[[], _Result]) -> _Result:
    """Runs code of the user, whose errors become one line."""
    try:
        return work()
    except AlpaError:
        raise
    except (Exception, SystemExit) as error:  # of anybody's class; a script may end itself
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if _is_users(frame.filename)]
        where = f" at {theirs[-1].filename}:{theirs[-1].lineno}" if theirs else ""
        text = (str(error).splitlines() or [""])[0]
        raise ArgumentError(f"{path}{where}: {type(error).__name__}: {text}") from None


def _is_users(file: str) -> bool:
    return not file.startswith((_PACKAGE, "<")) and "site-packages" not in file


# --- What options say ---


def _tree(text: str) -> Any:
    if _SHAPE.fullmatch(text):
        return _leaf(text)
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        raise ArgumentError(
            f"--arg: expected a shape such as f32[8,16], or JSON with such shapes, got {text}"
        ) from None
    return _mapped(tree)


def _mapped(value: object) -> Any:
    if isinstance(value, dict):
        return {name: _mapped(each) for name, each in cast(dict[str, object], value).items()}
    if isinstance(value, list):
        return [_mapped(each) for each in cast(list[object], value)]
    return _leaf(value)


def _leaf(text: object) -> jax.ShapeDtypeStruct:
    match = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ArgumentError(f"--arg: expected a shape such as f32[8,16], got {text!r}")
    sizes = [size.strip() for size in match[2].split(",") if size.strip()]
    if not all(map(_SIZE.fullmatch, sizes)):
        raise ArgumentError(f"--arg: expected sizes with commas between, as f32[8,16], got {text}")
    return jax.ShapeDtypeStruct(tuple(map(int, sizes)), _dtype(match[1]))


def _dtype(name: str) -> Any:
    """Of MLIR's spelling, or JAX's."""
    try:
        return aval_of(f"tensor<{name}>").dtype
    except PassError:
        try:
            return dtype_of(name)
        except PlanError:
            raise ArgumentError(
                f"--arg: expected a dtype such as f32 or int32, got {name}"
            ) from None


def _numbers(text: str) -> tuple[int, ...]:
    """Positions and ranges of them: "0,3-5"."""
    found: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _RANGE.fullmatch(part)
        positions = match and range(int(match[1]), int(match[2] or match[1]) + 1)
        if not positions:
            raise ArgumentError(f"expected positions such as 0,3-5, got {part}")
        found += positions
    return tuple(found)


def _state(text: str) -> dict[int, int]:
    """Which result each argument comes back as: "0-3:0-3"."""
    pairs: dict[int, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        before, _, after = part.partition(":")
        sides = _numbers(before), _numbers(after)
        if not sides[0] or len(sides[0]) != len(sides[1]):
            raise ArgumentError(
                f"--state: expected as many arguments as results, such as 0-3:0-3, got {part}"
            )
        pairs.update(zip(*sides, strict=True))
    return pairs


def _kind(value: object) -> str:
    return type(value).__name__
