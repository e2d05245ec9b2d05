"""How fast a device really is, by measurement: seconds by size, for each class of ops.

A roofline of peaks says what no device reaches. Curves say what one took, and where their figures
come from. The C++ cost model reads them between their points (cpp/core/mesh/EfficiencyCurve.h).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from alpa_mlir.errors import ClusterError
from alpa_mlir.fields import AS_WRITTEN, Checked, Count, RelativeError, Seconds, WholeNumber, check

# Products are counted by FLOP, memory-bound ops by the bytes they move.
ProductClass = Literal["product", "batched_product", "convolution"]
# Products that are slow for their traffic have curves of that, too.
MemoryClass = Literal["elementwise", "reduce", "transpose", "gather", "scatter", ProductClass]
CollectiveKind = Literal[
    "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"
]

Size = Annotated[float, Ge(1), Le(1e30), AS_WRITTEN]


@dataclass(frozen=True)
class Curve(Checked):
    """Seconds of one run by size: FLOP or bytes. Sizes rise, seconds do not fall.

    Between two points the seconds are interpolated, both axes logarithmic; beyond the ends the rate
    stays that of the end.
    """

    sizes: Annotated[tuple[Size, ...], MinLen(1)]
    seconds: tuple[Seconds, ...]

    def __post_init__(self) -> None:
        check(self, ClusterError)
        if len(self.sizes) != len(self.seconds):
            raise ClusterError(
                f"Curve.seconds: expected {len(self.sizes)} of them, one per size, got "
                f"{len(self.seconds)}; measure again with `alpa-plan profile`"
            )
        if any(a >= b for a, b in pairwise(self.sizes)):
            raise ClusterError(
                "Curve.sizes: expected them to rise; measure again with `alpa-plan profile`"
            )
        if self.seconds[0] <= 0 or any(a > b for a, b in pairwise(self.seconds)):
            raise ClusterError(
                "Curve.seconds: expected them above 0 and never to fall as sizes rise; measure "
                "again with `alpa-plan profile`"
            )


@dataclass(frozen=True)
class ProductCurve(Checked):
    """Products of one class and element type (MLIR's name), by FLOP."""

    op_class: ProductClass
    element_type: str
    curve: Curve


@dataclass(frozen=True)
class MemoryCurve(Checked):
    """Memory-bound ops of one class, by bytes read and written. Of a class without a curve, and of
    products without one, those of elementwise ops hold."""

    op_class: MemoryClass
    curve: Curve


@dataclass(frozen=True)
class CollectiveCurve(Checked):
    """Collectives of one kind over groups of a size, by bytes per device (of the larger of operand
    and result). A record of what was measured: plans price collectives by `Cluster.intra_node` and
    `inter_node`, whatever curves there are.

    Attributes:
      placement: whether a group lies within a node or spans nodes.
    """

    kind: CollectiveKind
    group_size: Count
    placement: Literal["node", "network"]
    curve: Curve


@dataclass(frozen=True)
class HeldOutError(Checked):
    """How far predictions are from measured ops of a class that they were not made of.

    Attributes:
      mean, worst: of |predicted - measured| / measured.
    """

    op_class: str
    num_ops: WholeNumber
    mean: RelativeError
    worst: RelativeError


@dataclass(frozen=True)
class Efficiency(Checked):
    """What a kind of device takes for its ops.

    Attributes:
      source: where the figures come from, with date and versions.
      products: for each element type that is not there, the roofline holds.
      collectives: without effect on plans.
      errors: by class, of the curves; of collectives, of the link that was fitted to them.
    """

    source: str
    products: tuple[ProductCurve, ...] = ()
    memory: tuple[MemoryCurve, ...] = ()
    collectives: tuple[CollectiveCurve, ...] = ()
    errors: tuple[HeldOutError, ...] = ()

    def __post_init__(self) -> None:
        check(self, ClusterError)
        _check_distinct("products", ((p.op_class, p.element_type) for p in self.products))
        _check_distinct("memory", (m.op_class for m in self.memory))
        keys = ((c.kind, c.group_size, c.placement) for c in self.collectives)
        _check_distinct("collectives", keys)

    @property
    def curves(self) -> dict[str, Curve]:
        """Those that plans are priced by, under the names that the cost model has for them: of
        products "product bf16" by FLOP, of what moves data "elementwise" or "product" by bytes."""
        products = {f"{p.op_class} {p.element_type}": p.curve for p in self.products}
        return products | {m.op_class: m.curve for m in self.memory}


def _check_distinct(name: str, keys: Iterable[object]) -> None:
    seen: set[object] = set()
    for key in keys:
        if key in seen:
            raise ClusterError(
                f"Efficiency.{name}: expected one curve for {key}, got two; remove one"
            )
        seen.add(key)
