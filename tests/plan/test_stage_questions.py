"""What is asked about a stage: all that its price depends on, and no more."""

import json
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import PlanError
from alpa_mlir.inter_op.cost_stage import cost_stage
from alpa_mlir.inter_op.costs import StageCost, StageQuestion
from alpa_mlir.inter_op.layers import LayeredStep, StageModule
from alpa_mlir.inter_op.options import StageOption
from alpa_mlir.intra_op.shard import normalize

NUM_ROWS, WIDTH = 4096, 64
DATA = np.random.default_rng(0).normal(size=(NUM_ROWS, WIDTH)).astype(np.float32)
FEW = np.arange(WIDTH)[::-1].copy()


def step(params: Any, rows: Any) -> Any:
    """Reads its examples from data in a closure."""

    def loss_fn(params: Any) -> Any:
        x = jnp.asarray(DATA)[rows][:, FEW]
        return jnp.mean((jnp.tanh(x @ params["a"]) @ params["b"]) ** 2)

    loss, grads = jax.value_and_grad(loss_fn)(params)
    return jax.tree.map(lambda w, g: w - 0.1 * g, params, grads), loss


def stage() -> StageModule:
    params = {name: jax.ShapeDtypeStruct((WIDTH, WIDTH), "float32") for name in "ab"}
    text = alpa.parallelize(step).trace(params, jax.ShapeDtypeStruct((16,), "int32")).program.text
    return LayeredStep.make(normalize(text), num_microbatches=2, num_layers=2).range(0, 2)


def question(module: StageModule, text: str) -> StageQuestion:
    return StageQuestion(
        text=text,
        key=module.key,
        mesh=LogicalMesh.of_shape((2, 4)),
        cluster=alpa.Cluster.preset("p3.16xlarge"),
        num_microbatches=2,
    )


def test_large_constants_are_asked_about_without_their_elements() -> None:
    module = stage()
    asked = question(module, module.text)
    assert len(json.dumps(asked.to_json())) < DATA.nbytes / 10
    assert cost_stage(asked) == cost_stage(question(module, module.module.text()))


def test_what_fits_when_it_is_sharded_fits_in_the_stage_dp() -> None:
    cost = StageCost((), 1.0, 2.0, 0.5, 10, 3, 40, 1, 1, False)
    option = StageOption(0, 1, 0, LogicalMesh.of_shape((1,)), cost=cost)
    for in_flight in (1, 5, 11):
        candidate = option.candidate()
        needed = candidate.resident_bytes + in_flight * candidate.activation_bytes
        assert max(needed, candidate.update_bytes) == cost.memory_bytes(in_flight)


def test_question_of_another_version_of_clusters_is_refused() -> None:
    mesh, cluster = LogicalMesh.of_shape((8,)), alpa.Cluster.preset("p3.16xlarge")
    asked = StageQuestion("module {}", "a key", mesh, cluster, 2).to_json()
    StageQuestion.from_json(asked)
    with pytest.raises(PlanError, match="cluster: expected a cluster of version 1, got 2"):
        StageQuestion.from_json({**asked, "cluster": {**asked["cluster"], "version": 2}})


def test_what_is_compiled_has_all_elements() -> None:
    assert len(stage().module.text()) > 2 * DATA.nbytes  # as hex digits
