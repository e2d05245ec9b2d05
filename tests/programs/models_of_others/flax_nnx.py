"""An image classifier in flax.nnx: convolutions, batch norm, `nnx.split` and `nnx.merge`."""

from typing import Any

import jax
import optax
from alpa_mlir.models.workload import Workload
from flax import nnx

from programs.models_of_others import optimizer


class ConvNet(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 16, kernel_size=(3, 3), use_bias=False, rngs=rngs)
        self.norm1 = nnx.BatchNorm(16, rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, kernel_size=(3, 3), strides=2, use_bias=False, rngs=rngs)
        self.norm2 = nnx.BatchNorm(32, rngs=rngs)
        self.linear1 = nnx.Linear(4 * 4 * 32, 64, rngs=rngs)
        self.linear2 = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.avg_pool(nnx.relu(self.norm1(self.conv1(x))), (2, 2), strides=(2, 2))
        x = nnx.relu(self.norm2(self.conv2(x)))
        x = x.reshape(x.shape[0], -1)
        return self.linear2(nnx.relu(self.linear1(x)))


def loss_fn(model: Any, batch: dict[str, jax.Array]) -> jax.Array:
    logits = model(batch["image"])
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"]).mean()


def create(key: jax.Array) -> Any:
    model = ConvNet(nnx.Rngs(params=key))
    return nnx.split((model, nnx.Optimizer(model, optimizer(), wrt=nnx.Param)))


# What a user computes once at start-up: the structure without a single array.
graphdef = create(jax.random.key(0))[0]


def train_step(state: Any, batch: dict[str, jax.Array]) -> Any:
    model, opt = nnx.merge(graphdef, state)
    loss, grads = nnx.value_and_grad(loss_fn)(model, batch)
    opt.update(model, grads)
    return nnx.state((model, opt)), loss


def example_batch(key: jax.Array) -> dict[str, jax.Array]:
    image_key, label_key = jax.random.split(key)
    return {
        "image": jax.random.normal(image_key, (16, 16, 16, 3)),
        "label": jax.random.randint(label_key, (16,), 0, 10),
    }


def workload() -> Workload:
    return Workload("flax_nnx", train_step, lambda key: create(key)[1], example_batch)
