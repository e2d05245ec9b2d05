"""alpa-cluster-layers on real models: data flows one way, and little of it."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir import _native
from alpa_mlir.models.workload import workload
from layers import Op, cluster, num_bytes, ops_of
from programs.small_programs import Program
from programs.training_steps import STEPS
from test_analyze_training import model
from test_split_microbatches import assert_computes_the_same, split

_ADAMW = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2, eps=1e-4))
_MODELS = ["gpt", "gpt_checkpointed", "moe", "wide_resnet", "equinox_mixer", "flax_linen"]
_FREE_ROLES = ('alpa.role = "parameter"', 'alpa.role = "batch"', "alpa.accumulator")


def gpt(num_layers: int = 4, optimizer: Any = _ADAMW, **fields: object) -> Program:
    step = workload("gpt", "debug", 16, optimizer, num_layers=num_layers, **fields)
    return Program(step.train_step, step.abstract_arguments())


def owned_values(text: str, function: str) -> set[str]:
    """Arguments that not every part has: parameters, batches, accumulators."""
    start = text.index(f'sym_name = "{function}"')
    header = text[text.rindex('"func.func"', 0, start) : text.index("\n", start)]
    attributes = header.split("arg_attrs = [")[1].split("], function_type")[0]
    entry = text[start:].split("\n")[1]
    names = [argument.split(":")[0].strip() for argument in entry.split("(")[1].split(", ")]
    parts = attributes.split("}, {")
    return {
        name
        for name, part in zip(names, parts, strict=False)
        if any(role in part for role in _FREE_ROLES)
    }


def assert_every_op_has_its_place(text: str, function: str) -> None:
    """An op without a layer reads nothing that is owned by a part, or is a broadcast of it."""
    owned = owned_values(text, function)
    broadcasts: set[str] = set()
    for op in ops_of(text, function):
        if op.layer is not None:
            owned.update(op.results)
            continue
        if not op.reads & owned and not op.reads & broadcasts:
            continue
        assert function == "update", f"no layer: {op}"
        is_broadcast = op.name == "stablehlo.broadcast_in_dim" or not op.reads & owned
        assert is_broadcast, f"no layer: {op}"
        broadcasts.update(op.results)


def crossings(text: str, function: str = "microbatch") -> list[tuple[Op, Op]]:
    """Pairs of an op and a reader in another part."""
    ops = [op for op in ops_of(text, function) if op.layer is not None]
    made = {result: op for op in ops for result in op.results}
    return [
        (made[value], op)
        for op in ops
        for value in sorted(op.reads & made.keys())
        if (made[value].layer, made[value].is_backward) != (op.layer, op.is_backward)
    ]


def assert_data_flows_one_way(text: str) -> None:
    def place(op: Op) -> tuple[bool, int]:
        assert op.layer is not None
        return op.is_backward, -op.layer if op.is_backward else op.layer

    for source, reader in crossings(text):
        assert place(source) < place(reader), f"{source} is read by {reader}"
    module = _native.Module.parse(text)
    module.run("builtin.module(alpa-verify-layers)")


def layers_of(text: str, function: str, is_backward: bool) -> set[int]:
    return {
        op.layer
        for op in ops_of(text, function)
        if op.layer is not None and op.is_backward == is_backward
    }


@pytest.mark.parametrize("num_layers", [1, 2, 4])
@pytest.mark.parametrize("name", _MODELS)
def test_models_flow_one_way(name: str, num_layers: int) -> None:
    text, _ = cluster(model(name), num_layers, is_local=name == "wide_resnet")

    assert_data_flows_one_way(text)
    for function in ("microbatch", "update"):
        assert_every_op_has_its_place(text, function)
    for is_backward in (False, True):
        assert layers_of(text, "microbatch", is_backward) == set(range(num_layers))


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", STEPS)
def test_small_steps_flow_one_way(name: str, num_layers: int) -> None:
    text, _ = cluster(STEPS[name], num_layers)

    assert_data_flows_one_way(text)
    for function in ("microbatch", "update"):
        assert_every_op_has_its_place(text, function)
    assert layers_of(text, "microbatch", False) == set(range(num_layers))


def test_clustered_step_computes_the_same() -> None:
    text, _ = cluster(STEPS["everything"], 2)
    assert_computes_the_same(text, STEPS["everything"])


@pytest.mark.parametrize("form", ["unrolled", "checkpointed"])
def test_only_the_residual_stream_crosses_a_gpt(form: str) -> None:
    text, remarks = cluster(gpt(form=form), 4)

    residual = num_bytes("tensor<8x32x64xf32>")  # of a microbatch
    for is_backward in (False, True):
        sources = {
            source.results[0]: source
            for source, reader in crossings(text)
            if (source.is_backward, reader.is_backward) == (is_backward, is_backward)
        }
        assert [source.num_bytes for source in sources.values()] == [residual] * 3
        assert sorted(source.layer or 0 for source in sources.values()) == (
            [1, 2, 3] if is_backward else [0, 1, 2]
        )
    assert f"4 layers, {3 * residual} bytes cross forward" in remarks[-1]


@pytest.mark.parametrize("form", ["unrolled", "checkpointed"])
def test_every_layer_of_a_gpt_has_its_products(form: str) -> None:
    """Six products forward, the last layer the head's too; twice that backward; 5 made again."""
    text, _ = cluster(gpt(form=form), 4)

    def count(is_backward: bool) -> list[int]:
        products = [op for op in ops_of(text, "microbatch") if op.name == "stablehlo.dot_general"]
        return [
            sum(op.layer == layer and op.is_backward == is_backward for op in products)
            for layer in range(4)
        ]

    again = 5 if form == "checkpointed" else 0
    assert count(False) == [6, 6, 6, 7]
    assert count(True) == [12 + again] * 3 + [14 + again]


