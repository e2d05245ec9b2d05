"""How annotated modules meet their callers, read with jaxlib's MLIR from what was written.

The oracle for `ShardingModel.boundary`, which says it before anything is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from alpa_mlir.ir.jaxlib import parsed
from alpa_mlir.ir.spec import Spec
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import sdy


@dataclass(frozen=True)
class WrittenBoundary:
    """How an annotated module meets its callers.

    Attributes:
      arguments, results: sharding of each, per dim its axes, major first.
    """

    arguments: tuple[Spec, ...]
    results: tuple[Spec, ...]


def read_boundary(text: str) -> WrittenBoundary:
    """Reads the attributes of @main's arguments and results."""
    with parsed(text) as module:
        main = next(op for op in module.body.operations if op.operation.name == "func.func")
        kind = ir.FunctionType(ir.TypeAttr(main.attributes["function_type"]).value)
        return WrittenBoundary(
            _specs(main, "arg_attrs", [ir.RankedTensorType(t).rank for t in kind.inputs]),
            _specs(main, "res_attrs", [ir.RankedTensorType(t).rank for t in kind.results]),
        )


def _specs(function: Any, attribute: str, ranks: Sequence[int]) -> tuple[Spec, ...]:
    if attribute not in function.attributes:
        return tuple(((),) * rank for rank in ranks)
    specs: list[Spec] = []
    for attributes, rank in zip(ir.ArrayAttr(function.attributes[attribute]), ranks, strict=True):
        named = {entry.name: entry.attr for entry in ir.DictAttr(attributes)}
        if "sdy.sharding" not in named:
            specs.append(((),) * rank)
            continue
        dims = sdy.TensorShardingAttr(named["sdy.sharding"]).dimension_shardings
        specs.append(
            tuple(
                tuple(sdy.AxisRefAttr(axis).name for axis in sdy.DimensionShardingAttr(dim).axes)
                for dim in dims
            )
        )
    return tuple(specs)
