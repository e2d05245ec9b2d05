"""A job that takes many steps of pipelines on one and on several processes' devices:
many_steps.py NUM_STEPS."""

import sys

import alpa_mlir as alpa
import jax
from programs.job_training import METHODS, job_model

alpa.initialize()
num_steps = int(sys.argv[1])
model = job_model("mlp:alpa-test")
batch = model.example_batch(jax.random.key(1))
for name in ("four_stages", "1f1b", "shard"):
    step = alpa.parallelize(model.train_step, METHODS[name])
    state, first = step(model.init_state(jax.random.key(0)), batch)
    loss = first
    for _ in range(num_steps):
        state, loss = step(state, batch)
    assert float(loss) < float(first)
print(f"{num_steps} steps")
