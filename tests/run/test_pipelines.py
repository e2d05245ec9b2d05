"""`parallelize` with pipelines on eight devices: planned, replayed, fed with its own results."""

import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from alpa_mlir.errors import InfeasibleError
from alpa_mlir.models.workload import Workload, workload
from alpa_mlir.program.placement import Placement
from alpa_mlir.program.route import find_route
from alpa_mlir.runtime.issued import IssuedTransfer
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.runtime.transfer.transfer import CompiledTransfer
from alpa_mlir.schedule.instructions import Transfer
from alpa_mlir.xla.collectives import HloCollective, bytes_by_kind, parse_collectives
from oracles.training_equality import assert_close
from programs.training_steps import STEPS

PIPELINE = alpa.PipelineParallel(
    num_stages=2,
    num_microbatches=4,
    num_layers=2,
    schedule="1f1b",
    num_processes=0,
    cache_dir=None,
    time_limit_seconds=1,
    target_gap=0.2,
)


def small_gpt(form: str = "unrolled") -> Workload:
    """Of odd sizes, so that no device can do without a whole parameter."""
    return workload(
        "gpt",
        "debug",
        4,
        optax.adamw(1e-2, eps=1e-4),
        hidden_size=15,
        num_heads=3,
        sequence_length=9,
        vocabulary_size=31,
        form=form,
    )


def train(step: Any, state: Any, batches: list[Any]) -> tuple[Any, list[Any]]:
    state = jax.tree.map(jnp.copy, state)  # the step may donate its argument
    results: list[Any] = []
    for batch in batches:
        state, result = step(state, batch)
        results.append(result)
    return state, results


def assert_trains_as_on_one_device(step: Any, model: Workload) -> None:
    state = model.init_state(jax.random.key(0))
    batches = [model.example_batch(key) for key in jax.random.split(jax.random.key(1), 3)]
    expected = train(jax.jit(model.train_step), state, batches)
    assert_close(train(step, state, batches), expected)


# --- What the planner finds ---


def two_devices(memory_bytes: int) -> alpa.Cluster:
    cluster = alpa.Cluster.local()
    device = dataclasses.replace(cluster.device, memory_bytes=memory_bytes)
    return dataclasses.replace(cluster, devices_per_node=2, device=device)


def test_auto_cuts_stages_where_memory_demands_it() -> None:
    model, cluster = small_gpt(), two_devices(120_000)
    with pytest.raises(InfeasibleError, match="of memory per device are missing"):
        alpa.parallelize(model.train_step, alpa.ShardParallel(), cluster).plan(
            *model.abstract_arguments()
        )
    method = alpa.Auto(
        num_microbatches=2,
        num_layers=2,
        num_processes=0,
        cache_dir=None,
        time_limit_seconds=1,
        target_gap=0.2,
    )
    step = alpa.parallelize(model.train_step, method, cluster)
    executable = step.compile(*model.abstract_arguments())
    assert len(executable.plan.stages) == 2
    assert executable.plan.memory_bytes <= 120_000
    assert_trains_as_on_one_device(step, model)


def test_scanned_gpt_becomes_stages() -> None:
    model = small_gpt("scanned")
    lowered = alpa.parallelize(model.train_step, PIPELINE).lower(*model.abstract_arguments())
    assert "stablehlo.while" not in lowered.as_text()
    assert_trains_as_on_one_device(lowered.compile(), model)


def test_inference_returns_examples_in_order() -> None:
    function, arguments = STEPS["inference"].function, STEPS["inference"].arguments
    step = alpa.parallelize(function, dataclasses.replace(PIPELINE, schedule="auto"))
    assert step.plan(*arguments).schedule == "inference"
    logits, loss = step(*arguments)
    assert logits.shape == (8, 3, 5)
    assert_close((logits, loss), jax.jit(function)(*arguments))


# --- What goes from stage to stage ---


def sent_bytes(runtime: PipelineExecutable[Any]) -> Counter[tuple[str, int, int]]:
    """What devices receive of each value, by sending and receiving mesh."""
    sent: Counter[tuple[str, int, int]] = Counter()
    for each in runtime.driver.issued:
        if not isinstance(each.instruction, Transfer):
            continue
        target = each.instruction.target
        for buffer in each.instruction.reads:
            aval = runtime.driver.layout.aval(buffer)
            shardings = [
                runtime.driver.layout.sharding(mesh, buffer) for mesh in (each.mesh, target)
            ]
            ends = (Placement.of(sharding, len(aval.shape)) for sharding in shardings)
            sent[buffer.value, each.mesh, target] += find_route(aval.shape, aval.dtype, *ends).bytes
    return sent


