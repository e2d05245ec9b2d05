"""Which axes of a logical mesh the collectives of a program for it run over."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import prod

import numpy as np

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.xla.collectives import HloCollective
from alpa_mlir.xla.replica_groups import Groups


def axes_of(collective: HloCollective, mesh: LogicalMesh) -> tuple[str, ...] | None:
    """In the mesh's order, without axes of one device. None: groups that lie along no axes.

    Of a collective-permute, the axes along which a source and its target differ.
    """
    if collective.kind == "collective-permute":
        return _moved_along(collective.groups, mesh)
    wanted = {frozenset(group) for group in collective.groups}
    for axes in _subsets(mesh):
        if _groups_along(axes, mesh) == wanted:
            return tuple(mesh.axis_names[axis] for axis in axes)
    return None


def _subsets(mesh: LogicalMesh) -> Iterator[tuple[int, ...]]:
    long = [axis for axis, size in enumerate(mesh.axis_sizes) if size > 1]
    for count in range(len(long) + 1):
        yield from combinations(long, count)


def _groups_along(axes: tuple[int, ...], mesh: LogicalMesh) -> set[frozenset[int]]:
    grid = np.arange(mesh.num_devices).reshape(mesh.axis_sizes)
    others = [axis for axis in range(grid.ndim) if axis not in axes]
    size = prod(mesh.axis_sizes[axis] for axis in axes)
    rows = grid.transpose([*others, *axes]).reshape(-1, size)
    return {frozenset(row) for row in rows.tolist()}


def _moved_along(pairs: Groups, mesh: LogicalMesh) -> tuple[str, ...]:
    if not pairs or not pairs[0]:
        return ()
    places = np.array(np.unravel_index(np.array(pairs), mesh.axis_sizes))  # axis, pair, end
    moves = (places[:, :, 0] != places[:, :, 1]).any(axis=1)
    return tuple(name for name, is_moved in zip(mesh.axis_names, moves, strict=True) if is_moved)
