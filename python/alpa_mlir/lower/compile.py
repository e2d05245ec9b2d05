"""Compiles a StableHLO module with Shardy annotations on a mesh of devices.

The module becomes the lowering rule of a primitive, and `jax.jit` around that primitive does the
rest: argument and result shardings, donation, pytrees, dispatch in C++. A call therefore costs
what a call of plain `jax.jit` costs. Public JAX only.
"""

# JAX declares only part of its types.
# pyright: reportUntypedFunctionDecorator=false

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.sharding import Mesh, NamedSharding

from alpa_mlir.errors import CompileError
from alpa_mlir.ir.embed import call_module, constrained, register_lowering
from alpa_mlir.ir.spec import UnreducedSpec, named_sharding
from alpa_mlir.program.annotated import AnnotatedProgram


def jit_program(program: AnnotatedProgram, mesh: Mesh) -> Callable[..., Any]:
    """A `jax.jit` function of the user's pytrees that runs `program` on `mesh`."""

    def run(*args: Any) -> Any:
        results = _program_p.bind(*jax.tree.leaves(args), program=program, mesh=mesh)
        return program.out_tree.unflatten(results)

    run.__name__ = run.__qualname__ = program.name
    return jax.jit(
        run,
        in_shardings=program.in_shardings(mesh),
        out_shardings=program.out_shardings(mesh),
        donate_argnums=program.donate_argnums,
        keep_unused=True,
    )


def lower_program(program: AnnotatedProgram, mesh: Mesh) -> jax.stages.Lowered:
    """Lowers `program` for `mesh`; `.compile()` of the result is the executable.

    Ahead-of-time compilation matters: plain jit silently moves an argument that lives on another
    mesh through the host.
    """
    structs = [
        jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)
        for aval in program.in_avals
    ]
    return jit_program(program, mesh).lower(*program.in_tree.unflatten(structs))  # type: ignore[attr-defined]


def compile_program(
    program: AnnotatedProgram, mesh: Mesh, compiler_options: dict[str, Any] | None = None
) -> jax.stages.Compiled:
    """Compiles `program` on the devices of `mesh`.

    Raises:
      CompileError: XLA refused the module.
    """
    return compile_lowered(lower_program(program, mesh), program.name, mesh, compiler_options)


def compile_lowered(
    lowered: jax.stages.Lowered,
    name: str,
    mesh: Mesh,
    compiler_options: dict[str, Any] | None = None,
) -> jax.stages.Compiled:
    """Compiles what `lower_program` made for `mesh`.

    Raises:
      CompileError: XLA refused the module, which the message calls by this name.
    """
    try:
        return lowered.compile(compiler_options=compiler_options)
    except jax.errors.JaxRuntimeError as error:
        raise CompileError(
            f"XLA could not compile '{name}' for the mesh {dict(mesh.shape)}: {error}"
        ) from error


_program_p = Primitive("alpa_program")
_program_p.multiple_results = True


@_program_p.def_abstract_eval
def _result_avals(*_: Any, program: AnnotatedProgram, mesh: Mesh) -> Sequence[Any]:
    """Those of sums in parts say so: JAX would not let `jax.jit` say it of other values."""
    return [
        aval.update(sharding=_on_abstract_mesh(named_sharding(mesh, spec)))
        if isinstance(spec, UnreducedSpec)
        else aval
        for aval, spec in zip(program.out_avals, program.out_specs, strict=True)
    ]


def _on_abstract_mesh(sharding: NamedSharding) -> NamedSharding:
    return NamedSharding(sharding.mesh.abstract_mesh, sharding.spec)


def _lower(context: Any, *operands: Any, program: AnnotatedProgram, mesh: Mesh) -> Sequence[Any]:
    results = call_module(context, operands, program.text, program.name, program.host_callbacks)
    return [
        constrained(result, spec) if isinstance(spec, UnreducedSpec) else result
        for result, spec in zip(results, program.out_specs, strict=True)
    ]


register_lowering(_program_p, _lower)
