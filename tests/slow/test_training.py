"""Every model under every intra-operator method and mesh trains as it does on one device."""

import alpa_mlir as alpa
import pytest
from oracles.extent import each_nth
from oracles.training_equality import CASES, assert_trains_as_on_one_device, case

METHODS = {
    "shard": alpa.ShardParallel,
    "data": alpa.DataParallel,
    "zero2": alpa.Zero2Parallel,
    "zero3": alpa.Zero3Parallel,
}
CASES_ON_MESHES = [
    (name, mesh_shape)
    for name in CASES
    for mesh_shape in [(8,), (2, 4), (2, 2, 2)]
    if len(mesh_shape) < 3 or name in ("gpt", "gpt_checkpointed", "gpt_scanned")
]

# No divisor of the number of methods, so that each of them is tried on every mesh.
TRIALS = each_nth(7, [(*each, method) for each in CASES_ON_MESHES for method in METHODS])


@pytest.mark.parametrize(
    ("name", "mesh_shape", "method"),
    TRIALS,
    ids=[f"{name}-{'x'.join(map(str, shape))}-{method}" for name, shape, method in TRIALS],
)
def test_training_equals_one_device(
    name: str, mesh_shape: tuple[int, ...], method: str, capfd: pytest.CaptureFixture[str]
) -> None:
    step = alpa.parallelize(case(name).train_step, method=METHODS[method](mesh_shape=mesh_shape))
    assert_trains_as_on_one_device(name, step)
    assert "nvoluntary full rematerialization" not in capfd.readouterr().err
