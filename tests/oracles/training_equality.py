"""The oracle for whole models: trained on a mesh, a model must end where one device takes it.

Every case is a `Workload` of debug size: the models of `alpa_mlir.models`, and others in
plain JAX, flax and equinox. The error of a leaf is max|actual - expected| / max|expected|;
integers, bools and PRNG keys must be equal.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from alpa_mlir.models.workload import Workload, workload
from programs.models_of_others import encoder_decoder, equinox_mixer, flax_linen, flax_nnx, unet

NUM_STEPS = 5
BATCH_SIZE = 16
TOLERANCE = 1e-4

# See `models_of_others.optimizer` for why epsilon is large.
_adamw = optax.adamw(1e-2, eps=1e-4)
_momentum = optax.sgd(0.05, momentum=0.9)

CASES: dict[str, Callable[[], Workload]] = {
    "mlp": lambda: workload("mlp", "debug", BATCH_SIZE, _adamw),
    "gpt": lambda: workload("gpt", "debug", BATCH_SIZE, _adamw),
    "gpt_checkpointed": lambda: workload("gpt", "debug", BATCH_SIZE, _adamw, form="checkpointed"),
    "gpt_scanned": lambda: workload("gpt", "debug", BATCH_SIZE, _adamw, form="scanned"),
    "moe": lambda: workload("moe", "debug", BATCH_SIZE, _adamw),
    "llama": lambda: workload("llama", "debug", BATCH_SIZE, _adamw),
    "llama_checkpointed": lambda: workload(
        "llama", "debug", BATCH_SIZE, _adamw, recomputes_layers=True
    ),
    "fine_moe": lambda: workload("fine_moe", "debug", BATCH_SIZE, _adamw),
    "wide_resnet": lambda: workload("wide_resnet", "debug", BATCH_SIZE, _momentum),
    # Sizes that no mesh divides: 7 examples, 5 heads of 6, 13 tokens, 31 words.
    "gpt_odd": lambda: workload(
        "gpt",
        "debug",
        7,
        _adamw,
        hidden_size=30,
        num_heads=5,
        sequence_length=13,
        vocabulary_size=31,
    ),
    "mlp_odd": lambda: workload("mlp", "debug", 6, _adamw, hidden_size=30),
    "flax_linen": flax_linen.workload,
    "flax_nnx": flax_nnx.workload,
    "equinox_mixer": equinox_mixer.workload,
    "unet": unet.workload,
    "encoder_decoder": encoder_decoder.workload,
}


@functools.cache
def case(name: str) -> Workload:
    return CASES[name]()


@functools.cache
def _initial_state(name: str) -> Any:
    return jax.jit(case(name).init_state)(jax.random.key(0))


@functools.cache
def batches(name: str) -> list[Any]:
    keys = jax.random.split(jax.random.key(1), NUM_STEPS)
    return [case(name).example_batch(key) for key in keys]


def train(
    name: str, step: Callable[..., Any], on: list[Any] | None = None
) -> tuple[Any, list[Any]]:
    """The state after the last step, and what each step returned beside it."""
    state = jax.tree.map(jnp.copy, _initial_state(name))  # the step may donate its argument
    metrics: list[Any] = []
    for batch in batches(name) if on is None else on:
        state, metric = step(state, batch)
        metrics.append(metric)
    return state, metrics


@functools.cache
def one_device_step(name: str) -> Callable[..., Any]:
    return jax.jit(case(name).train_step)


@functools.cache
def train_on_one_device(name: str) -> tuple[Any, list[Any]]:
    return train(name, one_device_step(name))


def relative_errors(actual: Any, expected: Any) -> dict[str, float]:
    """Error per leaf by its path; infinite where equality is required and absent."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    leaves = jax.tree_util.tree_leaves_with_path(expected)
    return {
        jax.tree_util.keystr(path): _relative_error(_on_host(a), _on_host(e))
        for (path, e), a in zip(leaves, jax.tree.leaves(actual), strict=True)
    }


def _on_host(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)


def _relative_error(actual: np.ndarray, expected: np.ndarray) -> float:
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return float("inf")
    if np.array_equal(actual, expected):
        return 0.0
    if not np.issubdtype(expected.dtype, np.floating):
        return float("inf")
    difference, scale = np.abs(actual - expected).max(), np.abs(expected).max()
    error = difference / scale if scale > 0 else float("inf")
    return float(error) if np.isfinite(error) else float("inf")


def assert_trains_as_on_one_device(name: str, step: Callable[..., Any]) -> None:
    assert_close(train(name, step), train_on_one_device(name))


def assert_close(actual: Any, expected: Any) -> None:
    errors = relative_errors(actual, expected)
    worst = sorted(errors.items(), key=lambda item: -item[1])[:5]
    assert worst[0][1] <= TOLERANCE, "\n".join(f"{error:.1e}  {path}" for path, error in worst)
