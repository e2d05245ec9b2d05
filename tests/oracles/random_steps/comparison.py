"""Two training steps as asked and on one device, leaf by leaf.

How much rounding may change a leaf is measured: inputs are changed by about as much as rounding
changes values, and what the results then differ by is what they may differ by. With 16 bits they
may also differ by as much as those with 32 do. A leaf that differs by much is not judged, and the
program is called unstable.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from programs.random_steps.source import load, write_source
from programs.random_steps.spec import RandomStep

NUM_STEPS = 2
NUM_PERTURBED = 3
# By the type that the model computes in: what always is allowed.
TOLERANCES = {"float32": 5e-5, "bfloat16": 4e-3, "float16": 1e-3}
CHANGE = 1e-6  # of inputs, relative
AMPLIFICATION = 10.0
UNSTABLE_ABOVE = 0.1  # of the largest element of a leaf

Outputs = list[Any]


@dataclass(frozen=True)
class Comparison:
    """Which leaf is wrong, and which cannot be judged; empty for none."""

    wrong: str
    unjudged: str


def train(
    step: Callable[..., Any],
    module: dict[str, Any],
    mode: str,
    change: Callable[[Any], Any] = lambda tree: tree,
) -> Outputs:
    """What every step returned, on the host."""
    state, outputs = change(module["init"]()), list[Any]()
    for i in range(NUM_STEPS):
        result = step(state, change(module["make_batch"](i)))
        outputs.append(jax.tree.map(_on_host, result))
        if mode == "train":
            state = result[0]
    return outputs


def _on_host(leaf: Any) -> np.ndarray:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.array(leaf)


def compare(
    actual: Outputs, reference: Outputs, module: dict[str, Any], step: RandomStep
) -> Comparison:
    if jax.tree.structure(actual) != jax.tree.structure(reference):
        return Comparison("the results have another structure", "")
    leaves = jax.tree_util.tree_leaves_with_path(reference)
    pairs = [(a, e) for a, (_, e) in zip(jax.tree.leaves(actual), leaves, strict=True)]
    if all(a.dtype == e.dtype and np.array_equal(a, e, equal_nan=_is_inexact(e)) for a, e in pairs):
        return Comparison("", "")
    perturbed = [jax.tree.leaves(outputs) for outputs in _perturbed(module, step)]
    wrong, unjudged = "", ""
    for i, (path, expected) in enumerate(leaves):
        spread = max(_difference(other[i], expected) for other in perturbed)
        scale = _largest(expected)
        allowed = TOLERANCES[step.low] * scale + AMPLIFICATION * spread
        difference = _difference(pairs[i][0], expected)
        name = f"step {jax.tree_util.keystr(path)} {expected.dtype}{list(expected.shape)}"
        if allowed > UNSTABLE_ABOVE * scale:
            unjudged = unjudged or name
        if not difference <= allowed:
            numbers = f"{difference:.1e} of {scale:.1e}, allowed {allowed:.1e}"
            wrong = wrong or f"{name} differs by {numbers}"
    return Comparison(wrong, unjudged)


def _perturbed(module: dict[str, Any], step: RandomStep) -> list[Outputs]:
    function = jax.jit(module["step"])
    runs: list[Outputs] = []
    if step.low != "float32":
        precise = load(write_source(replace(step, low="float32")).text)
        runs.append(train(jax.jit(precise["step"]), precise, step.mode))
    for seed in range(NUM_PERTURBED):
        rng = np.random.default_rng(seed)

        def change(leaf: Any, rng: np.random.Generator = rng) -> Any:
            if not jnp.issubdtype(leaf.dtype, jnp.inexact):
                return leaf
            factor = 1 + CHANGE * rng.choice([-1, 1], leaf.shape)
            return (leaf * factor).astype(leaf.dtype)

        def change_all(tree: Any, change: Callable[[Any], Any] = change) -> Any:
            return jax.tree.map(change, tree)

        runs.append(train(function, module, step.mode, change_all))
    return runs


def _is_inexact(array: np.ndarray) -> bool:
    return jnp.issubdtype(array.dtype, jnp.inexact)


def _largest(array: np.ndarray) -> float:
    if not _is_inexact(array):
        return 1.0
    finite = array[np.isfinite(array)]
    return float(np.abs(finite).max()) if finite.size else 1.0


def _difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference; infinite where types or what is finite differ."""
    if actual.shape != expected.shape or actual.dtype != expected.dtype:
        return float("inf")
    if not _is_inexact(expected):
        return 0.0 if np.array_equal(actual, expected) else float("inf")
    is_finite = np.isfinite(expected)
    if not np.array_equal(is_finite, np.isfinite(actual)):
        return float("inf")
    if not np.array_equal(actual[~is_finite], expected[~is_finite], equal_nan=True):
        return float("inf")
    difference = np.abs(actual[is_finite] - expected[is_finite])
    return float(difference.max()) if difference.size else 0.0
