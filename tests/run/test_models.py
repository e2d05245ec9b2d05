"""The models by themselves: sizes of the ladder, equal forms, routing, gradients that learn."""

import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir.models import fine_moe, gpt, llama, moe, wide_resnet
from alpa_mlir.models.experts import through_experts
from alpa_mlir.models.workload import MODELS, workload

# Alpa names its sizes by their number of parameters.
LADDER = [
    (model, size)
    for model in ("gpt", "moe", "wide_resnet", "llama", "fine_moe")
    for size in MODELS[model].SIZES
    if size[-1] in "MB"
]


def count_params(params: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(("model", "size"), LADDER)
def test_parameter_count_is_what_the_size_says(model: str, size: str) -> None:
    module = MODELS[model]
    params = jax.eval_shape(partial(module.init, config=module.SIZES[size]), jax.random.key(0))
    nominal = float(size[:-1]) * {"M": 1e6, "B": 1e9}[size[-1]]
    assert count_params(params) == pytest.approx(nominal, rel=0.05)


@pytest.mark.parametrize("model", ["gpt", "moe", "llama", "fine_moe", "mlp"])
def test_one_layer_is_a_model(model: str) -> None:
    made = workload(model, "debug", 8, optax.sgd(1e-3), num_layers=1)
    _, loss = jax.eval_shape(made.train_step, *made.abstract_arguments())
    assert jax.tree.leaves(loss)[0].shape == ()


@pytest.mark.parametrize("model", MODELS)
def test_loss_falls_when_debug_size_trains(model: str) -> None:
    setup = workload(model, "debug", batch_size=8, optimizer=optax.adam(1e-3))
    state = jax.jit(setup.init_state)(jax.random.key(0))
    batch = setup.example_batch(jax.random.key(1))
    step = jax.jit(setup.train_step)
    losses = []
    for _ in range(5):
        state, loss = step(state, batch)
        losses.append(float(loss))
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))


@pytest.mark.parametrize("model", MODELS)
def test_abstract_arguments_match_the_real_ones(model: str) -> None:
    setup = workload(model, "debug", batch_size=8, optimizer=optax.adam(1e-3))
    real = setup.init_state(jax.random.key(0)), setup.example_batch(jax.random.key(1))
    shapes = jax.tree.map(lambda x: (x.shape, x.dtype), real)
    assert shapes == jax.tree.map(lambda x: (x.shape, x.dtype), setup.abstract_arguments())


def test_largest_sizes_plan_from_shapes_alone() -> None:
    setup = workload("gpt", "39B", batch_size=1024, optimizer=optax.adam(1e-3))
    state, loss = jax.eval_shape(setup.train_step, *setup.abstract_arguments())
    assert loss.shape == ()
    assert count_params(state.params) > 39e9


@pytest.mark.parametrize("form", ["checkpointed", "scanned"])
def test_forms_of_gpt_compute_the_same_function(form: str) -> None:
    unrolled = gpt.SIZES["debug"]
    config = replace(unrolled, form=form)
    init, apply = jax.jit(gpt.init, static_argnums=1), jax.jit(gpt.apply, static_argnums=2)
    key, batch = jax.random.key(0), gpt.example_batch(jax.random.key(1), unrolled, 4)
    expected_params, params = init(key, unrolled), init(key, config)
    assert count_params(params) == count_params(expected_params)
    expected = apply(expected_params, batch["tokens"], unrolled)
    actual = apply(params, batch["tokens"], config)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


def test_gpt_sees_no_later_token() -> None:
    config = gpt.SIZES["debug"]
    params = gpt.init(jax.random.key(0), config)
    tokens = gpt.example_batch(jax.random.key(1), config, 2)["tokens"]
    changed = tokens.at[:, 20].add(1) % config.vocabulary_size
    apply = jax.jit(gpt.apply, static_argnums=2)
    before, after = (apply(params, t, config) for t in (tokens, changed))
    np.testing.assert_array_equal(before[:, :20], after[:, :20])
    assert not np.allclose(before[:, 20], after[:, 20])


