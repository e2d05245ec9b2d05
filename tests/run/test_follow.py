"""A second function runs on the stages of the first, and finds the state where that keeps it."""

import dataclasses
from typing import Any

import alpa_mlir as alpa
import jax
import optax
import pytest
from alpa_mlir.errors import ArgumentError
from alpa_mlir.inter_op.follow import _first_layers, _same_path
from alpa_mlir.models import gpt
from alpa_mlir.models.workload import workload
from alpa_mlir.parallelize import ParallelFunction
from oracles.training_equality import assert_close

CONFIG = dataclasses.replace(gpt.SIZES["debug"], num_layers=2)


def loss_of_params(params: Any, batch: Any) -> Any:
    return gpt.loss_fn(params, batch, CONFIG)


@pytest.fixture(scope="module")
def trained() -> Any:
    model = workload("gpt", "debug", 8, optax.adam(1e-3), num_layers=2)
    method = alpa.PipelineParallel(
        num_stages=2,
        num_microbatches=2,
        num_layers=2,
        schedule="1f1b",
        num_processes=0,
        cache_dir=None,
        target_gap=0.2,
    )
    step = alpa.parallelize(model.train_step, method)
    step.compile(*model.abstract_arguments())
    state = alpa.create_state(model.init_state, jax.random.key(0), like=step)
    batch = model.example_batch(jax.random.key(1))
    state, _ = step(state, batch)
    return step, state, batch


def test_evaluation_reads_parameters_where_training_keeps_them(trained: Any) -> None:
    step, state, batch = trained
    evaluate = alpa.parallelize(loss_of_params, alpa.FollowPlacement(like=step))
    loss = evaluate(state.params, batch)

    expected = jax.jit(loss_of_params)(jax.device_get(state.params), jax.device_get(batch))
    assert_close(loss, expected)
    assert [s.devices for s in plan_of(evaluate).stages] == [
        s.devices for s in plan_of(step).stages
    ]
    assert moved(evaluate.executable, state.params, batch) == []


def test_step_that_follows_a_step_holds_as_many_microbatches(trained: Any) -> None:
    step, state, batch = trained
    model = workload("gpt", "debug", 8, optax.adam(1e-3), num_layers=2)
    again = alpa.parallelize(model.train_step, alpa.FollowPlacement(like=step), donate_argnums=())
    _, loss = again(state, batch)

    _, expected = jax.jit(model.train_step)(jax.device_get(state), jax.device_get(batch))
    assert_close(loss, expected)
    leader, plan = plan_of(step), plan_of(again)
    assert [s.num_in_flight for s in plan.stages] == [s.num_in_flight for s in leader.stages]
    assert moved(again.executable, state) == []


def test_follower_of_one_program_over_all_devices() -> None:
    model = workload("gpt", "debug", 8, optax.adam(1e-3), num_layers=2)
    step = alpa.parallelize(model.train_step, alpa.ShardParallel())
    state, batch = model.init_state(jax.random.key(0)), model.example_batch(jax.random.key(1))
    state, _ = step(state, batch)
    evaluate = alpa.parallelize(loss_of_params, alpa.FollowPlacement(like=step))

    loss = evaluate(state.params, batch)

    expected = jax.jit(loss_of_params)(jax.device_get(state.params), jax.device_get(batch))
    assert_close(loss, expected)
    assert moved(evaluate.executable, state.params) == []


def plan_of(step: ParallelFunction) -> alpa.Plan:
    assert step.executable is not None
    return step.executable.plan


def moved(executable: Any, *args: Any) -> list[str]:
    """Names of arguments that do not lie as they are read; batches may."""
    shardings = executable.input_shardings[: len(args)]
    return [
        argument.name
        for argument, leaf, wanted in zip(
            executable.plan.arguments,
            jax.tree.leaves(args),
            jax.tree.leaves(shardings, is_leaf=lambda leaf: leaf is None),
            strict=False,
        )
        if wanted is not None and not leaf.sharding.is_equivalent_to(wanted, leaf.ndim)
    ]


def test_function_without_state_of_the_leader(trained: Any) -> None:
    step, _, batch = trained
    evaluate = alpa.parallelize(lambda scale, batch: scale * batch, alpa.FollowPlacement(like=step))
    with pytest.raises(ArgumentError, match="to read state of train_step"):
        evaluate(jax.numpy.ones(3), batch["tokens"][:, :3])


def test_leader_that_was_not_compiled() -> None:
    step = alpa.parallelize(loss_of_params)
    evaluate = alpa.parallelize(loss_of_params, alpa.FollowPlacement(like=step))
    with pytest.raises(ArgumentError, match="was not compiled yet"):
        evaluate({}, {})


def test_layers_go_where_most_of_their_bytes_are() -> None:
    assert _first_layers([[5, 0], [1, 2], [0, 4]]) == [0, 1]
    assert _first_layers([[5, 0], [3, 2], [0, 4]]) == [0, 2]
    assert _first_layers([[0, 9], [0, 9]]) == [0, 1]  # one each


def test_parameters_are_told_from_moments() -> None:
    names = ["state.opt.mu['w']", "state.opt.nu['w']", "state.params['w']", "state.step"]
    assert _same_path("params['w']", names) == "state.params['w']"
    assert _same_path("p['w']", names) == "state.params['w']"  # nested least
    assert _same_path("mu['w']", names) == "state.opt.mu['w']"
    assert _same_path("p['v']", names) is None
    assert _same_path("step", names) == "state.step"
