"""A large sample of reshards takes the steps that were predicted."""

import pytest
from oracles.extent import in_part
from oracles.reshard_conformance import ReshardTrial


@pytest.mark.parametrize("mesh_shape", [(8,), (2, 4), (2, 2, 2)], ids=str)
@pytest.mark.parametrize("shape", [(16,), (8, 16), (16, 8, 8), (8, 4, 8, 2)], ids=str)
def test_reshard_takes_the_predicted_steps(
    mesh_shape: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    trial = ReshardTrial(mesh_shape, shape)
    faults = {pair: trial.faults(*pair) for pair in trial.pairs(seed=7, num_pairs=in_part(80, 250))}
    assert not {pair: found for pair, found in faults.items() if found}
