"""What microbatches leave, combined: sums and joined examples."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.ir.functions import BatchDim
from alpa_mlir.program.pipeline import COMBINERS
from alpa_mlir.runtime.results import compile_join
from alpa_mlir.runtime.sums import compile_start
from jax.sharding import Mesh, NamedSharding, PartitionSpec


@pytest.mark.parametrize("combiner", COMBINERS)
@pytest.mark.parametrize("dtype", [np.float32, np.int32, jnp.bfloat16, bool])
def test_sums_start_with_what_changes_nothing(combiner: str, dtype: Any) -> None:
    is_logical, is_number = combiner in ("and", "or"), dtype is not bool
    if is_logical and is_number and dtype is not np.int32 or not is_logical and not is_number:
        pytest.skip("no such sums")
    values = np.random.default_rng(0).integers(-3 if is_number else 0, 3, (4, 4)).astype(dtype)
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("x",)), PartitionSpec("x"))
    (start,) = compile_start([combiner], [values], [sharding])()
    assert (start.sharding, start.dtype) == (sharding, values.dtype)
    combine = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
               "and": np.bitwise_and, "or": np.bitwise_or}[combiner]  # fmt: skip
    np.testing.assert_array_equal(combine(np.asarray(start), values), values)


@pytest.mark.parametrize(("outer", "minor", "dim"), [(1, 1, 0), (1, 3, 1), (2, 1, 0), (2, 3, 1)])
def test_examples_are_joined_within_folded_dims(outer: int, minor: int, dim: int) -> None:
    size, num_parts = 8, 4
    whole = np.arange(outer * size * minor * 2).reshape(outer, size, minor, 2)
    parts = [p.reshape(-1, 2) for p in np.split(whole, num_parts, axis=1)]
    expected = whole.reshape(-1, 2)
    if dim == 1:
        parts, expected = [p.T for p in parts], expected.T
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("x",)), PartitionSpec("x"))
    struct = jax.ShapeDtypeStruct(parts[0].shape, jnp.int32)
    join = compile_join(struct, sharding, BatchDim(dim, size, minor), num_parts)
    actual = join(*[jax.device_put(jnp.asarray(p, jnp.int32), sharding) for p in parts])
    np.testing.assert_array_equal(np.asarray(actual), expected)
