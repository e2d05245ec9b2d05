"""Programs of a pipeline are compiled once, and those that do not fit are refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from alpa_mlir.errors import CompileError, PlanError
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.compile import compile_pipeline
from alpa_mlir.runtime.compiled_programs import CompiledPrograms
from alpa_mlir.schedule.schedule import Phase, TaskKind
from oracles.pipelines import Placement, make_pipeline
from test_pipeline_runtime import TWO, error, train, trained


def test_equal_programs_of_a_mesh_are_compiled_once() -> None:
    middle = Placement((2,), 2)
    placements = (Placement((2,), 0), middle, middle, Placement((2,), 4))
    executable = compile_pipeline(make_pipeline(placements, "ONE_F_ONE_B", 1), jax.devices())
    second, third = TaskKind(1, Phase.FORWARD), TaskKind(2, Phase.FORWARD)
    assert executable.compiled[second] is executable.compiled[third]
    assert error(train(executable, 4), trained(4, 1)) < 1e-5


def test_schedules_of_one_plan_share_their_executables() -> None:
    shared = CompiledPrograms()
    first, second, elsewhere = (
        compile_pipeline(make_pipeline(TWO, schedule, 4), devices, shared=shared)
        for schedule, devices in [
            ("GPIPE", jax.devices()),
            ("ONE_F_ONE_B", jax.devices()),
            ("ONE_F_ONE_B", jax.devices()[::-1]),
        ]
    )
    for kind, compiled in second.compiled.items():
        assert compiled is first.compiled[kind]
        assert compiled is not elsewhere.compiled[kind]
    for executable in (first, second, elsewhere):
        assert error(train(executable, 2), trained(2, 4)) < 1e-5


def test_what_failed_is_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    program, shared = make_pipeline(TWO, "ONE_F_ONE_B", 1), CompiledPrograms()

    def fail(*_: Any) -> Any:
        raise CompileError("out of luck")

    with monkeypatch.context() as patched:
        patched.setattr("alpa_mlir.runtime.compile.compile_program", fail)
        with pytest.raises(CompileError, match="out of luck"):
            compile_pipeline(program, jax.devices(), shared=shared)
    executable = compile_pipeline(program, jax.devices(), shared=shared)
    assert error(train(executable, 2), trained(2, 1)) < 1e-5


def test_failing_compile_names_stage_and_phase() -> None:
    program = make_pipeline(TWO, "ONE_F_ONE_B", 1)
    kind = TaskKind(1, Phase.BACKWARD)
    broken = dataclasses.replace(program.programs[kind], text="module { not a module }")
    programs = {**program.programs, kind: broken}
    with pytest.raises(CompileError, match="backward of stage 1: "):
        compile_pipeline(dataclasses.replace(program, programs=programs), jax.devices())


def changed(
    program: PipelineProgram[AnnotatedProgram], what: str
) -> PipelineProgram[AnnotatedProgram]:
    arguments, values = program.arguments, program.values
    match what:
        case "stages":
            return dataclasses.replace(program, stages=program.stages[:1])
        case "combiner":
            return dataclasses.replace(program, combiners={})
        case "owner":
            orphan = tuple(dataclasses.replace(a, owner=None) for a in arguments)
            return dataclasses.replace(program, arguments=orphan)
        case "kept":
            kept = {v: s for v, s in values.kept.items() if v != "loss"}
            return dataclasses.replace(program, values=dataclasses.replace(values, kept=kept))
        case "type":
            wide = tuple(
                dataclasses.replace(a, aval=jax.ShapeDtypeStruct((9, 9), jnp.float32))
                if a.value == "w0" else a for a in arguments
            )  # fmt: skip
            return dataclasses.replace(program, arguments=wide)
        case _:
            programs = dict(list(program.programs.items())[1:])
            return dataclasses.replace(program, programs=programs)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("stages", "expected 2 stages, got 1"),
        ("combiner", "expected a way to combine 'gb0', one of add,"),
        ("owner", "expected the owner of 'b0' to be one of the stages"),
        ("kept", "result 'loss' to be kept on the stage that writes it"),
        ("type", r"expected 'w0' of task F0 to be float32\[9, 9\], got float32\[8, 8\]"),
        ("programs", "expected a program for every signature"),
    ],
)
def test_programs_that_do_not_fit_are_refused(what: str, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        compile_pipeline(changed(make_pipeline(TWO, "ONE_F_ONE_B", 2), what), jax.devices())
