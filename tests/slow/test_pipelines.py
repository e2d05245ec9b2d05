"""Every model under every schedule, stage after stage, trains as it does on one device."""

import dataclasses
import functools
import itertools
from typing import Any

import alpa_mlir as alpa
import jax
import jax.numpy as jnp
import pytest
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.compile import compile_pipeline
from alpa_mlir.runtime.compiled_programs import CompiledPrograms
from oracles.extent import each_nth, in_part
from oracles.training_equality import assert_close, batches, case, one_device_step, train
from programs.hand_made_pipelines import hand_made_pipeline, with_schedule

NUM_STEPS = 3
MODELS = (
    "gpt",
    "gpt_scanned",
    "gpt_checkpointed",
    "moe",
    "wide_resnet",
    "unet",
    "encoder_decoder",
    "flax_linen",
    "flax_nnx",
    "equinox_mixer",
)
WITH_BATCH_NORM = ("wide_resnet", "flax_nnx")
SCHEDULES = ("gpipe", "1f1b", "eager_1f1b")
EVEN = {"two": ((4,), (2, 2)), "four": ((2,), (2,), (2,), (2,))}
UNEVEN = ((2,), (2,), (4,))
# Leaves to LLVM only what it must do, which halves the time to compile.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@functools.cache
def batches_of_copies(name: str, num_copies: int) -> list[Any]:
    """For one copy those of the model.

    Statistics of equal microbatches are those of the whole batch, so that one device, which knows
    nothing of microbatches, is the oracle of local statistics too.
    """

    def copies(leaf: jax.Array) -> jax.Array:
        part = leaf[: leaf.shape[0] // num_copies]
        return jnp.tile(part, (num_copies,) + (1,) * (part.ndim - 1))

    return [jax.tree.map(copies, batch) for batch in batches(name)[:NUM_STEPS]]


@functools.cache
def expected(name: str, num_copies: int) -> tuple[Any, list[Any]]:
    return train(name, one_device_step(name), batches_of_copies(name, num_copies))


def assert_trains(name: str, step: Any, num_microbatches: int) -> None:
    num_copies = num_microbatches if name in WITH_BATCH_NORM else 1
    actual = train(name, step, batches_of_copies(name, num_copies))
    assert_close(actual, expected(name, num_copies))


@functools.lru_cache(maxsize=1)
def planned(
    name: str, mesh_shapes: tuple[tuple[int, ...], ...], num_microbatches: int
) -> tuple[PipelineProgram[AnnotatedProgram], CompiledPrograms]:
    """What the schedules have in common."""
    program = hand_made_pipeline(
        case(name).train_step,
        case(name).abstract_arguments(),
        mesh_shapes,
        num_microbatches,
        allow_local_statistics=name in WITH_BATCH_NORM,
    )
    return program, CompiledPrograms()


def assert_pipeline_trains(
    name: str, mesh_shapes: tuple[tuple[int, ...], ...], num_microbatches: int, schedule: str
) -> None:
    program, shared = planned(name, mesh_shapes, num_microbatches)
    step = compile_pipeline(with_schedule(program, schedule), jax.devices(), QUICK, shared=shared)
    assert_trains(name, step, num_microbatches)


# Schedules last, and a group for one process: those of one plan come one after another and share
# what is compiled.
@pytest.mark.parametrize(
    ("name", "stages", "num_microbatches", "schedule"),
    [
        pytest.param(*plan, count, schedule, marks=pytest.mark.xdist_group("-".join(plan)))
        for plan in each_nth(3, list(itertools.product(MODELS, EVEN)))
        for count in in_part((4,), (2, 4, 8))
        for schedule in SCHEDULES
    ],
)
def test_training_equals_one_device(
    name: str, stages: str, num_microbatches: int, schedule: str
) -> None:
    assert_pipeline_trains(name, EVEN[stages], num_microbatches, schedule)


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        pytest.param(*each, marks=pytest.mark.xdist_group(f"{each[0]}-uneven"))
        for each in itertools.product(
            each_nth(3, ("gpt", "moe", "wide_resnet", "unet", "encoder_decoder")), SCHEDULES
        )
    ],
)
def test_training_on_unequal_submeshes_equals_one_device(name: str, schedule: str) -> None:
    assert_pipeline_trains(name, UNEVEN, 4, schedule)


@pytest.mark.parametrize("name", each_nth(2, MODELS))
def test_training_as_planned_equals_one_device(name: str) -> None:
    method = alpa.PipelineParallel(
        num_stages=4,
        num_microbatches=4,
        allow_local_statistics=name in WITH_BATCH_NORM,
        num_processes=0,
        cache_dir=None,
    )
    step = alpa.parallelize(case(name).train_step, method)
    assert len(step.compile(*case(name).abstract_arguments()).plan.stages) == 4
    assert_trains(name, step, 4)


@pytest.mark.parametrize(
    "method",
    [
        alpa.PipelineParallel(num_stages=2, rematerialize=True),
        alpa.ThreeDParallel(data=2, tensor=2, pipeline=2),
    ],
    ids=["rematerialized", "three_dimensions"],
)
def test_training_with_a_method_equals_one_device(
    method: alpa.PipelineParallel | alpa.ThreeDParallel,
) -> None:
    method = dataclasses.replace(
        method, num_layers=2, num_microbatches=4, num_processes=0, cache_dir=None
    )
    step = alpa.parallelize(case("gpt").train_step, method)
    assert step.plan(*case("gpt").abstract_arguments()).stages[0].is_rematerialized == (
        method.rematerialize is True
    )
    assert_trains("gpt", step, 4)
