"""Constructs that turn activations into a loss; most leave one number per row in `losses`."""

from programs.random_steps.layers import BOTH
from programs.random_steps.registry import construct, is_even_in_halves
from programs.random_steps.writer import Writer


def _rows(w: Writer) -> None:
    """float32 activations of rows and features."""
    w.write(f"h = {w.mean_over_time()}.astype(jnp.float32)")
    w.layout = "bf"


def _errors(w: Writer) -> None:
    _rows(w)
    target = w.row("y", "floats(B, F)")
    w.write(f"losses = ((h @ {w.matrix()} - {target}) ** 2).mean(-1)")


def _cross_entropies(w: Writer) -> None:
    _rows(w)
    w.write(f"log_p = jax.nn.log_softmax(h @ {w.matrix(fan_out=5)})")


@construct("loss", weight=4)
def mean_of_squares(w: Writer) -> None:
    _errors(w)
    w.write("loss = losses.mean()")


@construct("loss", weight=2)
def sum_of_squares(w: Writer) -> None:
    _errors(w)
    w.write("loss = losses.sum()")


@construct("loss", weight=2)
def cross_entropy(w: Writer) -> None:
    _cross_entropies(w)
    w.write(f"losses = -(log_p * jax.nn.one_hot({w.ids()}, 5)).sum(-1)", "loss = losses.mean()")


@construct("loss", weight=2)
def cross_entropy_by_position(w: Writer) -> None:
    _cross_entropies(w)
    w.write(f"losses = -log_p[jnp.arange({w.sizes['b']}), {w.ids()}]", "loss = losses.mean()")


@construct("loss")
def cross_entropy_along_axis(w: Writer) -> None:
    _cross_entropies(w)
    w.write(f"losses = -jnp.take_along_axis(log_p, {w.ids()}[:, None], -1)[:, 0]")
    w.write("loss = losses.mean()")


@construct("loss", "batch alone", weight=3)
def padded_examples(w: Writer) -> None:
    """Some examples only fill the batch; the others are counted."""
    _errors(w)
    mask = w.row("mask", "(integers(4, B) > 0).astype(np.float32)")
    total = w.whole("total", 'jnp.maximum(rows["mask"].sum(), 1)')
    w.write(f"losses = losses * {mask}", f"loss = losses.sum() / {total}")


@construct("loss", "batch alone", weight=2)
def class_weights(w: Writer) -> None:
    """Rare classes count more."""
    _cross_entropies(w)
    ids = w.ids()
    counts = w.whole("counts", 'jnp.zeros(5).at[rows["ids"]].add(1.0)')
    w.write(f"losses = -(log_p * jax.nn.one_hot({ids}, 5)).sum(-1)")
    w.write(f"loss = (losses / (1 + {counts})[{ids}]).sum()")


@construct("loss")
def regularized(w: Writer) -> None:
    """A part of the loss that has nothing to do with the batch: it counts once."""
    _errors(w)
    w.write("sizes = sum(jnp.sum(jnp.abs(v) ** 2) for v in jax.tree.leaves(p))")
    w.write("loss = losses.mean() + 0.1 * sizes")


@construct("loss", "with parameters")
def contrastive(w: Writer) -> None:
    _rows(w)
    w.write(f"u = jnp.tanh(h @ {w.matrix()})", "log_p = jax.nn.log_softmax(u @ u.T)")
    w.write("losses = -jnp.diagonal(log_p)", "loss = losses.mean()")


@construct("loss", is_possible=is_even_in_halves, is_checkpoint=BOTH)
def summed_in_chunks(w: Writer, is_checkpoint: bool) -> None:
    """A loop over parts of the batch that the user wrote, to save memory."""
    _errors(w)
    rows, features = w.sizes["b"], w.sizes["f"]
    w.write(f"chunks = h.reshape(2, {rows // 2}, {features})")
    part = f"lambda total, c: (total + jnp.sum(jnp.tanh(c @ {w.matrix()}) ** 2), None)"
    w.write(f"part = {f'jax.checkpoint({part})' if is_checkpoint else part}")
    w.write(f"loss = losses.mean() + lax.scan(part, jnp.float32(0), chunks)[0] / {rows}")


@construct("loss", weight=2)
def agreement_of_views(w: Writer) -> None:
    """Where every example comes as two rows, these are compared: chosen and rejected, say."""
    _errors(w)
    w.write("loss = losses.mean()")
    if w.has_two_views:
        w.write("first, second = jnp.split(h, 2)")
        w.write("loss = loss - jax.nn.log_sigmoid((first - second).sum(-1)).mean()")


@construct("loss", "with parameters", is_rarely_visible=True)
def hardest_examples(w: Writer) -> None:
    _errors(w)
    w.write("loss = lax.top_k(losses, 2)[0].mean()")


@construct("loss", "with parameters")
def logarithm_of_a_mean(w: Writer) -> None:
    _errors(w)
    w.write("loss = jnp.log(jnp.mean(jnp.exp(0.3 * losses)))")


@construct("loss", "with parameters")
def spread_over_examples(w: Writer) -> None:
    _errors(w)
    w.write("loss = losses.mean() + 0.1 * h.var(0).sum()")


@construct("loss", "with parameters")
def product_of_means(w: Writer) -> None:
    _errors(w)
    w.write("loss = losses.mean() * (1 + jnp.tanh(h).mean())")