def test_untied_gpt_has_a_head_of_its_own() -> None:
    config = replace(gpt.SIZES["debug"], ties_embeddings=False)
    params = gpt.init(jax.random.key(0), config)
    assert params["head"].shape == params["tokens"].shape


def test_step_flops_follow_the_formula_of_the_paper() -> None:
    # 24·4·B·S·H²·L·(1 + S/6H) + 6·B·S·H·V at B=8, S=1024, H=1024, L=24, V=51200
    assert gpt.step_flops(gpt.SIZES["350M"], batch_size=8) == pytest.approx(25.67e12, rel=1e-3)


def test_route_fills_places_in_order_and_drops_what_overflows() -> None:
    # Three tokens, two experts, two places each: all prefer expert 0.
    probabilities = jnp.array([[[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]])
    combine, balance_loss = moe.route(probabilities, capacity=2)
    assert combine.shape == (1, 3, 2, 2)
    expected = np.zeros((1, 3, 2, 2), np.float32)
    expected[0, 0, 0, 0], expected[0, 1, 0, 1] = 0.9, 0.8  # the third token finds expert 0 full
    expected[0, 0, 1, 0], expected[0, 1, 1, 1] = 0.1, 0.2
    np.testing.assert_allclose(combine, expected, rtol=1e-6)
    np.testing.assert_allclose(balance_loss, 2 * 0.8, rtol=1e-6)


def test_balance_loss_is_one_for_even_load() -> None:
    probabilities = jax.nn.softmax(10 * jnp.eye(4))[None]
    _, balance_loss = moe.route(probabilities, capacity=2)
    np.testing.assert_allclose(balance_loss, 1.0, rtol=1e-5)


def test_llama_sees_no_later_token_and_only_distances() -> None:
    config = llama.SIZES["debug"]
    head_size = config.hidden_size // config.num_heads
    x = jax.random.normal(jax.random.key(0), (1, 6, config.num_groups, head_size))
    turned = llama.rotate(jnp.concatenate([x, x], axis=1), config.rotary_base)
    products = jnp.einsum("bqgd,bkgd->gqk", turned, turned)
    np.testing.assert_allclose(products[:, :6, :6], products[:, 6:, 6:], rtol=1e-3, atol=1e-3)
    params = llama.init(jax.random.key(0), config)
    tokens = llama.example_batch(jax.random.key(1), config, 2)["tokens"]
    changed = tokens.at[:, 20].add(1) % config.vocabulary_size
    apply = jax.jit(llama.apply, static_argnums=2)
    before, after = (apply(params, t, config) for t in (tokens, changed))
    np.testing.assert_array_equal(before[:, :20], after[:, :20])
    assert not np.allclose(before[:, 20], after[:, 20])


def test_groups_of_heads_are_heads_with_equal_keys() -> None:
    """Grouped-query attention is multi-head attention whose keys and values repeat."""
    key, x = jax.random.key(0), jax.random.normal(jax.random.key(1), (2, 8, 16))
    grouped = llama.init_attention(key, hidden_size=16, num_heads=4, num_groups=2)
    single = {
        "query": grouped["query"].reshape(16, 4, 1, 4),
        "key": jnp.repeat(grouped["key"], 2, axis=1),
        "value": jnp.repeat(grouped["value"], 2, axis=1),
        "output": grouped["output"].reshape(4, 1, 4, 16),
    }
    actual, expected = (llama.attention(params, x, 1e4) for params in (grouped, single))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)


def test_llama_step_flops_are_six_for_each_weight_and_token() -> None:
    config = llama.SIZES["8B"]
    params = jax.eval_shape(partial(llama.init, config=config), jax.random.key(0))
    tokens = 4 * config.sequence_length
    without_tokens = count_params(params) - config.vocabulary_size * config.hidden_size
    weights = 6 * without_tokens * tokens
    scores = 12 * config.num_layers * config.sequence_length * config.hidden_size * tokens
    assert llama.step_flops(config, 4) == pytest.approx(weights + scores, rel=1e-4)


