"""The user's function seen from its calls: positional arguments, static ones, names for people."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from alpa_mlir.errors import ArgumentError
from alpa_mlir.stacked_array import StackedArray


@dataclass(frozen=True)
class Call:
    """One call with every argument positional.

    Attributes:
      arguments: in order; keyword-only arguments are one dict at the end.
      has_keywords: whether there is such a dict.
    """

    arguments: tuple[Any, ...]
    has_keywords: bool = False


class Signature:
    """Turns calls into positional arguments, and those into dynamic and static ones."""

    def __init__(self, fn: Callable[..., Any], static_argnums: Sequence[int] = ()) -> None:
        self.fn = fn
        self.name: str = getattr(fn, "__name__", type(fn).__name__)
        self._signature = _signature(fn)
        self.static_argnums = tuple(sorted(set(static_argnums)))
        if any(i < 0 for i in self.static_argnums):
            raise ArgumentError(
                f"expected static_argnums that count from 0, got {tuple(static_argnums)}"
            )

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """Raises ArgumentError where the call does not fit the function."""
        if not kwargs:
            return Call(args)
        if self._signature is None:
            return Call((*args, dict(kwargs)), has_keywords=True)
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"{self.name}(): {error}") from None
        self._fill_defaults(bound)
        if bound.kwargs:
            return Call((*bound.args, bound.kwargs), has_keywords=True)
        return Call(bound.args)

    def _fill_defaults(self, bound: inspect.BoundArguments) -> None:
        """Those of positional parameters up to the last static one, whose places are theirs."""
        num_places = max(self.static_argnums, default=-1) + 1
        for parameter in list(bound.signature.parameters.values())[:num_places]:
            is_positional = parameter.kind in (
                inspect.Parameter.POSITIONAL_ONLY,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
            )
            if is_positional and parameter.default is not inspect.Parameter.empty:
                bound.arguments.setdefault(parameter.name, parameter.default)

    def call(self, call: Call) -> Callable[..., Any]:
        """The function as one of positional arguments only, for calls such as `call`."""
        if not call.has_keywords:
            return self.fn
        fn = self.fn

        def with_keywords(*args: Any) -> Any:
            return fn(*args[:-1], **args[-1])

        with_keywords.__name__ = self.name
        return with_keywords

    def dynamic(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments that are arrays, or pytrees of them."""
        if not self.static_argnums:
            return arguments
        return tuple(a for i, a in enumerate(arguments) if i not in self.static_argnums)

    def static(self, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """The others, with their types: 1, 1.0 and True are equal and make other programs.

        Raises:
          ArgumentError: one is not hashable.
        """
        values = [(i, arguments[i]) for i in self.static_argnums if i < len(arguments)]
        for i, value in values:
            try:
                hash(value)
            except TypeError:
                raise ArgumentError(
                    f"expected a hashable static argument {self.argument_names(i + 1)[i]} of "
                    f"{self.name}, got {type(value).__name__}; pass a tuple, or another type that "
                    "does not change"
                ) from None
        return tuple((type(value), value) for _, value in values)

    def key(self, call: Call) -> Any:
        """What decides whether two calls can run the same executable: structure, types, statics.

        Raises:
          ArgumentError: a static argument is not hashable.
        """
        leaves, tree = jax.tree.flatten(self.dynamic(call.arguments))  # pyright: ignore
        try:
            types = tuple((np.shape(leaf), _dtype(leaf), is_weak(leaf)) for leaf in leaves)
        except (TypeError, ValueError):
            # Tracing names the leaf.
            types = tuple((type(leaf).__name__,) for leaf in leaves)
        return tree, types, self.static(call.arguments), call.has_keywords

    def argument_names(self, num_arguments: int) -> list[str]:
        """A name for each positional argument, as the function's author wrote it."""
        names: list[str] = []
        for parameter in self._signature.parameters.values() if self._signature else ():
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                names += [f"{parameter.name}[{i}]" for i in range(num_arguments - len(names))]
            elif parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
                names.append(parameter.name)
        names += [f"arg{i}" for i in range(len(names), num_arguments)]
        return names[:num_arguments]


def _signature(fn: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError):  # builtins and some callables have none
        return None


def is_weak(leaf: Any) -> bool:
    """Whether JAX lets the other operand decide on the dtype, as for a Python number."""
    if isinstance(leaf, bool):
        return False
    return isinstance(leaf, int | float | complex) or bool(getattr(leaf, "weak_type", False))


def _dtype(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array | jax.ShapeDtypeStruct | StackedArray):
        return leaf.dtype
    return jax.dtypes.canonicalize_dtype(np.result_type(leaf))
