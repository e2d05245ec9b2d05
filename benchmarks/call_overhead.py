"""What a call of a parallelized step costs beyond `jax.jit` of the same program and shardings.

    python benchmarks/call_overhead.py [--num-leaves 64] [--num-calls 2000]

The program is nearly empty, so that time is dispatch. Rounds of both alternate and the fastest
round of each counts: the machine's noise only ever adds.
"""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("NPROC", "32")

import time
from collections.abc import Callable
from typing import Any

import alpa_mlir as alpa
import click
import jax
import jax.numpy as jnp

GOAL = 0.05


def step(state: dict[str, Any], batch: Any) -> tuple[dict[str, Any], Any]:
    scale = batch.mean()
    return {name: value * 0.5 + scale for name, value in state.items()}, scale


def new_arguments(num_leaves: int) -> tuple[dict[str, Any], Any]:
    state = {f"w{i:03d}": jnp.ones((8, 8), jnp.float32) for i in range(num_leaves)}
    return state, jnp.ones((8, 8), jnp.float32)


def seconds_per_call(call: Callable[..., Any], arguments: Any, num_calls: int) -> float:
    state, batch = arguments
    state, loss = call(state, batch)
    jax.block_until_ready(loss)
    start = time.perf_counter()
    for _ in range(num_calls):
        state, loss = call(state, batch)
    jax.block_until_ready((state, loss))
    return (time.perf_counter() - start) / num_calls


@click.command()
@click.option("--num-leaves", default=64, help="Leaves of the state.")
@click.option("--num-calls", default=200, help="Calls per round.")
@click.option("--num-rounds", default=15)
def main(num_leaves: int, num_calls: int, num_rounds: int) -> None:
    """Prints both times and fails if the difference is above the goal."""
    ours = alpa.parallelize(step, alpa.DataParallel())
    executable = ours.compile(*new_arguments(num_leaves))
    (compiled,) = executable.stage_executables
    plain = jax.jit(
        step,
        in_shardings=executable.input_shardings,
        out_shardings=compiled.output_shardings,
        donate_argnums=0,
    )
    calls = {"jax.jit": plain, "alpa": ours}
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(num_rounds):
        for name, call in calls.items():
            placed = executable.place(*new_arguments(num_leaves))
            best[name] = min(best[name], seconds_per_call(call, placed, num_calls))
    overhead = best["alpa"] / best["jax.jit"] - 1
    for name, seconds in best.items():
        click.echo(f"{name:8} {seconds * 1e6:8.1f} us a call")
    click.echo(f"overhead {overhead:+.1%} (goal: at most {GOAL:.0%}), {num_leaves} leaves")
    raise SystemExit(overhead > GOAL)


if __name__ == "__main__":
    main()
