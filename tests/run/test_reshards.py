"""Reshards take the steps that were predicted, and XLA never replicates a tensor for one."""

import pytest
from oracles.reshard_conformance import ReshardTrial


@pytest.mark.parametrize(
    ("mesh_shape", "shape", "num_pairs"),
    [((8,), (16, 8, 8), 12), ((2, 4), (8, 16), 24), ((2, 2, 2), (16, 8, 8), 24)],
    ids=str,
)
def test_reshard_takes_the_predicted_steps(
    mesh_shape: tuple[int, ...], shape: tuple[int, ...], num_pairs: int
) -> None:
    trial = ReshardTrial(mesh_shape, shape)
    faults = {pair: trial.faults(*pair) for pair in trial.pairs(0, num_pairs)}
    assert not {pair: found for pair, found in faults.items() if found}
