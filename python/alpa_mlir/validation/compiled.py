"""Lowers a plan and compiles every distinct program of it for devices that are not there."""

from __future__ import annotations

import re
import time
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any

import jax
from jax.sharding import Mesh

from alpa_mlir.cluster import Cluster
from alpa_mlir.cost.headroom import PLAIN_SCHEDULER, scheduler_options
from alpa_mlir.errors import ClusterError, CompileError
from alpa_mlir.frontend.saved import FlatType, saved_program
from alpa_mlir.inter_op.layers import LayeredSteps
from alpa_mlir.intra_op.shard import normalize
from alpa_mlir.lower.compile import compile_lowered, lower_program
from alpa_mlir.lower.pipeline import lower_pipeline
from alpa_mlir.lower.whole import lower_whole
from alpa_mlir.plan.data import PlanData, TensorPlan
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.progress import Stopwatch
from alpa_mlir.runtime.compile import instructions_of_step
from alpa_mlir.runtime.donation import find_donations
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.memory import allocated_bytes, peak_bytes
from alpa_mlir.schedule.instructions import InstructionLists, make_instructions
from alpa_mlir.schedule.schedule import Phase, TaskKind
from alpa_mlir.validation.reductions import reductions_of_stages
from alpa_mlir.xla.absent import INSTALL, absent_devices, compiler, lacks_tools
from alpa_mlir.xla.collectives import HloCollective, parse_collectives
from alpa_mlir.xla.comparison import (
    CollectiveTotals,
    StageMemory,
    Validation,
    compare_collectives,
)
from alpa_mlir.xla.diagnostics import warnings_in, with_captured_log

_NUM_THREADS = 2
# Such as the number of the stage: XLA does not read them.
_OUR_MARKS = re.compile(r'alpa\.\w+ = (?:"[^"]*"|-?\d+ : i64|\w+)')
_NAME = "program"  # of all, so that equal ones are


@dataclass(frozen=True)
class _Task:
    """A program, where it runs, and of a step how often.

    Attributes:
      devices: numbers of the cluster's devices, in the order of the mesh.
    """

    kind: TaskKind
    program: AnnotatedProgram
    mesh: Mesh
    devices: range
    num_runs: int


def validate(plan: PlanData, text: str, stopwatch: Stopwatch) -> Validation:
    """Compiles what the plan makes of the traced module, and compares.

    Raises:
      PlanError: the plan is not one of the module. ClusterError: nothing compiles for its devices.
      CompileError: XLA refused a program.
    """
    start = time.perf_counter()
    devices = absent_devices(plan.cluster)
    with stopwatch("lower"):
        lowered = _lower(plan, text)
    step: _Pipeline | None = None
    if isinstance(lowered, PipelineProgram):
        step = _Pipeline.of(lowered, devices)
        tasks = step.tasks
    else:
        tasks = [_only_task(plan, lowered, devices)]
    compiled = _compile_all(plan.cluster, tasks, stopwatch)
    runs = [
        _Runs(task.kind.stage, compiled.default[task.kind], task.program.name, task.num_runs)
        for task in tasks
    ]
    if step:
        with stopwatch("reductions"):
            runs += step.reductions()
        memory = _memory_of_stages(plan, step, devices, compiled)
    else:
        memory = [_memory_of_whole(plan, compiled, tasks[0].kind)]
    return Validation(
        program_name=plan.program_name,
        method=plan.method,
        device_kind=plan.cluster.device.kind,
        num_devices=plan.cluster.num_devices,
        compiler=compiler(plan.cluster),
        limit_bytes=plan.cluster.device.memory_bytes,
        is_kept_within=bool(scheduler_options(plan.cluster.device, plan.memory_bytes)),
        num_programs=compiled.num_programs,
        seconds=time.perf_counter() - start,
        collectives=tuple(_compare(plan, runs)),
        memory=tuple(memory),
        warnings=compiled.warnings,
    )


def _lower(plan: PlanData, text: str) -> AnnotatedProgram | PipelineProgram[AnnotatedProgram]:
    program = saved_program(plan.program_name, text, _types(plan.arguments), _types(plan.results))
    normal = normalize(program.text)
    if plan.is_pipeline:
        return lower_pipeline(program, LayeredSteps(normal), plan)
    return lower_whole(program, normal, plan)


def _types(tensors: Sequence[TensorPlan]) -> list[FlatType]:
    return [FlatType(tensor.name, tensor.dtype, tensor.shape) for tensor in tensors]


# --- Compile ---


@dataclass(frozen=True)
class _Compiled:
    """Executables by kind of task, under XLA's own options and without its scheduler for latency.

    Attributes:
      plain: None where the platform has no such scheduler.
    """

    default: Mapping[TaskKind, Any]
    plain: Mapping[TaskKind, Any] | None
    num_programs: int
    warnings: tuple[str, ...]


