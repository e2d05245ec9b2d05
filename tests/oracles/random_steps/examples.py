"""Whether examples meet, by numbers: does changing example i change what example j contributes?

Contributions are not visible, but their sums are: gradients G are sums over examples if and only if
all second differences vanish,

    G(i', j') - G(i', j) - G(i, j') + G(i, j) = 0,

where i' is example i replaced by another one. Everything is computed in float64, so that only what
meets differs from zero. Two things may be the examples: those of the batch, and the rows that the
step makes of them before it reads a parameter (`prepare` of the source); sums over either can be
split. Values of the whole batch that `prepare` leaves can be computed before the first microbatch,
so they are held fixed.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from programs.random_steps.source import load

NUM_TRIALS = 8
TOLERANCE = 1e-9  # of the largest gradient


@dataclass(frozen=True)
class Meeting:
    """Attributes:
    with_parameters: examples of different microbatches meet in what depends on parameters.
    in_batch_alone: they meet, but only in what can be computed before.
    """

    with_parameters: bool
    in_batch_alone: bool


def in_double_precision(text: str) -> str:
    text = re.sub(r"\b(bfloat16|float16|float32)\b", "float64", text)
    return text.replace("complex64", "complex128")


def examples_meet(text: str, num_microbatches: int) -> Meeting:
    """Of the step with this source. One microbatch is taken as two: nothing could meet."""
    with jax.enable_x64(True):
        module = load(in_double_precision(text))
        state = module["init"]()
        differentiated = module.get("gradients")

        @jax.jit
        def sums(rows: Any, whole: Any) -> Any:
            if differentiated is None:
                return module["forward"](state["p"], state, rows, whole)[0]
            return differentiated(state, rows, whole)[1]

        prepare = jax.jit(lambda batch: module["prepare"](state, batch))
        batches = [module["make_batch"](i) for i in range(NUM_TRIALS + 1)]
        prepared = [prepare(batch) for batch in batches]
        fixed = prepared[0][1]

        def meets(function: Callable[[Any], Any], examples: list[Any], keys: Any) -> bool:
            return _meets(function, examples, keys, max(num_microbatches, 2))

        names = tuple(prepared[0][0])
        of_rows = [rows for rows, _ in prepared]
        if not meets(lambda batch: sums(*prepare(batch)), batches, names):
            return Meeting(with_parameters=False, in_batch_alone=False)
        with_parameters = meets(
            lambda batch: sums(prepare(batch)[0], fixed), batches, names
        ) and meets(lambda rows: sums(rows, fixed), of_rows, names)
        return Meeting(with_parameters, not with_parameters)


def _meets(
    function: Callable[[Any], Any], examples: list[Any], names: Any, num_microbatches: int
) -> bool:
    base = examples[0]
    total = _flat(function(base))
    scale = max(float(np.abs(total).max()), 1e-12)
    for i, j, other in _pairs(base["x"].shape[0], num_microbatches, examples[1:]):
        first, second = _replaced(base, other, names, i), _replaced(base, other, names, j)
        both = _replaced(first, other, names, j)
        parts = [_flat(function(each)) for each in (both, first, second)]
        difference = np.abs(parts[0] - parts[1] - parts[2] + total).max()
        largest = max(scale, *(float(np.abs(part).max()) for part in parts))
        if not difference <= TOLERANCE * largest:
            return True
    return False


def _pairs(
    num_examples: int, num_microbatches: int, others: list[Any]
) -> Iterator[tuple[int, int, Any]]:
    """Two examples of different microbatches, and the batch that replaces them."""
    rng = np.random.default_rng(0)
    size = max(num_examples // num_microbatches, 1)
    for trial, other in enumerate(others):
        i = int(rng.integers(num_examples))
        j = int(rng.choice([j for j in range(num_examples) if j // size != i // size]))
        if trial == 0:  # neighbours
            i, j = size - 1, size
        larger = 3.0 if trial % 2 else 1.0  # decisions fall otherwise for large values
        yield i, j, {**other, "x": np.asarray(other["x"]) * larger}


def _replaced(batch: dict[str, Any], other: dict[str, Any], names: Any, i: int) -> dict[str, Any]:
    changed = dict(batch)
    for name in names:
        changed[name] = np.array(batch[name])
        changed[name][i] = np.asarray(other[name])[i]
    return changed


def _flat(tree: Any) -> np.ndarray:
    leaves = [np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaf.astype(np.complex128) for leaf in leaves])
