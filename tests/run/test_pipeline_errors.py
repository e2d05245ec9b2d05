"""What cannot be a pipeline is refused with a message that says which rule it breaks."""

import dataclasses
import gc
import re
from collections.abc import Callable
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import (
    ArgumentError,
    ClusterError,
    CompileError,
    InfeasibleError,
    PassError,
    PlanError,
)
from alpa_mlir.plan.data import PlannedStage
from alpa_mlir.runtime import compile as runtime_compile
from programs.training_steps import BATCH_NORM

PIPELINE = alpa.PipelineParallel(
    num_stages=2,
    num_microbatches=4,
    num_layers=2,
    schedule="1f1b",
    num_processes=0,
    cache_dir=None,
)
WEIGHTS = [jax.ShapeDtypeStruct((8, 8), jnp.float32)] * 4
BATCH = jax.ShapeDtypeStruct((8, 8), jnp.float32)


def train_step(weights: Any, x: Any) -> Any:
    def loss_fn(weights: Any) -> Any:
        y = x
        for w in weights:
            y = jnp.tanh(y @ w)
        return jnp.mean(y**2)

    loss, gradients = jax.value_and_grad(loss_fn)(weights)
    return jax.tree.map(lambda w, g: w - 0.1 * g, weights, gradients), loss


def plan_with(**changes: Any) -> alpa.Plan:
    method = dataclasses.replace(PIPELINE, **changes)
    return alpa.parallelize(train_step, method).plan(WEIGHTS, BATCH)


# --- What is asked for ---