def received_bytes(runtime: PipelineExecutable[Any]) -> int:
    """What XLA and the puts really move in transfers, whatever the routes say."""
    total = 0
    for each in runtime.driver.issued:
        if not isinstance(each.issue, IssuedTransfer):
            continue
        transfer = each.issue.transfer
        assert isinstance(transfer, CompiledTransfer)
        assert not transfer.in_pieces
        avals = [runtime.driver.layout.aval(buffer) for buffer in each.instruction.reads]
        shardings = transfer.put_shardings
        if not isinstance(shardings, list):
            shardings = [shardings] * len(avals)
        for aval, sharding in zip(avals, shardings, strict=True):
            tile = math.prod(sharding.shard_shape(aval.shape)) * aval.dtype.itemsize
            total += tile * len(sharding.device_set)
        for reshard in (transfer.before, transfer.after):
            if reshard is not None:
                compiled: Any = reshard.compiled
                total += sum(map(collective_bytes, parse_collectives(compiled.as_text())))
    return total


def collective_bytes(collective: HloCollective) -> int:
    """What its devices receive from one another."""
    num_devices = sum(map(len, collective.groups))
    match collective.kind:
        case "all-gather":
            return (collective.result_bytes - collective.operand_bytes) * num_devices
        case "all-to-all":
            others = collective.group_size - 1
            return collective.operand_bytes * others // collective.group_size * num_devices
        case _:
            raise AssertionError(f"a reshard of another kind: {collective}")


def planned_bytes(plan: alpa.Plan) -> Counter[tuple[str, int, int]]:
    return Counter({(t.value, t.source, t.target): t.bytes * t.count for t in plan.transfers})


@pytest.mark.parametrize("name", ["gpt", "everything"])
def test_stages_of_one_device_send_the_bytes_that_are_planned(name: str) -> None:
    """The GPT's table is tied, so that its last stage gets a copy and returns a gradient."""
    model = small_gpt()
    function, arguments, num_stages = model.train_step, model.abstract_arguments(), 3
    if name == "everything":
        function, arguments, num_stages = STEPS[name].function, STEPS[name].arguments, 2
    cluster = dataclasses.replace(alpa.Cluster.local(), devices_per_node=num_stages)
    method = dataclasses.replace(
        PIPELINE, num_stages=num_stages, num_layers=num_stages, num_microbatches=2
    )
    executable = alpa.parallelize(function, method, cluster).compile(*arguments)
    assert isinstance(executable, PipelineExecutable)
    assert sent_bytes(executable) == planned_bytes(executable.plan)
    assert executable.transfer_bytes() == executable.plan.transfer_bytes()


def test_little_memory_shards_stages_and_all_bytes_are_those_planned() -> None:
    """Values are resharded within phases, for several of them, and on the way between stages."""
    model = workload("gpt", "debug", 8, optax.adam(1e-3))
    method = dataclasses.replace(PIPELINE, memory_limit_bytes=500_000, target_gap=0.05)
    executable = alpa.parallelize(model.train_step, method).compile(*model.abstract_arguments())
    assert isinstance(executable, PipelineExecutable)
    plan, runtime = executable.plan, executable
    assert {"all-gather", "all-reduce"} <= set(plan.collective_bytes())
    assert plan.collective_bytes() == bytes_by_kind(executable.collectives())
    assert sent_bytes(runtime) == planned_bytes(plan)
    assert received_bytes(runtime) == runtime.transfer_bytes() == plan.transfer_bytes()


def test_sharded_stages_send_the_bytes_that_are_planned() -> None:
    """Every device receives what it reads, copies of a tile included."""
    weights = [jax.ShapeDtypeStruct((64, 64), jnp.float32)] * 4
    state = {"layers": weights, "step": jax.ShapeDtypeStruct((), jnp.int32)}
    batch = jax.ShapeDtypeStruct((8192, 64), jnp.float32)
    lowered = alpa.parallelize(train_step, PIPELINE).lower(state, batch)
    runtime = lowered.compile()
    assert isinstance(runtime, PipelineExecutable)
    assert sent_bytes(runtime) == planned_bytes(lowered.plan)
    num_tiles = [
        len(set(Placement.of(wanted, len(aval.shape)).tiles(aval.shape).values()))
        for each in runtime.driver.issued
        if isinstance(each.instruction, Transfer)
        for buffer in each.instruction.reads
        for aval in [runtime.driver.layout.aval(buffer)]
        for wanted in [runtime.driver.layout.sharding(each.instruction.target, buffer)]
    ]
    assert max(num_tiles) > 1  # else nothing was sharded


