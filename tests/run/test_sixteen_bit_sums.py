"""Gradients of 16-bit products, added up over many microbatches, stay as exact as those of one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.schedule.schedule import Phase
from alpa_mlir.xla.collectives import bytes_by_kind, parse_collectives
from oracles.extent import each_nth

BATCH, FEATURES, CLASSES = 256, 24, 10
LOSS_SCALE = 8.0


def gradients_in(dtype: Any) -> Callable[..., Any]:
    """A step that returns gradients of float32 weights, whose products are of `dtype`.

    Of every kind of sum over examples: of products, of one weight used twice and of one used as
    table and as head, of a convolution, of scatters and of plain sums.
    """

    def loss(params: Any, batch: Any) -> Any:
        low = jax.tree.map(lambda w: w.astype(dtype), params)
        image = batch["image"].astype(dtype)
        image = jax.lax.conv_general_dilated(
            image, low["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        hidden = low["table"][batch["ids"]] + jax.nn.relu(image).mean((1, 2))
        hidden = jax.nn.relu(hidden @ low["w0"] + low["b0"]) * low["gain"]
        hidden = hidden + jnp.tanh(hidden @ low["w1"])
        hidden = hidden + jnp.tanh(hidden @ low["w1"])
        logits = (hidden @ low["table"].T).astype(jnp.float32)
        log_p = jax.nn.log_softmax(logits)
        return -LOSS_SCALE * jnp.take_along_axis(log_p, batch["labels"][:, None], 1).mean()

    def gradients(params: Any, batch: Any) -> Any:
        scaled, gradients = jax.value_and_grad(loss)(params, batch)
        return scaled, jax.tree.map(lambda g: g / LOSS_SCALE, gradients)

    return gradients


def arguments() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Any:
        return jnp.asarray(rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1])), jnp.float32)

    params = {
        "table": normal(CLASSES, FEATURES),
        "kernel": normal(3, 3, 2, FEATURES),
        "w0": normal(FEATURES, FEATURES),
        "b0": normal(FEATURES),
        "gain": 1 + normal(FEATURES) / 10,
        "w1": normal(FEATURES, FEATURES),
    }
    batch = {
        "image": 1 + jnp.asarray(rng.normal(size=(BATCH, 6, 6, 2)), jnp.float32),
        "ids": jnp.asarray(rng.integers(0, CLASSES, BATCH), jnp.int32),
        "labels": jnp.asarray(rng.integers(0, CLASSES, BATCH), jnp.int32),
    }
    return params, batch


def errors(gradients: Any, exact: Any) -> dict[str, float]:
    """Of each parameter, the norm of the difference over that of the gradient."""
    return {
        name: float(np.linalg.norm(np.float64(gradients[name]) - exact[name]))
        / float(np.linalg.norm(exact[name]))
        for name in exact
    }


METHOD = alpa.PipelineParallel(num_stages=2, num_microbatches=4, num_processes=0, cache_dir=None)


def slow_cluster(num_devices: int) -> alpa.Cluster:
    """Of devices so slow that it pays to share out the examples of a stage."""
    local = alpa.Cluster.local()
    slow = replace(local.device, peak_flops={"f32": 1e7}, memory_bytes_per_second=1e7)
    link = alpa.Link(1e-7, 1e10)
    return replace(local, device=slow, devices_per_node=num_devices, intra_node=link)


def pipelined(dtype: Any, num_microbatches: int, num_devices: int) -> Any:
    method = replace(METHOD, num_microbatches=num_microbatches)
    return alpa.parallelize(gradients_in(dtype), method, slow_cluster(num_devices))


@pytest.mark.parametrize(
    ("dtype", "num_microbatches", "num_devices"),
    each_nth(
        3,
        [
            (dtype, *each)
            for each in [(2, 2), (64, 2), (128, 2), (2, 8), (64, 8)]
            for dtype in (jnp.bfloat16, jnp.float16)
        ],
    ),
)
def test_many_microbatches_are_as_exact_as_one(
    dtype: Any, num_microbatches: int, num_devices: int
) -> None:
    params, batch = arguments()
    exact = jax.tree.map(np.float64, jax.jit(gradients_in(jnp.float32))(params, batch)[1])
    of_one = errors(jax.jit(gradients_in(dtype))(params, batch)[1], exact)
    step = pipelined(dtype, num_microbatches, num_devices)
    of_many = errors(step(params, batch)[1], exact)
    for name, error in of_one.items():
        assert error > 1e-4
        assert of_many[name] <= 1.2 * error, name


def depthwise_gradient(params: Any, batch: Any) -> Any:
    def loss(params: Any) -> Any:
        image = jax.lax.conv_general_dilated(
            batch["image"],
            params["kernel"],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=2,
        )
        return jnp.tanh(image.mean((1, 2)) @ params["w"]).mean()

    return jax.grad(loss)(params)


def test_kernels_of_depthwise_convolutions_are_reduced_at_once() -> None:
    """XLA adds their parts up over all devices whatever it is told: no part is left to be added."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 3, 1, 2), "w": (2, 4)}
    params = {
        name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()
    }
    batch = {"image": jnp.asarray(rng.normal(size=(BATCH, 6, 6, 2)), jnp.float32)}
    exact = jax.jit(depthwise_gradient)(params, batch)
    gradients = alpa.parallelize(depthwise_gradient, METHOD, slow_cluster(8))(params, batch)
    for name in exact:
        np.testing.assert_allclose(gradients[name], exact[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_sums_of_any_kind_are_reduced_once(dtype: Any) -> None:
    executable = pipelined(dtype, 4, 8).compile(*arguments())
    assert isinstance(executable, PipelineExecutable)
    reasons = [each.reason for each in executable.plan.collectives]
    assert sum(reason.endswith("once per step") for reason in reasons) >= 8
    assert not [reason for reason in reasons if reason.endswith("in every microbatch")]
    for kind, compiled in executable.compiled.items():
        if kind.phase == Phase.BACKWARD:
            assert not bytes_by_kind(parse_collectives(compiled.as_text() or ""))
