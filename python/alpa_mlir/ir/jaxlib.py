"""The one door to jaxlib's MLIR, which has the real StableHLO and Shardy dialects.

Everything goes in and out as text: our passes live in another MLIR (docs/building.md).
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import sdy
from jax.extend.mlir.passmanager import PassManager
from jax.interpreters import mlir

from alpa_mlir._native import Module
from alpa_mlir.errors import PassError

_POPULATE_RULES = "builtin.module(func.func(sdy-populate-op-sharding-rules))"
_EMPTY_MESH = "empty_mesh"


def is_portable_artifact(source: bytes) -> bool:
    """Whether it is StableHLO's versioned bytecode, and not MLIR's plain one or text."""
    return source.startswith(b"ML\xefR") and b"StableHLO_v" in source[:32]


def generic_text(module: Any) -> str:
    """Generic form with locations: the form our passes read."""
    return module.operation.get_asm(print_generic_op_form=True, enable_debug_info=True)


def to_generic(source: str | bytes) -> str:
    """StableHLO as text (pretty or generic), bytecode or portable artifact, as generic text."""
    with parsed(source) as module:
        return generic_text(module)


def to_pretty(text: str) -> str:
    """The module as StableHLO is usually read."""
    with parsed(text) as module:
        return module.operation.get_asm(enable_debug_info=False)


def mark_arguments(
    text: str, attributes: Sequence[Mapping[str, str | None]], mesh: str | None
) -> str:
    """Adds attributes to the arguments of @main, in order; values are MLIR attribute text, None
    where one of that name is to go.

    `mesh` declares the `sdy.mesh` that shardings among them refer to, unless the module has it.
    JAX's constraints on an empty mesh (it writes them for PRNG keys) say nothing and are dropped.
    """
    with parsed(text) as module:
        return _marked(module, attributes, mesh)


def mark_lowered(
    module: Any, attributes: Sequence[Mapping[str, str | None]], mesh: str | None
) -> str:
    """As `mark_arguments`, of a module that JAX made, and keeps: it may ask for it again."""
    with module.context, ir.Location.unknown():
        return _marked(module.operation.clone(), attributes, mesh)


def _marked(module: Any, attributes: Sequence[Mapping[str, str | None]], mesh: str | None) -> str:
    _drop_empty_mesh(module)
    if mesh is not None and not mesh_axes_of(module):
        module.body.append(ir.Operation.parse(f"sdy.mesh @mesh = <{mesh}>"))
    main = _function(module, "main")
    main.attributes["arg_attrs"] = ir.ArrayAttr.get(
        [_merged(old, new) for old, new in zip(_arg_attrs(main), attributes, strict=True)]
    )
    return generic_text(module)


def argument_marks(text: str) -> list[dict[str, str]]:
    """The attributes of the arguments of @main, in order; values are MLIR attribute text."""
    with parsed(text) as module:
        found = _arg_attrs(_function(module, "main"))
        return [{a.name: str(a.attr) for a in ir.DictAttr(attributes)} for attributes in found]


def function_types(text: str) -> tuple[list[str], list[str]]:
    """The types of the arguments and of the results of @main, as MLIR writes them."""
    with parsed(text) as module:
        kind = _function(module, "main").type
        return [str(each) for each in kind.inputs], [str(each) for each in kind.results]


def result_marks(text: str) -> list[dict[str, str]]:
    """The attributes of the results of @main, as `argument_marks`."""
    with parsed(text) as module:
        main = _function(module, "main")
        if "res_attrs" not in main.attributes:
            return [{} for _ in main.type.results]
        found = ir.ArrayAttr(main.attributes["res_attrs"])
        return [{a.name: str(a.attr) for a in ir.DictAttr(attributes)} for attributes in found]


def without_locations(text: str) -> str:
    """The module in generic form, without where in whose files its ops come from."""
    with parsed(text) as module:
        return module.operation.get_asm(print_generic_op_form=True, enable_debug_info=False)


def populate_rules(text: str) -> str:
    """Attaches `sdy.sharding_rule`, Shardy's factor map, to every op it knows one for."""
    with parsed(text) as module:
        PassManager.parse(_POPULATE_RULES).run(module.operation)
        return generic_text(module)


def give_rules(module: Module) -> None:
    """As `populate_rules`, of our own modules: by one op of each sort, which takes as long as the
    module has sorts of ops, and not ops.

    Raises:
      PassError: an op is not what StableHLO allows.
    """
    module.take_rules(populate_rules(module.distinct_ops()))


def mesh_axes(text: str) -> dict[str, int]:
    """Axis sizes of the first non-empty `sdy.mesh` of a module, empty where there is none."""
    if "sdy.mesh" not in text:  # most; large modules take a second to parse
        return {}
    with parsed(text) as module:
        return mesh_axes_of(module)


def mesh_axes_of(module: Any) -> dict[str, int]:
    for op in module.body.operations:
        if op.operation.name == "sdy.mesh":
            axes = [sdy.MeshAxisAttr(axis) for axis in sdy.MeshAttr(op.attributes["mesh"]).axes]
            if axes:
                return {axis.name: axis.size for axis in axes}
    return {}


@contextmanager
def parsed(source: str | bytes) -> Generator[Any]:
    """A module in a context of its own.

    Raises:
      PassError: it cannot be read, or a pass within refuses it.
    """
    context = mlir.make_ir_context()
    with context, ir.Location.unknown():
        try:
            if isinstance(source, bytes) and is_portable_artifact(source):
                yield jax_mlir.deserialize_portable_artifact(source, context)
            else:
                yield ir.Module.parse(source)
        except ir.MLIRError as error:
            # The rest of the message is the whole operation once more.
            raise PassError(str(error).partition("see current operation")[0]) from None
        except jax.errors.JaxRuntimeError as error:  # what a broken portable artifact raises
            raise PassError(str(error)) from None


def _function(module: Any, name: str) -> Any:
    for op in module.body.operations:
        if op.operation.name == "func.func" and op.attributes["sym_name"].value == name:
            return op
    raise PassError(f"expected a function @{name}, got a module without one")


def _arg_attrs(function: Any) -> list[Any]:
    if "arg_attrs" in function.attributes:
        return list(ir.ArrayAttr(function.attributes["arg_attrs"]))
    num_arguments = len(function.regions[0].blocks[0].arguments)
    return [ir.DictAttr.get({}) for _ in range(num_arguments)]


def _merged(old: Any, new: Mapping[str, str | None]) -> Any:
    attributes = {entry.name: entry.attr for entry in ir.DictAttr(old) if entry.name not in new}
    attributes |= {name: ir.Attribute.parse(text) for name, text in new.items() if text is not None}
    return ir.DictAttr.get(attributes)


def _drop_empty_mesh(module: Any) -> None:
    dropped: list[Any] = []

    def visit(op: Any) -> Any:
        if op.name == "sdy.sharding_constraint" and f"@{_EMPTY_MESH}" in str(
            op.attributes["sharding"]
        ):
            op.results[0].replace_all_uses_with(op.operands[0])
            dropped.append(op)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for op in module.body.operations:
        if op.operation.name == "sdy.mesh" and op.attributes["sym_name"].value == _EMPTY_MESH:
            dropped.append(op.operation)
    for op in dropped:
        op.erase()