def routed_by_loops(probabilities: Any, num_chosen: int, capacity: int) -> Any:
    """Weights of tokens at places: one choice of every token after the other."""
    combine = np.zeros((*probabilities.shape, capacity))
    for group, rows in enumerate(np.asarray(probabilities)):
        best = np.argsort(-rows, axis=-1, kind="stable")[:, :num_chosen]
        num_taken = [0] * rows.shape[-1]
        for rank in range(num_chosen):
            for token, row in enumerate(rows):
                expert = best[token, rank]
                if num_taken[expert] < capacity:
                    weight = row[expert] / row[best[token]].sum()
                    combine[group, token, expert, num_taken[expert]] = weight
                num_taken[expert] += 1
    return combine


@pytest.mark.parametrize("capacity", [1, 3, 12])
def test_routing_is_what_loops_over_tokens_give(capacity: int) -> None:
    probabilities = jax.nn.softmax(jax.random.normal(jax.random.key(0), (2, 12, 5)))
    two, _ = moe.route(probabilities, capacity)
    np.testing.assert_allclose(two, routed_by_loops(probabilities, 2, capacity), rtol=1e-5)
    for num_chosen in (1, 2, 4):
        combine, _ = fine_moe.route(probabilities, num_chosen, capacity)
        expected = routed_by_loops(probabilities, num_chosen, capacity)
        np.testing.assert_allclose(combine, expected, rtol=1e-5)


def test_experts_get_the_tokens_at_their_places() -> None:
    """Experts that multiply by their number, and a place that nobody is at."""
    groups = jax.random.normal(jax.random.key(0), (2, 6, 4))
    probabilities = jax.nn.softmax(jax.random.normal(jax.random.key(1), (2, 6, 3)))
    combine = routed_by_loops(probabilities, 2, capacity=3)
    factors = np.arange(3.0)[:, None, None, None]
    mixed = through_experts(groups, jnp.asarray(combine), lambda places: places * factors)
    by_token = (combine.sum(-1) * np.arange(3.0)).sum(-1)
    np.testing.assert_allclose(mixed, groups * by_token[..., None], rtol=1e-5, atol=1e-6)


def test_fine_routing_equals_that_of_two_experts() -> None:
    probabilities = jax.nn.softmax(jax.random.normal(jax.random.key(0), (2, 12, 4)))
    combine, _ = fine_moe.route(probabilities, num_chosen=2, capacity=5)
    expected, _ = moe.route(probabilities, capacity=5)
    np.testing.assert_allclose(combine, expected, rtol=1e-5)


def test_fine_routing_weighs_the_chosen_experts_to_one() -> None:
    probabilities = jax.nn.softmax(jax.random.normal(jax.random.key(0), (1, 16, 8)))
    combine, _ = fine_moe.route(probabilities, num_chosen=3, capacity=16)
    np.testing.assert_allclose(combine.sum((2, 3)), 1.0, rtol=1e-5)
    chosen = (combine.sum(3) > 0).astype(int)
    assert (chosen.sum(2) == 3).all()
    best = jnp.sort(probabilities, axis=-1)[..., -3:].sum(-1)
    np.testing.assert_allclose((probabilities * chosen).sum(-1), best, rtol=1e-5)
    _, balance_loss = fine_moe.route(jax.nn.softmax(10 * jnp.eye(4))[None], 1, 4)
    np.testing.assert_allclose(balance_loss, 1.0, rtol=1e-5)


def test_running_statistics_move_towards_the_batch() -> None:
    x = 3 + 2 * jax.random.normal(jax.random.key(0), (64, 4, 4, 2))
    params = {"scale": jnp.ones(2), "bias": jnp.zeros(2)}
    running = {"mean": jnp.zeros(2), "variance": jnp.ones(2)}
    y, moved = wide_resnet.batch_norm(params, running, x)
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-3)
    np.testing.assert_allclose(moved["mean"], 0.1 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(moved["variance"], 0.9 + 0.1 * x.var((0, 1, 2)), rtol=1e-4)


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(KeyError, match="expected one of"):
        workload("bert", "debug", 8, optax.sgd(0.1))
    with pytest.raises(KeyError, match="gpt has no size '2M'"):
        workload("gpt", "2M", 8, optax.sgd(0.1))
