"""Constructs of what a step returns beside the state: joined values of examples, and metrics.

Values that leave the examples and go only into results never hinder a split.
"""

from programs.random_steps.registry import construct
from programs.random_steps.writer import Writer


def _losses(w: Writer) -> str:
    w.aux["losses"] = "losses"
    return 'aux["losses"]'


def _rows(w: Writer) -> str:
    w.aux["rows"] = "h"
    return 'aux["rows"]'


@construct("result", weight=2)
def losses_of_examples(w: Writer) -> None:
    w.results["losses"] = _losses(w)


@construct("result")
def predictions(w: Writer) -> None:
    w.results["predictions"] = _rows(w)


@construct("result")
def transposed_predictions(w: Writer) -> None:
    w.results["transposed_predictions"] = f"{_rows(w)}.T"


@construct("result")
def classes(w: Writer) -> None:
    w.results["classes"] = f"jnp.argmax({_rows(w)}, -1)"


@construct("result")
def accuracy(w: Writer) -> None:
    w.aux["correct"] = f"(jnp.argmax(h, -1) == {w.ids()}).astype(jnp.float32).mean()"
    w.results["accuracy"] = 'aux["correct"]'


@construct("result")
def count_of_correct(w: Writer) -> None:
    w.aux["count"] = f"(jnp.argmax(h, -1) == {w.ids()}).sum()"
    w.results["count_of_correct"] = 'aux["count"]'


@construct("result")
def largest_loss(w: Writer) -> None:
    w.results["largest_loss"] = f"{_losses(w)}.max()"


@construct("result")
def worst_example(w: Writer) -> None:
    w.results["worst_example"] = f"jnp.argmax({_losses(w)})"


@construct("result")
def first_loss(w: Writer) -> None:
    w.results["first_loss"] = f"{_losses(w)}[0]"


@construct("result")
def top_losses(w: Writer) -> None:
    w.results["top_losses"] = f"lax.top_k({_losses(w)}, 2)"


@construct("result")
def sorted_losses(w: Writer) -> None:
    w.results["sorted_losses"] = f"jnp.sort({_losses(w)})"


@construct("result")
def reversed_losses(w: Writer) -> None:
    w.results["reversed_losses"] = f"{_losses(w)}[::-1]"


@construct("result")
def spread_of_losses(w: Writer) -> None:
    w.results["spread"] = f"{_losses(w)}.std()"


@construct("result")
def mean_activation(w: Writer) -> None:
    w.results["mean_activation"] = f"{_rows(w)}.mean(0)"


@construct("result")
def sums_of_segments(w: Writer) -> None:
    w.aux["segments"] = f"jax.ops.segment_sum(losses, {w.ids()}, 5)"
    w.results["segments"] = 'aux["segments"]'


@construct("result")
def histogram(w: Writer) -> None:
    w.aux["histogram"] = f"jax.nn.one_hot({w.ids()}, 5).sum(0)"
    w.results["histogram"] = 'aux["histogram"]'


@construct("result")
def is_finite(w: Writer) -> None:
    w.aux["is_finite"] = "jnp.isfinite(losses).all()"
    w.results["is_finite"] = 'aux["is_finite"]'


@construct("result")
def norm_of_gradients(w: Writer) -> None:
    if not w.has_gradients:
        return
    w.results["norm"] = "jnp.sqrt(sum(jnp.sum(jnp.abs(v) ** 2) for v in jax.tree.leaves(g)))"
