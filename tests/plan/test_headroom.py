"""Near the limit of a GPU's memory XLA is told to use no more than was planned."""

from dataclasses import replace
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir import stations
from alpa_mlir.cost.headroom import scheduler_options
from alpa_mlir.errors import CompileError

GPUS = alpa.Cluster.preset("dgx-h100")
OPTION = "xla_gpu_enable_analytical_sol_latency_estimator"
WEIGHTS = jax.ShapeDtypeStruct((64, 64), jnp.float32)


def _lower(cluster: alpa.Cluster) -> stations.Lowered:
    step = alpa.parallelize(
        lambda w: w @ w, alpa.ShardParallel(mesh_shape=(8,)), cluster, batch_argnums=()
    )
    lowered = step.lower(WEIGHTS)
    assert isinstance(lowered, stations.Lowered)
    return lowered


def _with_memory(memory_bytes: int) -> alpa.Cluster:
    return replace(GPUS, device=replace(GPUS.device, memory_bytes=memory_bytes))


def test_scheduler_options_from_half_of_the_memory_on() -> None:
    device = GPUS.device
    half = device.memory_bytes // 2
    assert scheduler_options(device, half) == {}
    assert scheduler_options(device, half + 1) == {OPTION: False}
    assert scheduler_options(replace(device, platform="cpu"), half + 1) == {}


@pytest.mark.parametrize(
    ("share", "given", "expected"),
    [
        (0.9, None, {OPTION: False}),
        (0.9, {OPTION: True}, {OPTION: True}),
        (0.1, {"other": 1}, {"other": 1}),
        (0.1, None, None),
    ],
)
def test_compile_passes_the_options_that_memory_asks_for(
    share: float, given: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lowered = _lower(_with_memory(round(_lower(GPUS).plan.memory_bytes / share)))
    passed: list[Any] = []

    def compile_program(program: Any, mesh: Any, options: Any) -> Any:
        passed.append(options)
        raise CompileError("asked")

    monkeypatch.setattr(stations, "compile_program", compile_program)
    monkeypatch.setattr(type(lowered.plan.cluster), "devices", lambda _: jax.devices("cpu"))
    with pytest.raises(CompileError):
        lowered.compile(given)
    assert passed == [expected]


def test_explain_says_what_xla_may_use() -> None:
    needed = _lower(GPUS).plan.memory_bytes
    assert "needed; XLA may use more" in _lower(GPUS).plan.explain()
    assert "needed; XLA is kept from" in _lower(_with_memory(needed + 1)).plan.explain()
    on_cpu = replace(GPUS, device=replace(GPUS.device, platform="cpu"))
    assert "XLA" not in _lower(on_cpu).plan.explain()
