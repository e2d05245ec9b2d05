"""Random programs, sharded by the solver and by dice, compute what one device computes."""

import pytest
from oracles.extent import in_part
from oracles.random_sharding import assert_unchanged_by_sharding


@pytest.mark.parametrize("seed", range(in_part(80, 500)))
def test_random_program_is_unchanged_by_sharding(seed: int) -> None:
    assert_unchanged_by_sharding(seed)
