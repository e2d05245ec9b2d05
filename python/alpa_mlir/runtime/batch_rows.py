"""Which examples of a batch the devices of a process read: what its host has to load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jax.sharding import NamedSharding

from alpa_mlir.ir.functions import BatchDim
from alpa_mlir.runtime.arguments import cut_examples
from alpa_mlir.schedule.values import Buffer


@dataclass(frozen=True)
class BatchPart:
    """A batch argument, or a microbatch of it, on one mesh.

    Attributes:
      shape: of the part. dim: that counts its examples. rows: of the argument, along that dim.
    """

    shape: tuple[int, ...]
    dim: int
    rows: np.ndarray
    sharding: NamedSharding


def rows_of_process(parts: Iterable[BatchPart], process: int) -> np.ndarray:
    """The numbers of the examples that the process' devices read of any of the parts, ascending."""
    rows: set[int] = set()
    for part in parts:
        tiles: Mapping[Any, Any] = part.sharding.devices_indices_map(part.shape)
        for device, tile in tiles.items():
            if device.process_index == process:
                begin, end, _ = tile[part.dim].indices(part.shape[part.dim])
                rows.update(part.rows[begin:end].tolist())
    return np.array(sorted(rows), dtype=np.int64)


def microbatch_parts(
    shape: tuple[int, ...],
    batch: BatchDim,
    num_microbatches: int,
    there: Sequence[tuple[Buffer, NamedSharding]],
) -> Iterator[BatchPart]:
    """Of a batch argument of this shape, where its buffers are read."""
    dim = batch.dim
    every = np.arange(shape[dim])
    cut = cut_examples(every, replace(batch, dim=0), num_microbatches)
    part = (*shape[:dim], shape[dim] // num_microbatches, *shape[dim + 1 :])
    for buffer, sharding in there:
        if buffer.microbatch is None:
            yield BatchPart(shape, dim, every, sharding)
        else:
            yield BatchPart(part, dim, cut[buffer.microbatch], sharding)
