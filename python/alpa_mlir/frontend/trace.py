"""Traces the user's function into a marked StableHLO module: the first station of every program.

Marks are attributes of @main's arguments: `alpa.name`, `alpa.batch`, `alpa.state` (the result that
is this argument's next value), `alpa.gradient` (the result that is its gradient, where it has no
next value), JAX's own marks of donation, and `sdy.sharding` (what the user has fixed).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
from jax.api_util import shaped_abstractify
from jax.tree_util import keystr, tree_flatten_with_path

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.compat import host_callbacks
from alpa_mlir.errors import ArgumentError
from alpa_mlir.frontend.batch import BatchDimsSpec, BatchLeaf, settle, spread
from alpa_mlir.frontend.signature import Call, Signature
from alpa_mlir.frontend.stacks import Stacks
from alpa_mlir.frontend.state import find_gradients, find_state, is_step, pair_donated
from alpa_mlir.frontend.user_sharding import user_mesh, user_sharding
from alpa_mlir.ir import jaxlib
from alpa_mlir.stacked_array import StackedArray


@dataclass(frozen=True)
class Argument:
    """One flat argument: its pytree path, its type, its part in the step.

    Attributes:
      batch_dim: the dim that counts examples, if one does.
      state_result: the result that is its next value; gradient_result: that is its gradient.
    """

    name: str
    aval: Any
    batch_dim: int | None
    is_donated: bool
    state_result: int | None
    gradient_result: int | None
    sharding: str | None

    @property
    def is_batch(self) -> bool:
        return self.batch_dim is not None


@dataclass(frozen=True)
class Result:
    """One flat result."""

    name: str
    aval: Any


@dataclass(frozen=True, eq=False)
class TracedProgram:
    """A traced function: module text, and the pytrees around its flat arguments and results.

    Attributes:
      text: StableHLO in generic form with locations; @main takes all flat arguments, used or not.
      in_tree: pytree of the tuple of dynamic positional arguments; out_tree: of the result.
      donate_argnums: positions in that tuple.
      mesh: the mesh the user's own shardings are on, if any.
      host_callbacks: Python functions that custom calls of the module refer to by position.
      remarks: on what was found otherwise than one might think.
      stacks: of a step in rows, the user's side; its own pytrees are flat tuples.
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
    remarks: tuple[str, ...] = ()
    stacks: Stacks | None = None


def trace(
    signature: Signature,
    call: Call,
    batch_argnums: Sequence[int] = (),
    donate_argnums: Sequence[int] | Literal["auto"] = "auto",
    platform: str | None = None,
    mesh_of: Callable[[Sequence[Any]], LogicalMesh | None] = user_mesh,
    batch_dims: BatchDimsSpec = 0,
) -> TracedProgram:
    """Traces and lowers the function for the types of the arguments of `call`.

    Args:
      platform: "cpu", "cuda", ...: what the module is lowered for; None is JAX's default backend.
      mesh_of: the mesh on which arguments are to lie as they do; None where that says nothing.
      batch_dims: of the leaves of batch arguments, the dims that count examples.

    Raises:
      ArgumentError: an argument is not an array, an argnum is out of range, batch_dims do not fit
        the batch, or the function has ordered effects.
    """
    arguments = call.arguments
    _check_argnums("batch_argnums", batch_argnums, signature, arguments)
    _check_argnums("donate_argnums", donate_argnums, signature, arguments)
    flat = _flatten(signature, arguments)
    traced = jax.jit(
        signature.call(call), static_argnums=signature.static_argnums, keep_unused=True
    ).trace(*_abstract(arguments, flat))
    _check_effects(traced, signature)
    lowered = traced.lower(lowering_platforms=(platform,) if platform else None)

    candidates = {f.start: f.tree for f in flat if f.argnum not in batch_argnums}
    pairs = find_state(traced.jaxpr, candidates, traced.out_tree)
    donated = _donated(flat, traced.jaxpr, pairs, donate_argnums)
    others = {start: tree for start, tree in candidates.items() if start not in pairs}
    gradients = find_gradients(traced.jaxpr, others, traced.out_tree, pairs.values())

    leaves = [leaf for f in flat for leaf in f.leaves]
    mesh = mesh_of(leaves)
    in_avals = traced.jaxpr.in_avals
    found_dims, remarks = _find_batch_dims(flat, batch_argnums, batch_dims, arguments)
    marked = tuple(
        Argument(
            name=name,
            aval=in_avals[i],
            batch_dim=found_dims.get(i),
            is_donated=f.argnum in donated,
            state_result=pairs.get(i),
            gradient_result=gradients.get(i),
            sharding=user_sharding(leaf, mesh),
        )
        for f in flat
        for i, name, leaf in zip(f.range, f.names, f.leaves, strict=True)
    )
    text = jaxlib.mark_lowered(
        lowered.compiler_ir("stablehlo"),
        [marks_of(argument) for argument in marked],
        mesh.shardy_text if mesh else None,
    )
    return TracedProgram(
        name=signature.name if signature.name.isidentifier() else "program",
        text=text,
        arguments=marked,
        results=_results(traced),
        in_tree=jax.tree.structure(signature.dynamic(arguments)),
        out_tree=traced.out_tree,
        donate_argnums=tuple(k for k, f in enumerate(flat) if f.argnum in donated),
        mesh=_one_mesh(mesh, jaxlib.mesh_axes(text)),
        host_callbacks=host_callbacks(lowered),
        remarks=tuple(remarks),
    )


@dataclass(frozen=True)
class _FlatArgument:
    """The leaves of one dynamic argument, and where they are among all leaves."""

    argnum: int
    start: int
    names: list[str]
    leaves: list[Any]
    tree: Any

    @property
    def range(self) -> range:
        return range(self.start, self.start + len(self.leaves))


