"""An MLP-mixer in equinox: one example per call under `vmap`, `eqx.partition` and `eqx.filter`."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from alpa_mlir.models.workload import Workload

from programs.models_of_others import optimizer


class MixerBlock(eqx.Module):
    patch_mixer: eqx.nn.MLP
    hidden_mixer: eqx.nn.MLP
    norm1: eqx.nn.LayerNorm
    norm2: eqx.nn.LayerNorm

    def __init__(self, num_patches: int, hidden_size: int, *, key: jax.Array) -> None:
        patch_key, hidden_key = jax.random.split(key)
        shape = (num_patches, hidden_size)
        self.patch_mixer = eqx.nn.MLP(num_patches, num_patches, 32, depth=1, key=patch_key)
        self.hidden_mixer = eqx.nn.MLP(hidden_size, hidden_size, 64, depth=1, key=hidden_key)
        self.norm1 = eqx.nn.LayerNorm(shape)
        self.norm2 = eqx.nn.LayerNorm(shape)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = x + jax.vmap(self.patch_mixer, in_axes=1, out_axes=1)(self.norm1(x))
        return x + jax.vmap(self.hidden_mixer)(self.norm2(x))


class Mixer(eqx.Module):
    patches: eqx.nn.Conv2d
    blocks: list[MixerBlock]
    norm: eqx.nn.LayerNorm
    head: eqx.nn.Linear

    def __init__(
        self, *, key: jax.Array, hidden_size: int = 32, num_blocks: int = 2, num_classes: int = 8
    ) -> None:
        conv_key, head_key, *block_keys = jax.random.split(key, 2 + num_blocks)
        self.patches = eqx.nn.Conv2d(3, hidden_size, kernel_size=4, stride=4, key=conv_key)
        self.blocks = [MixerBlock(16, hidden_size, key=k) for k in block_keys]
        self.norm = eqx.nn.LayerNorm(hidden_size)
        self.head = eqx.nn.Linear(hidden_size, num_classes, key=head_key)

    def __call__(self, image: jax.Array) -> jax.Array:
        x = self.patches(image)
        x = x.reshape(x.shape[0], -1).T
        for block in self.blocks:
            x = block(x)
        return self.head(jnp.mean(jax.vmap(self.norm)(x), axis=0))


def loss_fn(model: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
    logits = jax.vmap(model)(images)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


optim = optimizer()
static = eqx.partition(eqx.filter_eval_shape(Mixer, key=jax.random.key(0)), eqx.is_array_like)[1]


def create(key: jax.Array) -> Any:
    model = eqx.filter(Mixer(key=key), eqx.is_array)
    return model, optim.init(model)


def train_step(state: Any, batch: tuple[jax.Array, jax.Array]) -> Any:
    params, opt_state = state
    model = eqx.combine(params, static)
    loss, grads = eqx.filter_value_and_grad(loss_fn)(model, *batch)
    updates, opt_state = optim.update(grads, opt_state, params)
    model = eqx.apply_updates(model, updates)
    return (eqx.filter(model, eqx.is_array), opt_state), loss


def example_batch(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    image_key, label_key = jax.random.split(key)
    return (
        jax.random.normal(image_key, (16, 3, 16, 16)),
        jax.random.randint(label_key, (16,), 0, 8),
    )


def workload() -> Workload:
    return Workload("equinox_mixer", train_step, create, example_batch)
