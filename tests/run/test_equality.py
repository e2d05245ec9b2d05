"""A sample of what tests/slow does in full: sharding changes no result."""

import alpa_mlir as alpa
import pytest
from alpa_mlir.options import Method
from oracles.random_sharding import (
    assert_slices_unchanged_by_sharding,
    assert_unchanged_by_sharding,
)
from oracles.training_equality import assert_trains_as_on_one_device, case


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("mlp_odd", alpa.ShardParallel(mesh_shape=(2, 2, 2))),
        ("gpt", alpa.ShardParallel(mesh_shape=(2, 4))),
        ("flax_linen", alpa.Zero3Parallel(mesh_shape=(8,))),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_training_equals_one_device(name: str, method: Method) -> None:
    step = alpa.parallelize(case(name).train_step, method)
    assert_trains_as_on_one_device(name, step)


# What XLA gets wrong, so that we do not offer it: 124 scatters a single update to a split dim, 425
# splits the channels within the groups of a depthwise convolution.
@pytest.mark.parametrize("seed", [*range(12), 124, 425])
def test_random_program_is_unchanged_by_sharding(seed: int) -> None:
    assert_unchanged_by_sharding(seed)


@pytest.mark.parametrize("seed", range(8))
def test_slices_with_starts_out_of_range_are_unchanged_by_sharding(seed: int) -> None:
    assert_slices_unchanged_by_sharding(seed)