def test_batch_norm_names_op_line_and_option() -> None:
    step = alpa.parallelize(BATCH_NORM.function, PIPELINE)
    with pytest.raises(PassError) as error:
        step.plan(*BATCH_NORM.arguments)
    message = str(error.value)
    assert "examples meet" in message or "in which they meet" in message
    assert re.search(r"training_steps\.py\D+\d+", message)
    assert "stablehlo." in message
    assert "allow_local_statistics=True" in message


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"num_microbatches": 3},
            PassError,
            r"divides the 8 examples of the batch, one of 1, 2, 4, 8; got 3",
        ),
        ({"num_stages": 3}, ArgumentError, r"divides 1 nodes of 8 devices into equal parts, got 3"),
        (
            {"num_stages": 8, "num_layers": "auto"},
            ArgumentError,
            r"each of the 8 stages that the method asks for; ask for fewer stages.*1 to 4 layers",
        ),
        ({"num_layers": 1}, ArgumentError, r"num_layers of at least 2, .* got 1"),
        ({"num_layers": 9}, PassError, r"expected 1 to 4 layers, .* got 9"),
        ({"schedule": "inference"}, ArgumentError, r"step with a backward pass, got 'inference'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_a_step_cannot_be_is_said(changes: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        plan_with(**changes)


def test_step_without_a_batch_is_no_pipeline() -> None:
    step = alpa.parallelize(train_step, PIPELINE, batch_argnums=())
    with pytest.raises(ArgumentError, match="expected a batch argument of train_step"):
        step.plan(WEIGHTS, BATCH)


# --- Memory ---


def test_shortage_names_the_stage_and_the_bytes() -> None:
    with pytest.raises(InfeasibleError) as error:
        plan_with(memory_limit_bytes=600)
    found = re.search(
        r"lacks (\d+) B per device: its stage \d, layers? \d(?: to \d)? on 1 x 4 devices, "
        r"needs (\d+) B of 600 B",
        str(error.value),
    )
    assert found
    missing, needed = map(int, found.groups())
    assert needed == 600 + missing
    plan = plan_with(memory_limit_bytes=needed)
    assert max(stage.memory_bytes for stage in plan.stages) == needed
    with pytest.raises(InfeasibleError):
        plan_with(memory_limit_bytes=needed - 1)


def test_shortage_of_layers_that_fit_nowhere_names_the_op() -> None:
    with pytest.raises(InfeasibleError) as error:
        plan_with(memory_limit_bytes=300)
    message = str(error.value)
    assert re.search(r"its stage \d, layers? \d(?: to \d)? on 1 x 4 devices", message)
    assert re.search(r"\(\d+ bytes\): the values alive at stablehlo\.\w+ \(op \d+\)", message)
    assert "weights[" in message


# --- Plans that were edited ---


@pytest.fixture(scope="module")
def plan() -> alpa.Plan:
    return plan_with()


def edited(number: int, **changes: Any) -> Callable[[alpa.Plan], alpa.Plan]:
    """A change of one stage; functions of the stage are called."""

    def edit(plan: alpa.Plan) -> alpa.Plan:
        stage = plan.stages[number]
        values = {n: v(stage) if callable(v) else v for n, v in changes.items()}
        stages = list(plan.stages)
        stages[number] = dataclasses.replace(stage, **values)
        return dataclasses.replace(plan, stages=tuple(stages))

    return edit


def with_argument(**changes: Any) -> Callable[[alpa.Plan], alpa.Plan]:
    """A change of the first argument."""

    def edit(plan: alpa.Plan) -> alpa.Plan:
        first, *others = plan.arguments
        return dataclasses.replace(plan, arguments=(dataclasses.replace(first, **changes), *others))

    return edit


def with_fields(**changes: Any) -> Callable[[alpa.Plan], alpa.Plan]:
    return lambda plan: dataclasses.replace(plan, **changes)


def unknown_strategy(stage: PlannedStage) -> Any:
    first, *others = stage.choices
    return (dataclasses.replace(first, strategy="sideways"), *others)


def fewer_choices(stage: PlannedStage) -> Any:
    return stage.choices[1:]


EDITS = {
    "gap_in_layers": (
        edited(1, first_layer=2, end_layer=3),
        r"stages\[1\]\.first_layer: .* start at 1.* got 2",
    ),
    "empty_stage": (edited(1, end_layer=1), r"stages\[1\]\.end_layer: .* one layer, got \[1, 1\)"),
    "layers_missing": (
        with_fields(num_layers=3),
        r"stages\[1\]\.end_layer: expected to end at .* 3, got 2",
    ),
    "too_many_layers": (
        lambda plan: dataclasses.replace(edited(1, end_layer=9)(plan), num_layers=9),
        r"cannot be cut as the plan says.* expected 1 to 4 layers",
    ),
    "count_as_text": (
        with_fields(num_microbatches="4"),
        "num_microbatches: expected a whole number, got '4'",
    ),
    "count_with_a_point": (
        with_fields(num_microbatches=2.0),
        "num_microbatches: expected a whole number, got 2.0",
    ),
    "strategy_space": (
        with_fields(strategy_space="zero9"),
        "strategy_space: expected one of auto, data",
    ),
    "submesh_of_three": (
        edited(0, submesh=(1, 4, 1)),
        r"stages\[0\]\.submesh: expected a length of",
    ),
    "axis_named_twice": (
        edited(0, mesh=LogicalMesh(("x", "x"), (2, 2))),
        r"stages\[0\]\.mesh: expected as many different axis names",
    ),
    "no_stages": (with_fields(stages=()), "stages: expected at least one, got none"),
    "stages_out_of_order": (
        lambda plan: dataclasses.replace(plan, stages=plan.stages[::-1]),
        r"stages\[0\]\.first_layer: expected to start at 0",
    ),
    "devices_overlap": (
        edited(1, first_device=2),
        r"stages\[1\]\.first_device: expected devices of its own",
    ),
    "devices_outside": (
        edited(1, first_device=6),
        r"stages\[1\]\.first_device: .* cluster's 8, got 6 to 9",
    ),
    "negative_device": (
        edited(0, first_device=-1),
        r"stages\[0\]\.first_device: expected at least 0, got -1",
    ),
    "submesh_of_more_nodes": (
        edited(0, submesh=(2, 2)),
        r"stages\[0\]\.submesh: .* at most 1 nodes with 8",
    ),
    "mesh_not_of_submesh": (
        edited(0, mesh=LogicalMesh.of_shape((2,))),
        r"stages\[0\]\.mesh: .* the 4 devices of submesh \(1, 4\), got \{x: 2\} of 2",
    ),
    "unknown_schedule": (
        with_fields(schedule="zigzag"),
        r"schedule: expected one of none, gpipe, 1f1b, eager_1f1b, inference, got 'zigzag'",
    ),
    "schedule_of_inference": (with_fields(schedule="inference"), r"with a backward pass, got 'inf"),
    "no_schedule": (
        with_fields(schedule="none"),
        r"stages: expected no more than one .* 'none', got 2",
    ),
    "no_microbatch": (
        with_fields(num_microbatches=0),
        r"num_microbatches: expected at least 1, got 0",
    ),
    "microbatches_do_not_divide": (
        with_fields(num_microbatches=3),
        r"divides the batch of 8, got 3",
    ),
    "unknown_strategy": (
        edited(1, choices=unknown_strategy),
        r"stages\[1\]\.choices\[0\]\.strategy: expected one of the strategies .*, got 'sideways'",
    ),
    "argument_of_no_stage": (
        with_argument(stage=None),
        r"arguments\[0\]\.stage: expected one that reads it, of 0, got None",
    ),
    "argument_of_a_stage_that_is_not": (
        with_argument(stage=2),
        r"arguments\[0\]\.stage: expected one of the stages 0 to 1, got 2",
    ),
    "argument_split_over_no_axis": (
        with_argument(spec=(("q",), ())),
        r"arguments\[0\]\.spec: expected different axes of \{x: 4\}",
    ),
    "spec_of_fewer_dims": (
        with_argument(spec=((),)),
        r"arguments\[0\]\.spec: expected an entry for each of the 2 dims, got 1",
    ),
    "bound_above_cost": (
        edited(0, lower_bound=2**60),
        r"stages\[0\]\.lower_bound: expected at most the cost",
    ),
    "more_in_flight_than_there_are": (
        edited(0, num_in_flight=5),
        r"stages\[0\]\.num_in_flight: expected at most the 4 microbatches, got 5",
    ),
    "time_that_is_none": (
        edited(1, forward_seconds=float("nan")),
        r"stages\[1\]\.forward_seconds: expected a finite number, got nan",
    ),
    "missing_choice": (
        edited(1, choices=fewer_choices),
        r"stages\[1\]\.choices: expected \d+ choices, got \d+",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_plan_says_which_rule_it_breaks(name: str, plan: alpa.Plan) -> None:
    edit, message = EDITS[name]
    step = alpa.parallelize(train_step, alpa.FixedPlan(edit(plan)))
    with pytest.raises(PlanError, match=message):
        step.lower(WEIGHTS, BATCH)


def test_plan_for_other_shapes(plan: alpa.Plan) -> None:
    step = alpa.parallelize(train_step, alpa.FixedPlan(plan))
    with pytest.raises(PlanError, match="shapes of its arguments have changed"):
        step.lower(WEIGHTS, jax.ShapeDtypeStruct((16, 8), jnp.float32))


# --- Devices and compilers ---


def test_cluster_with_more_devices_than_are_here() -> None:
    cluster = dataclasses.replace(alpa.Cluster.local(), devices_per_node=16)
    lowered = alpa.parallelize(train_step, PIPELINE, cluster).lower(WEIGHTS, BATCH)
    with pytest.raises(ClusterError, match="expected 16 devices for the 2 stages of 'train_step'"):
        lowered.compile()


def test_failed_stage_compile_names_stage_and_phase_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lowered = alpa.parallelize(train_step, PIPELINE).lower(WEIGHTS, BATCH)
    compile_program = runtime_compile.compile_program

    def fail_once(program: Any, *others: Any) -> Any:
        if program.name == "train_step_backward_stage1":
            raise CompileError("XLA ran out of luck at stablehlo.dot_general")
        return compile_program(program, *others)

    gc.collect()
    before = len(jax.live_arrays())
    with monkeypatch.context() as patched:
        patched.setattr(runtime_compile, "compile_program", fail_once)
        message = r"backward of stage 1: XLA ran out of luck at stablehlo\.dot_general"
        with pytest.raises(CompileError, match=message):
            lowered.compile()
    gc.collect()
    assert len(jax.live_arrays()) == before
    weights = [np.eye(8, dtype=np.float32)] * 4
    lowered.compile()(weights, np.ones((8, 8), np.float32))
