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
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import func
from jax.interpreters import mlir
from jax.sharding import Mesh

from alpa_mlir.errors import CompileError
from alpa_mlir.program.annotated import AnnotatedProgram


def jit_program(program: AnnotatedProgram, mesh: Mesh) -> Callable[..., Any]:
    """A `jax.jit` function of the user's pytrees that runs `program` on `mesh`."""

    def run(*args: Any) -> Any:
        results = _program_p.bind(*jax.tree.leaves(args), program=program)
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
    try:
        return lower_program(program, mesh).compile(compiler_options=compiler_options)
    except jax.errors.JaxRuntimeError as error:
        raise CompileError(
            f"XLA could not compile '{program.name}' for the mesh {dict(mesh.shape)}: {error}"
        ) from error


_program_p = Primitive("alpa_program")
_program_p.multiple_results = True


@_program_p.def_abstract_eval
def _result_avals(*_: Any, program: AnnotatedProgram) -> Sequence[Any]:
    return list(program.out_avals)


def _lower(
    ctx: mlir.LoweringRuleContext, *operands: Any, program: AnnotatedProgram
) -> Sequence[Any]:
    module_context = ctx.module_context
    module = ir.Module.parse(program.text, module_context.context)
    _move_meshes(module, module_context.module)
    for callback in program.host_callbacks:
        module_context.add_host_callback(callback)
    main = _main(module)
    _clear_boundary_attributes(main)
    types = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value).results
    name = mlir.merge_mlir_modules(
        module_context.module, program.name, module, dst_symtab=module_context.symbol_table
    )
    return list(func.CallOp(types, ir.FlatSymbolRefAttr.get(name), list(operands)).results)


mlir.register_lowering(_program_p, _lower)


def _move_meshes(source: Any, target: Any) -> None:
    """Moves `sdy.mesh` ops, which merging refuses; jit may have declared the same one."""
    declared = {_symbol(op): str(op.attributes["mesh"]) for op in _meshes(target)}
    for op in _meshes(source):
        name, mesh = _symbol(op), str(op.attributes["mesh"])
        if declared.get(name, mesh) != mesh:
            raise CompileError(
                f"expected the mesh @{name} = {mesh} of the module, got {declared[name]}; "
                "compile on a mesh with the same axis names and sizes"
            )
        op.operation.detach_from_parent()
        if name not in declared:
            target.body.append(op)


def _meshes(module: Any) -> list[Any]:
    return [op for op in module.body.operations if op.operation.name == "sdy.mesh"]


def _symbol(op: Any) -> str:
    return op.attributes["sym_name"].value


def _main(module: Any) -> Any:
    for op in module.body.operations:
        if op.operation.name == "func.func" and _symbol(op) == "main":
            return op
    raise CompileError("expected a function @main in the module, got none")


def _clear_boundary_attributes(function: Any) -> None:
    """Drops what belongs to an entry function: jit writes attributes of its own."""
    for name in ("arg_attrs", "res_attrs"):
        if name in function.attributes:
            del function.attributes[name]
