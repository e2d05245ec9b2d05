"""Ctrl-C ends planning with the best plan so far, if there is one."""

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir.options import Method
from alpa_mlir.progress import Progress

CLUSTER = alpa.Cluster.preset("dgx-h100")
# So large that a pipeline might be faster than one program.
WEIGHT = jax.ShapeDtypeStruct((16384, 16384), "float32")
BATCH = jax.ShapeDtypeStruct((4096, 16384), "float32")


def step(params: dict[str, jax.Array], batch: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
    def loss_fn(params: dict[str, jax.Array]) -> jax.Array:
        return jnp.mean((jnp.tanh(batch @ params["a"]) @ params["b"]) ** 2)

    loss, grads = jax.value_and_grad(loss_fn)(params)
    return jax.tree.map(lambda w, g: w - 0.1 * g, params, grads), loss


def interrupted(method: Method, part: str) -> alpa.Plan:
    """The plan, where the user interrupts when that part begins."""
    parallel = alpa.parallelize(step, method, CLUSTER)

    def interrupt(progress: Progress) -> None:
        if progress.part == part and not progress.is_finished:
            raise KeyboardInterrupt

    parallel.stopwatch._on_progress = interrupt
    return parallel.plan({"a": WEIGHT, "b": WEIGHT}, BATCH)


def test_pipelines_found_until_then_are_enough() -> None:
    method = alpa.PipelineParallel(num_stages=2, num_processes=0, cache_dir=None)
    with pytest.warns(UserWarning, match=r"the best plan so far \(32 microbatches\)"):
        plan = interrupted(method, "layers of 64 microbatches")
    assert plan.num_microbatches == 32
    with pytest.raises(KeyboardInterrupt):
        interrupted(method, "layers of 32 microbatches")


def test_one_program_is_enough() -> None:
    method = alpa.Auto(num_processes=0, cache_dir=None)
    with pytest.warns(UserWarning, match=r"the best plan so far \(one program\)"):
        plan = interrupted(method, "layers of 32 microbatches")
    assert not plan.is_pipeline
    assert plan.remarks[-1] == "no pipeline: the search for one was interrupted"