# --- Plans as files ---


def test_saved_plan_of_a_step_with_everything_gives_the_same_results(tmp_path: Path) -> None:
    """Clipping by global norm, dropout, a loss that is a quotient of sums."""
    program = STEPS["everything"]
    state, batch = program.arguments
    step = alpa.parallelize(program.function, PIPELINE)
    plan = step.compile(state, batch).plan
    result = train(step, state, [batch] * 3)
    assert_close(result, train(jax.jit(program.function), state, [batch] * 3))

    plan.save(tmp_path / "plan.json")
    loaded = alpa.Plan.load(tmp_path / "plan.json")
    assert loaded == plan
    replayed = train(alpa.parallelize(program.function, alpa.FixedPlan(loaded)), state, [batch] * 3)
    jax.tree.map(np.testing.assert_array_equal, replayed, result)


# --- What goes in and out ---


def new_state() -> Any:
    rng = np.random.default_rng(0)
    layers = [rng.standard_normal((8, 8)).astype(np.float32) * 0.3 for _ in range(4)]
    return {"layers": layers, "step": jnp.zeros((), jnp.int32)}


def new_batch(size: int, seed: int = 1) -> Any:
    return np.random.default_rng(seed).standard_normal((size, 8)).astype(np.float32)


def train_step(state: Any, x: Any, power: int = 2) -> Any:
    def loss_fn(layers: Any) -> Any:
        y = x
        for layer in layers:
            y = jnp.tanh(y @ layer)
        return jnp.mean(y**power)

    loss, gradients = jax.value_and_grad(loss_fn)(state["layers"])
    layers = jax.tree.map(lambda w, g: w - 0.1 * g, state["layers"], gradients)
    return {"layers": layers, "step": state["step"] + 1}, loss


def test_state_is_fed_back_and_other_batch_sizes_compile_anew() -> None:
    step = alpa.parallelize(train_step, PIPELINE)
    batches = [new_batch(size, seed) for seed, size in enumerate((16, 16, 8, 16, 8))]
    assert_close(
        train(step, new_state(), batches), train(jax.jit(train_step), new_state(), batches)
    )
    compiled = step.stopwatch.seconds["compile"]
    step(new_state(), batches[0])
    assert step.stopwatch.seconds["compile"] == compiled


def test_static_arguments_plan_anew() -> None:
    step = alpa.parallelize(train_step, PIPELINE, static_argnums=(2,))
    for power in (2, 4, 2):
        expected = jax.jit(train_step, static_argnums=2)(new_state(), new_batch(8), power)
        assert_close(step(new_state(), new_batch(8), power), expected)


def test_state_is_donated_unless_told_otherwise() -> None:
    cases: list[tuple[Literal["auto"] | tuple[()], bool]] = [("auto", True), ((), False)]
    for donate_argnums, is_used_up in cases:
        step = alpa.parallelize(train_step, PIPELINE, donate_argnums=donate_argnums)
        state, _ = step(new_state(), new_batch(8))
        kept = jax.tree.map(np.array, state)
        result = step(state, new_batch(8))
        assert [w.is_deleted() for w in state["layers"]] == [is_used_up] * 4
        if not is_used_up:
            assert_close(state, kept)
        assert_close(result, jax.jit(train_step)(kept, new_batch(8)))


def test_state_lies_on_the_stage_that_reads_it() -> None:
    step = alpa.parallelize(train_step, PIPELINE)
    state, _ = step(new_state(), new_batch(8))
    plan = step.plan(new_state(), new_batch(8))
    numbers = [{device.id for device in w.sharding.device_set} for w in state["layers"]]
    stages = [plan.stages[a.stage] for a in plan.arguments[:4] if a.stage is not None]
    assert numbers == [set(stage.devices) for stage in stages]
    assert numbers[0] != numbers[-1]
