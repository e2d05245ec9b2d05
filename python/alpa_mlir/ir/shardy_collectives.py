"""The collectives that Shardy itself would insert: a second opinion on those of a plan."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from jax.extend.mlir import ir
from jax.extend.mlir.dialects import sdy
from jax.extend.mlir.passmanager import PassManager

from alpa_mlir.errors import PassError
from alpa_mlir.ir.jaxlib import mesh_axes, parsed

_EXPLICIT_COLLECTIVES = (
    "builtin.module(sdy-propagation-pipeline,"
    "sdy-export-pipeline{enable-insert-explicit-collectives=true})"
)


@dataclass(frozen=True)
class ShardyCollective:
    """A collective that Shardy would insert. Bytes are per device; count is always one."""

    kind: str
    operand_bytes: int
    result_bytes: int
    axes: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return max(self.operand_bytes, self.result_bytes)


_SHARDY_KINDS = {
    "sdy.all_reduce": "all-reduce",
    "sdy.all_gather": "all-gather",
    "sdy.reduce_scatter": "reduce-scatter",
    "sdy.all_to_all": "all-to-all",
    "sdy.collective_permute": "collective-permute",
}


def explicit_collectives(text: str) -> list[ShardyCollective]:
    """The collectives Shardy itself inserts for an annotated module, without asking XLA.

    It has no rule for `chlo` ops (`jnp.square`, erf, ...): shardings do not propagate through them,
    and collectives behind them are missing here though XLA runs them. Loops count one iteration.
    """
    found: list[ShardyCollective] = []
    sizes = mesh_axes(text)  # the pipeline inlines or drops the mesh, depending on the version
    with parsed(text) as module:
        PassManager.parse(_EXPLICIT_COLLECTIVES).run(module.operation)

        def visit(op: Any) -> Any:
            if kind := _SHARDY_KINDS.get(op.name):
                found.append(_shardy_collective(op, kind, sizes))
            return ir.WalkResult.ADVANCE

        module.operation.walk(visit)
    return found


def _shardy_collective(op: Any, kind: str, sizes: Mapping[str, int]) -> ShardyCollective:
    sharding = sdy.TensorShardingAttr(op.attributes["out_sharding"])
    dims = [sdy.DimensionShardingAttr(dim) for dim in sharding.dimension_shardings]
    split = [sdy.AxisRefAttr(axis) for dim in dims for axis in dim.axes]
    result = _type_bytes(op.results[0].type) // prod(_axis_size(axis, sizes) for axis in split)
    axes = _collective_axes(op)
    group = prod(sizes[axis] for axis in axes) if axes else 1
    operand = {"all-gather": result // group, "reduce-scatter": result * group}.get(kind, result)
    return ShardyCollective(kind, operand, result, axes)


def _collective_axes(op: Any) -> tuple[str, ...]:
    """Axes named by the op's own attribute, whatever its form: lists of lists of quoted names."""
    text = "".join(
        str(op.attributes[name])
        for name in ("reduction_axes", "gathering_axes", "reduce_scatter_axes", "params")
        if name in op.attributes
    )
    return tuple(dict.fromkeys(part for part in text.split('"')[1::2]))


def _axis_size(axis: Any, sizes: Mapping[str, int]) -> int:
    part = axis.sub_axis_info
    return sdy.SubAxisInfoAttr(part).size if part else sizes[axis.name]


def _type_bytes(tensor: Any) -> int:
    return prod(tensor.shape) * _element_bits(str(tensor.element_type)) // 8


def _element_bits(element: str) -> int:
    """Bits of an MLIR element type: f8E4M3FN has 8, complex<f32> 64; a bool takes a byte."""
    if element == "i1":
        return 8
    digits = re.search(r"\d+", element)
    if digits is None:
        raise PassError(f"expected a numeric element type, got {element}")
    return int(digits[0]) * (2 if element.startswith("complex") else 1)
