"""`--method` and its options, made from the fields of the method classes: what a field may hold is
said there, once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import click

from alpa_mlir.errors import ArgumentError
from alpa_mlir.options import (
    Auto,
    DataParallel,
    Method,
    PipelineParallel,
    ShardParallel,
    ThreeDParallel,
    Zero2Parallel,
    Zero3Parallel,
)

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_LISTS = ("mesh_shape",)
_METHODS: dict[str, type[Method]] = {
    kind.__name__: kind
    for kind in (
        Auto,
        ShardParallel,
        DataParallel,
        Zero2Parallel,
        Zero3Parallel,
        PipelineParallel,
        ThreeDParallel,
    )
}


def method_options(command: _Callback) -> _Callback:
    """`--method`, and an option for every field of every method."""
    for name in reversed(_owners()):
        command = click.option(
            f"--{name.replace('_', '-')}", metavar="VALUE", help=f"Of {', '.join(_owners()[name])}."
        )(command)
    return click.option(
        "--method",
        type=click.Choice(tuple(_METHODS)),
        default=Auto.__name__,
        show_default=True,
    )(command)


def make_method(name: str, options: Mapping[str, str | None]) -> Method:
    """The method with the options that were given, which it checks itself.

    Raises:
      ArgumentError: it has no such option, or not of this value.
    """
    kind = _METHODS[name]
    given = {
        field: _value(text, is_list=field in _LISTS)
        for field, text in options.items()
        if text is not None
    }
    for field in given:
        if name not in (owners := _owners()[field]):
            raise ArgumentError(
                f"--{field.replace('_', '-')}: expected --method {' or '.join(owners)}, got {name}"
            )
    return kind(**given)


def _owners() -> dict[str, list[str]]:
    """Of every field the methods that have it."""
    found: dict[str, list[str]] = {}
    for name, kind in _METHODS.items():
        for field in fields(kind):
            found.setdefault(field.name, []).append(name)
    return found


def _value(text: str, is_list: bool) -> Any:
    """A number, true, false, null (or none), a word; or numbers with commas between."""
    if text.lower() == "none":
        return None
    try:
        return json.loads(f"[{text}]" if is_list else text)
    except (ValueError, RecursionError):
        return text
