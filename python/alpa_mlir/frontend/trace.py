"""Traces the user's function into a marked StableHLO module: the first station of every program.

Marks are attributes of @main's arguments: `alpa.name`, `alpa.batch`, `alpa.state` (the result that
is this argument's next value) and `sdy.sharding` (what the user has fixed).
"""

# JAX declares only part of its types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
from jax.api_util import shaped_abstractify
from jax.tree_util import keystr, tree_flatten, tree_flatten_with_path, tree_unflatten

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.compat import host_callbacks
from alpa_mlir.errors import ArgumentError, TraceError
from alpa_mlir.frontend import shardy
from alpa_mlir.frontend.signature import Call, Signature
from alpa_mlir.frontend.state import find_state, pair_donated
from alpa_mlir.frontend.user_sharding import user_mesh, user_sharding


@dataclass(frozen=True)
class Argument:
    """One flat argument: its pytree path, its type, its part in the step."""

    name: str
    aval: Any
    is_batch: bool
    state_result: int | None
    sharding: str | None


@dataclass(frozen=True)
class Result:
    """One flat result."""

    name: str
    aval: Any


@dataclass(frozen=True, eq=False)
class Program:
    """A traced function: module text, and the pytrees around its flat arguments and results.

    Attributes:
      text: StableHLO in generic form with locations; @main takes all flat arguments, used or not.
      in_tree: pytree of the tuple of dynamic positional arguments; out_tree: of the result.
      donate_argnums: positions in that tuple.
      mesh: the mesh the user's own shardings are on, if any.
      host_callbacks: Python functions that custom calls of the module refer to by position.
    """

    name: str
    text: str
    arguments: tuple[Argument, ...]
    results: tuple[Result, ...]
    in_tree: Any
    out_tree: Any
    donate_argnums: tuple[int, ...]
    mesh: LogicalMesh | None
    host_callbacks: tuple[Any, ...]


def trace(
    signature: Signature,
    call: Call,
    batch_argnums: Sequence[int] = (),
    donate_argnums: Sequence[int] | Literal["auto"] = "auto",
    platform: str | None = None,
) -> Program:
    """Traces and lowers the function for the types of the arguments of `call`.

    Args:
      platform: "cpu", "cuda", ...: what the module is lowered for; None is JAX's default backend.

    Raises:
      ArgumentError: an argument is not an array, or an argnum is out of range.
    """
    arguments = call.arguments
    _check_argnums("batch_argnums", batch_argnums, signature, arguments)
    if donate_argnums != "auto":
        _check_argnums("donate_argnums", donate_argnums, signature, arguments)
    names = signature.argument_names(len(arguments))
    dynamic = [i for i in range(len(arguments)) if i not in signature.static_argnums]
    abstract = list(arguments)
    for i in dynamic:
        abstract[i] = _abstract(arguments[i], names[i])

    traced = jax.jit(
        signature.call(call), static_argnums=signature.static_argnums, keep_unused=True
    ).trace(*abstract)
    lowered = traced.lower(lowering_platforms=(platform,) if platform else None)

    leaves_of = {i: tree_flatten_with_path(arguments[i]) for i in dynamic}
    starts = _starts({i: len(leaves) for i, (leaves, _) in leaves_of.items()})
    candidates = {starts[i]: tree for i, (_, tree) in leaves_of.items() if i not in batch_argnums}
    pairs = find_state(traced.jaxpr, candidates, traced.out_tree)
    donated = _donated(leaves_of, starts, pairs) if donate_argnums == "auto" else donate_argnums
    if donate_argnums != "auto":
        flat = [starts[i] + k for i in donated for k in range(len(leaves_of[i][0]))]
        pair_donated(traced.jaxpr, flat, pairs)

    mesh = user_mesh([leaf for leaves, _ in leaves_of.values() for _, leaf in leaves])
    in_avals = traced.jaxpr.in_avals
    flat_arguments = tuple(
        Argument(
            name=names[i] + keystr(path),
            aval=in_avals[starts[i] + k],
            is_batch=i in batch_argnums,
            state_result=pairs.get(starts[i] + k),
            sharding=user_sharding(leaf, mesh),
        )
        for i, (leaves, _) in leaves_of.items()
        for k, (path, leaf) in enumerate(leaves)
    )
    if len(flat_arguments) != len(in_avals):
        raise TraceError(
            f"expected {len(in_avals)} flat arguments, got {len(flat_arguments)}; "
            "please report this with the function's signature"
        )
    paths, out_tree = tree_flatten_with_path(traced.out_info)
    return Program(
        name=signature.name if signature.name.isidentifier() else "program",
        text=shardy.mark_arguments(
            shardy.generic_text(lowered.compiler_ir("stablehlo")),
            [_marks(argument) for argument in flat_arguments],
            mesh.shardy_text if mesh else None,
        ),
        arguments=flat_arguments,
        results=tuple(
            Result(name="result" + keystr(path), aval=aval)
            for (path, _), aval in zip(paths, traced.jaxpr.out_avals, strict=True)
        ),
        in_tree=tree_flatten(signature.dynamic(arguments))[1],
        out_tree=out_tree,
        donate_argnums=tuple(dynamic.index(i) for i in donated),
        mesh=mesh,
        host_callbacks=host_callbacks(lowered),
    )


def _abstract(argument: Any, name: str) -> Any:
    """The argument with types instead of arrays. Shardings stay out of tracing: they are marks."""
    leaves, tree = tree_flatten_with_path(argument)
    structs: list[Any] = []
    for path, leaf in leaves:
        try:
            aval: Any = shaped_abstractify(leaf)
        except TypeError:
            raise ArgumentError(
                f"expected an array at {name}{keystr(path)}, got {type(leaf).__name__}; name the "
                "argument in static_argnums, or keep what is not an array out of the pytree"
            ) from None
        structs.append(jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type))
    return tree_unflatten(tree, structs)


def _check_argnums(
    option: str, argnums: Sequence[int], signature: Signature, arguments: tuple[Any, ...]
) -> None:
    for i in argnums:
        if not 0 <= i < len(arguments):
            raise ArgumentError(
                f"expected {option} between 0 and {len(arguments) - 1}, got {i}: "
                f"{signature.name} was called with {len(arguments)} arguments; "
                f"pass {option}=() if there are none"
            )
        if i in signature.static_argnums:
            raise ArgumentError(f"expected {option} to name arrays, got {i}, a static argument")


def _starts(num_leaves: dict[int, int]) -> dict[int, int]:
    """Flat index of the first leaf of each argument."""
    starts: dict[int, int] = {}
    total = 0
    for i, count in num_leaves.items():
        starts[i] = total
        total += count
    return starts


def _donated(
    leaves_of: dict[int, Any], starts: dict[int, int], pairs: dict[int, int]
) -> tuple[int, ...]:
    """The arguments that are state."""
    return tuple(i for i, (leaves, _) in leaves_of.items() if leaves and starts[i] in pairs)


def _marks(argument: Argument) -> dict[str, str]:
    name = argument.name.replace("\\", "\\\\").replace('"', '\\"')
    marks = {"alpa.name": f'"{name}"'}
    if argument.is_batch:
        marks["alpa.batch"] = "unit"
    if argument.state_result is not None:
        marks["alpa.state"] = f"{argument.state_result} : i64"
    if argument.sharding is not None:
        marks["sdy.sharding"] = argument.sharding
    return marks