def test_backward_reads_activations_of_its_own_layer_only() -> None:
    text, _ = cluster(gpt(), 4)
    readings = [(s, r) for s, r in crossings(text) if not s.is_backward and r.is_backward]
    assert readings
    assert all(source.layer == reader.layer for source, reader in readings)


def test_update_sends_scalars_only() -> None:
    text, _ = cluster(gpt(ties_embeddings=False), 4)
    assert {source.num_bytes for source, _ in crossings(text, "update")} <= {1, 4}


@pytest.mark.parametrize(
    "optimizer", [optax.lamb(1e-2), optax.adafactor(1e-2), optax.sgd(0.1, 0.9)]
)
def test_update_of_a_parameter_needs_no_other_layer(optimizer: Any) -> None:
    """Norms of a parameter and factored moments stay with it."""
    text, _ = cluster(gpt(optimizer=optimizer, ties_embeddings=False), 4)
    assert crossings(text, "update") == []
    assert_every_op_has_its_place(text, "update")


def test_update_of_one_flat_vector_is_legal() -> None:
    text, _ = cluster(gpt(optimizer=optax.flatten(optax.adamw(1e-2))), 4)
    assert_every_op_has_its_place(text, "update")


def test_tied_embedding_is_updated_where_it_is_read_first() -> None:
    text, _ = cluster(gpt(), 4)
    embedding = "tensor<128x64xf32>"
    updates = [op for op in ops_of(text, "update") if op.result_types.strip() == embedding]
    assert {op.layer for op in updates if op.layer is not None} == {0}
    parts = [op for op in ops_of(text, "microbatch") if "alpa.gradient_of" in op.text]
    sums = [op for op in parts if op.name == "stablehlo.add" and embedding in op.result_types]
    assert sorted(op.layer or 0 for op in sums) == [0, 3]


def test_encoder_and_decoder_are_not_interleaved() -> None:
    """Written the other way round: what the decoder prepares stays with the decoder."""
    size = 32
    weight = np.full((size, size), 0.1, np.float32)
    params = dict.fromkeys(("prepare", "e0", "e1", "cross", "d1"), weight)
    x = np.ones((8, size), np.float32)

    def step(params: Any, batch: Any) -> Any:
        def loss_fn(params: Any) -> Any:
            prepared = jnp.tanh(batch["y"] @ params["prepare"])
            encoded = jnp.tanh(batch["x"] @ params["e0"])
            encoded = jnp.tanh(encoded @ params["e1"])
            decoded = jnp.tanh(prepared + encoded @ params["cross"])
            return ((decoded @ params["d1"]) ** 2).mean()

        loss, gradients = jax.value_and_grad(loss_fn)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients), loss

    program = Program(step, (params, {"x": x, "y": x}))
    text, remarks = cluster(program, 2, flops_tolerance="0.3")

    assert_data_flows_one_way(text)
    assert f"2 layers, {4 * size * 4} bytes cross forward" in remarks[-1]


def test_number_of_layers_is_chosen_from_the_products() -> None:
    assert "7 layers" in cluster(gpt(2), 0)[1][-1]  # 13 products
    assert "5 layers" in cluster(gpt(4, form="checkpointed"), 0)[1][-1]  # 4 regions, the head
    assert "16 layers" in cluster(gpt(6), 0)[1][-1]


def test_more_layers_than_checkpoints_cuts_them_and_says_so() -> None:
    text, remarks = cluster(gpt(2, form="checkpointed"), 4)

    assert_data_flows_one_way(text)
    assert remarks[0] == (
        "checkpointed regions are cut: with them whole, at most 3 layers are possible, got 4"
    )


def test_uneven_model_raises_the_tolerance_and_says_so() -> None:
    _, remarks = cluster(model("mlp"), 2, flops_tolerance="0")
    assert "raised flops-tolerance to" in remarks[0]


def test_too_many_layers_names_how_many_are_possible() -> None:
    with pytest.raises(RuntimeError, match=r"expected 1 to 2 layers, .* got 3"):
        cluster(STEPS["mean_loss_sgd"], 3)


def test_small_examples_that_were_sorted_go_through_the_layers() -> None:
    def evaluate(p: Any, batch: Any) -> Any:
        x = batch["x"][jnp.argsort(batch["id"])]
        return jnp.mean((jnp.tanh(x @ p["a"]) @ p["b"]) ** 2)

    weights = {name: np.ones((6, 6), np.float32) for name in "ab"}
    batch = {"x": np.ones((4, 6), np.float32), "id": np.arange(4, dtype=np.int32)}
    text, _ = cluster(Program(evaluate, (weights, batch)), 2, num_microbatches=1)
    layers = [op.layer for op in ops_of(text, "microbatch") if "dot_general" in op.name]
    assert layers == [0, 1]


def test_model_without_flops_has_one_layer() -> None:
    program = Program(lambda w, batch: batch["x"], ({}, {"x": np.ones((8, 2), np.float32)}))
    text, _ = cluster(program, 0)
    assert_data_flows_one_way(text)


def test_result_is_the_same_every_time() -> None:
    assert cluster(gpt(), 4)[0] == cluster(gpt(), 4)[0]


@pytest.mark.slow
def test_twenty_four_layers_take_less_than_a_second() -> None:
    module = _native.Module.parse(split(gpt(24), 2))
    begin = time.perf_counter()
    module.run("builtin.module(alpa-cluster-layers{num-layers=16})")
    assert time.perf_counter() - begin < 1
    text = module.text()
    assert_data_flows_one_way(text)
    assert layers_of(text, "microbatch", True) == set(range(16))