def _flatten(signature: Signature, arguments: tuple[Any, ...]) -> list[_FlatArgument]:
    names = signature.argument_names(len(arguments))
    flat: list[_FlatArgument] = []
    start = 0
    for i, argument in enumerate(arguments):
        if i in signature.static_argnums:
            continue
        paths, tree = tree_flatten_with_path(argument)
        paths_as_text = [names[i] + keystr(path) for path, _ in paths]
        flat.append(_FlatArgument(i, start, paths_as_text, [leaf for _, leaf in paths], tree))
        start += len(paths)
    return flat


def _donated(
    flat: Sequence[_FlatArgument],
    jaxpr: Any,
    pairs: dict[int, int],
    donate_argnums: Sequence[int] | Literal["auto"],
) -> list[int]:
    """The arguments that are donated; `pairs` gains what XLA aliases for that alone."""
    if donate_argnums == "auto":
        may_donate = is_step(jaxpr, pairs)
        return [f.argnum for f in flat if may_donate and f.leaves and f.start in pairs]
    donated = list(donate_argnums)
    pair_donated(jaxpr, [i for f in flat if f.argnum in donated for i in f.range], pairs)
    return donated


def _find_batch_dims(
    flat: Sequence[_FlatArgument],
    batch_argnums: Sequence[int],
    batch_dims: BatchDimsSpec,
    arguments: tuple[Any, ...],
) -> tuple[dict[int, int], list[str]]:
    """Of the flat arguments that count examples, the dim that does; and remarks."""
    batches = [f for f in flat if f.argnum in batch_argnums]
    said = spread(batch_dims, [arguments[f.argnum] for f in batches])
    places = [i for f in batches for i in f.range]
    leaves = [
        BatchLeaf(name, tuple(jax.numpy.shape(leaf)), dim, is_certain)
        for f, dims in zip(batches, said, strict=True)
        for name, leaf, (dim, is_certain) in zip(f.names, f.leaves, dims, strict=True)
    ]
    dims, remarks = settle(leaves)
    found = {i: dim for i, dim in zip(places, dims, strict=True) if dim is not None}
    return found, remarks


def _abstract(arguments: tuple[Any, ...], flat: Sequence[_FlatArgument]) -> list[Any]:
    """The arguments with types for arrays. Shardings stay out of tracing: they are marks."""
    abstract = list(arguments)
    for f in flat:
        structs = [_struct(leaf, name) for leaf, name in zip(f.leaves, f.names, strict=True)]
        abstract[f.argnum] = f.tree.unflatten(structs)
    return abstract


def _struct(leaf: Any, name: str) -> Any:
    if isinstance(leaf, StackedArray):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, weak_type=leaf.weak_type)
    try:
        aval: Any = shaped_abstractify(leaf)
    except TypeError:
        raise ArgumentError(
            f"expected an array at {name}, got {type(leaf).__name__}; name the argument in "
            "static_argnums, or keep what is not an array out of the pytree"
        ) from None
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _check_effects(traced: Any, signature: Signature) -> None:
    ordered = sorted(str(e) for e in traced.jaxpr.effects if type(e).__name__.startswith("Ordered"))
    if ordered:
        raise ArgumentError(
            f"expected no ordered effects in {signature.name}, got {', '.join(ordered)}: devices "
            "have no common order for them, and jax.jit refuses them on more than one device too; "
            "call jax.debug.print, jax.debug.callback or io_callback with ordered=False"
        )


def _results(traced: Any) -> tuple[Result, ...]:
    paths, _ = tree_flatten_with_path(traced.out_info)
    named = zip(paths, traced.jaxpr.out_avals, strict=True)
    return tuple(Result("result" + keystr(path), aval) for (path, _), aval in named)


def _one_mesh(of_arguments: LogicalMesh | None, inside: dict[str, int]) -> LogicalMesh | None:
    """The mesh of the user's shardings on arguments and in `with_sharding_constraint`."""
    if not inside:
        return of_arguments
    mesh = LogicalMesh(tuple(inside), tuple(inside.values()))
    if of_arguments not in (None, mesh):
        raise ArgumentError(
            f"expected arguments and with_sharding_constraint on one mesh, got {of_arguments} "
            f"and {mesh}"
        )
    return mesh


def _check_argnums(
    option: str,
    argnums: Sequence[int] | Literal["auto"],
    signature: Signature,
    arguments: tuple[Any, ...],
) -> None:
    if argnums == "auto":
        return
    for i in argnums:
        if not 0 <= i < len(arguments):
            raise ArgumentError(
                f"expected {option} between 0 and {len(arguments) - 1}, got {i}: "
                f"{signature.name} was called with {len(arguments)} arguments; "
                f"pass {option}=() if there are none"
            )
        if i in signature.static_argnums:
            raise ArgumentError(f"expected {option} to name arrays, got {i}, a static argument")


def marks_of(argument: Argument) -> dict[str, str]:
    """What the module says of an argument, as MLIR attribute text."""
    name = argument.name.replace("\\", "\\\\").replace('"', '\\"')
    marks = {"alpa.name": f'"{name}"'}
    if argument.batch_dim is not None:
        marks["alpa.batch"] = f"{argument.batch_dim} : i64" if argument.batch_dim else "unit"
    if argument.is_donated and argument.state_result is not None:
        marks["tf.aliasing_output"] = f"{argument.state_result} : i32"
    elif argument.is_donated:
        marks["jax.buffer_donor"] = "true"
    if argument.state_result is not None:
        marks["alpa.state"] = f"{argument.state_result} : i64"
    if argument.gradient_result is not None:
        marks["alpa.gradient"] = f"{argument.gradient_result} : i64"
    if argument.sharding is not None:
        marks["sdy.sharding"] = argument.sharding
    return marks
