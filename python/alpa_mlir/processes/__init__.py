"""The processes of a job, started by `jax.distributed`: what they tell one another."""
