"""What tests of the command line import by path: a step, its arguments, and what is no step."""

from __future__ import annotations

import sys
from typing import Any

import jax
import jax.numpy as jnp


def train_step(params: Any, batch: Any) -> Any:
    def loss_fn(params: Any) -> Any:
        hidden = jnp.tanh(batch["x"] @ params["w1"])
        return jnp.mean((hidden @ params["w2"] - batch["y"]) ** 2)

    loss, grads = jax.value_and_grad(loss_fn)(params)
    return jax.tree.map(lambda p, g: p - 0.01 * g, params, grads), loss


def abstract_args() -> tuple[Any, Any]:
    shape = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    return {"w1": shape, "w2": shape}, {"x": shape, "y": shape}


def printing_step(params: Any, batch: Any) -> Any:
    jax.debug.print("{}", batch["x"].sum())
    return train_step(params, batch)


def broken_step(params: Any, batch: Any) -> Any:
    return params["w1"] @ batch["absent"]


def same(x: Any) -> Any:
    return x


def stop() -> Any:
    sys.exit(3)


class _Lazy:
    def __getattr__(self, name: str) -> Any:
        raise ImportError("no such extra")


LAZY = _Lazy()
NUMBER = 7
