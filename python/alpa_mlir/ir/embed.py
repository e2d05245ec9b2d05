"""Puts a module of ours into the one that `jax.jit` is lowering, as a function that it calls.

Public JAX only (`jax.interpreters.mlir`, `jax.extend.mlir`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend.core import Primitive
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import func
from jax.interpreters import mlir

from alpa_mlir.errors import CompileError
from alpa_mlir.ir.spec import UnreducedSpec, shardy_text


def register_lowering(primitive: Primitive, rule: Callable[..., Sequence[Any]]) -> None:
    """`rule` takes JAX's lowering context, the operands, and the primitive's parameters."""
    mlir.register_lowering(primitive, rule)


def call_module(
    context: Any,
    operands: Sequence[Any],
    text: str,
    name: str,
    host_callbacks: Sequence[Any] = (),
) -> list[Any]:
    """Merges the module and calls its @main, under this name, with the operands.

    Args:
      context: JAX's lowering context.
      host_callbacks: Python functions that custom calls of the module refer to by position.

    Raises:
      CompileError: the module has no @main, or is for another mesh than the one it is lowered for.
    """
    module_context = context.module_context
    module = ir.Module.parse(text, module_context.context)
    _move_meshes(module, module_context.module)
    for callback in host_callbacks:
        module_context.add_host_callback(callback)
    main = _main(module)
    _clear_boundary_attributes(main)
    types = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value).results
    merged = mlir.merge_mlir_modules(
        module_context.module, name, module, dst_symtab=module_context.symbol_table
    )
    return list(func.CallOp(types, ir.FlatSymbolRefAttr.get(merged), list(operands)).results)


def constrained(value: Any, spec: UnreducedSpec) -> Any:
    """The value with its sharding on @mesh, which JAX expects of what it has as unreduced."""
    sharding = ir.Attribute.parse(shardy_text(spec, spec.unreduced), value.type.context)
    return ir.Operation.create(
        "sdy.sharding_constraint", [value.type], [value], {"sharding": sharding}
    ).result


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
