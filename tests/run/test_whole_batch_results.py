"""What microbatches leave, combined: sums and joined examples."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.ir.functions import BatchDim
from alpa_mlir.program.pipeline import COMBINERS
from alpa_mlir.runtime.accumulate import compile_accumulation
from alpa_mlir.runtime.results import compile_join
from jax.sharding import Mesh, NamedSharding, PartitionSpec


@pytest.mark.parametrize("combiner", COMBINERS)
def test_accumulation_combines(combiner: str) -> None:
    dtype = bool if combiner in ("and", "or") else np.float32
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 3, (4, 4)).astype(dtype) for _ in range(2))
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("x",)), PartitionSpec("x"))
    add = compile_accumulation([combiner], [a], [sharding])
    (actual,) = add(*jax.device_put([a, b], [sharding, sharding]))
    expected = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum,
                "and": np.logical_and, "or": np.logical_or}[combiner](a, b)  # fmt: skip
    np.testing.assert_array_equal(np.asarray(actual), expected)


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
