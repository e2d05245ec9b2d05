"""A job whose processes go different ways: unlike.py program | plan | crash | memory."""

import os
import signal
import sys
import time

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
from programs.job_training import METHODS

alpa.initialize()
index = jax.process_index()
way = sys.argv[1]
width = 8 * (index + 1) if way == "program" else 8


def train_step(w: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    loss, gradient = jax.value_and_grad(lambda w: jnp.mean((x @ w) ** 2))(w)
    return w - 0.1 * gradient, loss


if way == "crash" and index == 1:
    raise ValueError("this one\nis lost")
if way == "kill" and index == 1:
    os.kill(os.getpid(), signal.SIGKILL)
method = METHODS["shard"]
if way == "memory":
    method = alpa.ShardParallel(memory_limit_bytes=16)
step = alpa.parallelize(train_step, method)
state, _ = step(jnp.ones((width, 4)), jnp.ones((8, width)))
if way == "step" and index == 1:
    raise ValueError("lost in a step")
for _ in range(1000):  # the others wait for this one
    state, loss = step(state, jnp.ones((8, width)))
    loss.block_until_ready()
    time.sleep(0.01)