def _compile_all(cluster: Cluster, tasks: Sequence[_Task], stopwatch: Stopwatch) -> _Compiled:
    distinct: dict[Hashable, _Lowered] = {}
    keys: dict[TaskKind, Hashable] = {}
    size = cluster.devices_per_node
    for task in tasks:
        lowered = lower_program(replace(task.program, name=_NAME), task.mesh)
        # Which devices it has is nothing to XLA, but how they lie in nodes.
        text = _OUR_MARKS.sub("", lowered.as_text())
        key = text, tuple(number // size - task.devices.start // size for number in task.devices)
        keys[task.kind] = key
        distinct.setdefault(key, _Lowered(lowered, task.program.name, task.mesh))
    ways: list[dict[str, Any] | None] = [None]
    if cluster.device.platform == "cuda":
        ways.append(dict(PLAIN_SCHEDULER))
    wanted = [(key, way) for key in distinct for way in range(len(ways))]

    def compile_them() -> list[Any]:
        with (
            stopwatch.counted("programs", len(wanted)) as advance,
            ThreadPoolExecutor(_NUM_THREADS) as pool,
        ):
            made = [pool.submit(_compile, distinct[key], ways[way]) for key, way in wanted]
            try:
                for done in as_completed(made):
                    done.result()
                    advance()
            except BaseException:  # as_completed would wait for those that are cancelled
                pool.shutdown(cancel_futures=True)
                raise
            return [each.result() for each in made]

    with stopwatch("compile"):
        made, log = with_captured_log(compile_them)
    by_key = dict(zip(wanted, made, strict=True))
    found = [{kind: by_key[key, way] for kind, key in keys.items()} for way in range(len(ways))]
    plain = found[1] if len(found) > 1 else None
    return _Compiled(found[0], plain, len(distinct), tuple(warnings_in(log)))


@dataclass(frozen=True)
class _Lowered:
    """A program as XLA gets it, and what people call it."""

    lowered: jax.stages.Lowered
    name: str
    mesh: Mesh


def _compile(program: _Lowered, options: dict[str, Any] | None) -> Any:
    try:
        return compile_lowered(program.lowered, program.name, program.mesh, options)
    except CompileError as error:
        if lacks_tools(error):
            raise ClusterError(
                f"XLA's compiler for GPUs finds no ptxas or no libdevice; {INSTALL}"
            ) from None
        raise


# --- One program over all devices ---


def _only_task(plan: PlanData, program: AnnotatedProgram, devices: Sequence[Any]) -> _Task:
    mesh = plan.mesh.over(list(devices))
    return _Task(TaskKind(0, Phase.UPDATE), program, mesh, range(len(devices)), 1)


def _memory_of_whole(plan: PlanData, compiled: _Compiled, kind: TaskKind) -> StageMemory:
    platform = plan.cluster.device.platform
    return StageMemory(
        0,
        plan.memory_bytes,
        allocated_bytes(compiled.default[kind], platform),
        None if compiled.plain is None else allocated_bytes(compiled.plain[kind], platform),
    )


# --- Pipelines ---


@dataclass(frozen=True)
class _Pipeline:
    """A step over submeshes, and what its meshes do."""

    program: PipelineProgram[AnnotatedProgram]
    layout: Layout
    lists: InstructionLists
    donations: Mapping[TaskKind, tuple[int, ...]]

    @staticmethod
    def of(program: PipelineProgram[AnnotatedProgram], devices: Sequence[Any]) -> _Pipeline:
        program.check()
        lists = make_instructions(program.schedule, program.values)
        layout = Layout(program, devices)
        return _Pipeline(program, layout, lists, find_donations(program, lists, layout))

    @property
    def tasks(self) -> list[_Task]:
        m = self.program.schedule.num_microbatches
        return [
            _Task(
                kind,
                replace(task, donate_argnums=self.donations[kind]),
                self.layout.stage_meshes[kind.stage],
                self.program.stages[kind.stage].numbers,
                m if kind.phase.runs_per_microbatch else 1,
            )
            for kind, task in self.program.programs.items()
        ]

    def reductions(self) -> list[_Runs]:
        """Of sums over microbatches, by the stage that makes them."""
        return [
            _Runs(stage, executable, f"sums over microbatches of stage {stage}", 1)
            for stage, executable in reductions_of_stages(self.program, self.lists, self.layout)
        ]

    def peak_bytes(self, compiled: Mapping[TaskKind, Any]) -> dict[Any, int]:
        """By device, by the runtime's count of what is live beside each program."""
        order = instructions_of_step(self.program, self.lists)
        return peak_bytes(self.program, self.layout, order, compiled, self.donations)


def _memory_of_stages(
    plan: PlanData, step: _Pipeline, devices: Sequence[Any], compiled: _Compiled
) -> list[StageMemory]:
    default = step.peak_bytes(compiled.default)
    plain = None if compiled.plain is None else step.peak_bytes(compiled.plain)
    return [
        StageMemory(
            number,
            stage.memory_bytes,
            max(default[devices[each]] for each in stage.devices),
            None if plain is None else max(plain[devices[each]] for each in stage.devices),
        )
        for number, stage in enumerate(plan.stages)
    ]


# --- Collectives ---


@dataclass(frozen=True)
class _Runs:
    """An executable of a stage under XLA's own options, what people call it, and its runs."""

    stage: int
    executable: Any
    name: str
    count: int


def _compare(plan: PlanData, runs: Sequence[_Runs]) -> list[CollectiveTotals]:
    """Of the executables under XLA's own options; those of the prologue with its stage's."""
    found: dict[int, list[HloCollective]] = {}
    for run in runs:
        found.setdefault(run.stage, []).extend(
            replace(each, count=each.count * run.count) for each in _collectives_of(run)
        )
    totals: list[CollectiveTotals] = []
    for number, stage in enumerate(plan.stages):
        planned = plan.collectives_of(number)
        totals += compare_collectives(number, stage.mesh, planned, found.get(number, []))
    return totals


def _collectives_of(run: _Runs) -> list[HloCollective]:
    try:
        return parse_collectives(run.executable.as_text() or "")
    except ValueError as error:  # HLO that is not read in full would be counted wrongly
        raise CompileError(f"the HLO of '{run.name}' cannot be read: {error}") from None
