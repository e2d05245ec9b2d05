"""500 random programs, sharded by the solver and by dice, compute what one device computes."""

import pytest
from oracles.random_sharding import assert_unchanged_by_sharding


@pytest.mark.parametrize("seed", range(500))
def test_random_program_is_unchanged_by_sharding(seed: int) -> None:
    assert_unchanged_by_sharding(seed)
