"""Small training steps with everything in them that makes splitting a batch delicate."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from programs.small_programs import Program

BATCH_SIZE = 8
FEATURES = 6
CLASSES = 5


def _params() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) * 0.5

    return {"in": normal(FEATURES, 16), "bias": normal(16), "out": normal(16, CLASSES)}


def _batch() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "x": rng.normal(size=(BATCH_SIZE, 3, FEATURES)).astype(np.float32),
        "label": rng.integers(0, CLASSES, (BATCH_SIZE, 3)).astype(np.int32),
        "weight": rng.integers(0, 2, (BATCH_SIZE, 3)).astype(np.float32),
    }


def _logits(params: Any, x: Any, key: Any | None = None) -> Any:
    hidden = jax.nn.gelu(x @ params["in"] + params["bias"])
    if key is not None:
        kept = jax.random.bernoulli(key, 0.75, hidden.shape)
        hidden = jnp.where(kept, hidden / 0.75, 0)
    return hidden @ params["out"]


def _losses(logits: Any, batch: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])


def mean_loss_sgd(params: Any, batch: Any) -> Any:
    def loss_fn(params: Any) -> Any:
        return _losses(_logits(params, batch["x"]), batch).mean()

    loss, gradients = jax.value_and_grad(loss_fn)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), loss


def sum_loss_momentum(state: Any, batch: Any) -> Any:
    params, momentum = state

    def loss_fn(params: Any) -> Any:
        logits = _logits(params, batch["x"])
        return _losses(logits, batch).sum(), logits

    (loss, logits), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
    momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradients)
    params = jax.tree.map(lambda p, m: p - 1e-3 * m, params, momentum)
    return (params, momentum), {"loss": loss, "logits": logits, "largest": logits.max()}


_OPTIMIZER = optax.chain(
    optax.clip_by_global_norm(0.1),
    optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 1e-2, 2, 10), eps=1e-4),
)


def everything(state: Any, batch: Any) -> Any:
    """Clipping by global norm, AdamW on a schedule, dropout, accuracy, a token-normalised loss."""
    params, optimizer_state, key = state
    key, dropout_key = jax.random.split(key)

    def loss_fn(params: Any) -> Any:
        logits = _logits(params, batch["x"], dropout_key)
        total = (_losses(logits, batch) * batch["weight"]).sum()
        correct = ((logits.argmax(-1) == batch["label"]) * batch["weight"]).sum()
        count = batch["weight"].sum()
        return total / count, correct / count

    (loss, accuracy), gradients = jax.value_and_grad(loss_fn, has_aux=True)(params)
    updates, optimizer_state = _OPTIMIZER.update(gradients, optimizer_state, params)
    return (optax.apply_updates(params, updates), optimizer_state, key), (loss, accuracy)


def checkpointed(params: Any, batch: Any) -> Any:
    def loss_fn(params: Any) -> Any:
        x = batch["x"]
        layer = jax.checkpoint(lambda p, x: jnp.tanh(x @ p["in"] + p["bias"]) @ p["in"].T)
        for _ in range(2):
            x = x + layer(params, x)
        return _losses(jnp.tanh(x @ params["in"]) @ params["out"], batch).mean()

    loss, gradients = jax.value_and_grad(loss_fn)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), loss


def inference(params: Any, batch: Any) -> Any:
    logits = _logits(params, batch["x"])
    return logits, _losses(logits, batch).mean()


def batch_norm(params: Any, batch: Any) -> Any:
    def loss_fn(params: Any) -> Any:
        hidden = batch["x"] @ params["in"]
        hidden = (hidden - hidden.mean((0, 1))) * jax.lax.rsqrt(hidden.var((0, 1)) + 1e-5)
        return _losses((hidden + params["bias"]) @ params["out"], batch).mean()

    loss, gradients = jax.value_and_grad(loss_fn)(params)
    return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), loss


def _zeros() -> Any:
    return jax.tree.map(np.zeros_like, _params())


STEPS: dict[str, Program] = {
    "mean_loss_sgd": Program(mean_loss_sgd, (_params(), _batch())),
    "sum_loss_momentum": Program(sum_loss_momentum, ((_params(), _zeros()), _batch())),
    "everything": Program(
        everything, ((_params(), _OPTIMIZER.init(_params()), np.zeros(2, np.uint32)), _batch())
    ),
    "checkpointed": Program(checkpointed, (_params(), _batch())),
    "inference": Program(inference, (_params(), _batch())),
}
BATCH_NORM = Program(batch_norm, (_params(), _batch()))
