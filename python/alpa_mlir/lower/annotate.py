"""Writes shardings into a module as XLA obeys them."""

from __future__ import annotations

from alpa_mlir.intra_op.shard import ShardedModule
from alpa_mlir.ir.passes import run_passes

ANNOTATE = ("alpa-annotate-shardings", "alpa-verify-shardings")


def annotated_text(sharded: ShardedModule) -> str:
    """The module in generic form, with its choices. To be called once."""
    sharded.model.apply(sharded.choices)
    run_passes(sharded.module, *ANNOTATE)
    return sharded.module.text(with_locations=True)
