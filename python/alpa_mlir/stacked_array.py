"""An array whose rows lie on the meshes of unlike stages, which no `jax.Array` can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class StackedArray(NDArrayOperatorsMixin):
    """Rows of an array, each where the stage that uses it keeps it. A leaf of pytrees.

    NumPy, its operators among them, takes it as the array it stands for, on the host; so do
    `jnp.asarray`, `jax.device_get` and `alpa.save`. A function under `jax.jit` takes
    `jnp.asarray(leaf)`.

    Attributes:
      rows: arrays that follow one another along `dim`.
    """

    def __init__(self, rows: Sequence[jax.Array], dim: int) -> None:
        self.rows = tuple(rows)
        self.dim = dim

    @property
    def shape(self) -> tuple[int, ...]:
        first, dim = self.rows[0].shape, self.dim
        return (*first[:dim], sum(row.shape[dim] for row in self.rows), *first[dim + 1 :])

    @property
    def dtype(self) -> Any:
        return self.rows[0].dtype

    @property
    def ndim(self) -> int:
        return self.rows[0].ndim

    @property
    def size(self) -> int:
        return sum(row.size for row in self.rows)

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows)

    @property
    def weak_type(self) -> bool:
        return self.rows[0].weak_type

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        return np.asarray(self)[index]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.concatenate([np.asarray(row) for row in self.rows], self.dim)
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        on_host = [np.asarray(each) if isinstance(each, StackedArray) else each for each in inputs]
        return getattr(ufunc, method)(*on_host, **options)

    def __repr__(self) -> str:
        return f"StackedArray({self.dtype}{list(self.shape)} in {len(self.rows)} rows)"

    def block_until_ready(self) -> StackedArray:
        jax.block_until_ready(self.rows)
        return self

    def is_deleted(self) -> bool:
        return any(row.is_deleted() for row in self.rows)

    def delete(self) -> None:
        for row in self.rows:
            row.delete()


def on_host(tree: Any) -> Any:
    """With NumPy's arrays in place of stacked ones, for whom nothing else will do."""
    return jax.tree.map(lambda x: np.asarray(x) if isinstance(x, StackedArray) else x, tree)
