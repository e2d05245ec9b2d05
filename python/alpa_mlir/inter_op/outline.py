"""The outline of a pipeline: every task with the values, types and shardings it reads and writes.

It is known when shardings are: the plan's tensors, owners and transfers are read off it, and the
lowering fills in the programs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alpa_mlir._native import FunctionSummary, ValueSummary
from alpa_mlir.frontend.trace import Argument, TracedProgram
from alpa_mlir.inter_op.layers import SplitStep
from alpa_mlir.inter_op.prologue import Prologue
from alpa_mlir.inter_op.sharded_stage import ShardedStage
from alpa_mlir.ir.element_types import aval_of
from alpa_mlir.ir.functions import (
    INDEX,
    BatchDim,
    argument_name,
    argument_of,
    batch_dim_of,
    combiner_of,
    name_of,
    phase_of,
    result_name,
    result_of,
    round_of,
    spec_of_value,
)
from alpa_mlir.ir.spec import Spec
from alpa_mlir.program.annotated import ProgramInterface, logical_specs
from alpa_mlir.program.pipeline import (
    ArgumentResult,
    ExamplesResult,
    PipelineArgument,
    PipelineProgram,
    PipelineResult,
    StageDevices,
    ValueResult,
)
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS, make_schedule
from alpa_mlir.schedule.schedule import Phase, TaskKind
from alpa_mlir.schedule.values import PipelineValues, Signature

Outline = PipelineProgram[ProgramInterface]


def kind_of(function: FunctionSummary, stage: int) -> TaskKind:
    """The kind of task that a function of a stage is."""
    return TaskKind(stage, Phase[phase_of(function).upper()], round_of(function))


def outline_pipeline(
    program: TracedProgram,
    split: SplitStep,
    stages: Sequence[ShardedStage],
    first_devices: Sequence[int],
    prologue: Prologue | None,
    schedule: str,
    owners: Mapping[int, int] | None = None,
) -> Outline:
    """The step as a pipeline of these stages.

    Args:
      first_devices: of the cluster, where each stage starts.
      owners: the stage that keeps each argument, by position; None finds those that send least.
    """
    builder = _OutlineBuilder(program, split)
    if prologue is not None:
        boundary = prologue.sharded.boundary
        specs = boundary.arguments, boundary.results
        builder.add(TaskKind(prologue.stage, Phase.PROLOGUE), prologue.function, specs)
    for number, stage in enumerate(stages):
        for function in stage.functions:
            specs = (
                [spec_of_value(argument) for argument in function.arguments],
                [spec_of_value(result) for result in function.results],
            )
            builder.add(kind_of(function, number), function, specs)
    devices = tuple(map(StageDevices, (stage.mesh for stage in stages), first_devices))
    return builder.build(devices, schedule, prologue and prologue.stage, owners)


@dataclass
class _OutlineBuilder:
    program: TracedProgram
    split: SplitStep
    signatures: dict[TaskKind, Signature] = field(default_factory=dict[TaskKind, Signature])
    programs: dict[TaskKind, ProgramInterface] = field(
        default_factory=dict[TaskKind, ProgramInterface]
    )
    combiners: dict[str, str] = field(default_factory=dict[str, str])
    batch_dims: dict[int, BatchDim] = field(default_factory=dict[int, BatchDim])

    # --- Tasks ---

    def add(
        self,
        kind: TaskKind,
        function: FunctionSummary,
        specs: tuple[Sequence[Spec], Sequence[Spec]],
    ) -> None:
        in_avals = tuple(self._aval(kind, value) for value in function.arguments)
        out_avals = tuple(self._aval(kind, value) for value in function.results)
        self.signatures[kind] = Signature(
            tuple(map(name_of, function.arguments)), tuple(map(name_of, function.results))
        )
        self.programs[kind] = ProgramInterface(
            in_avals=in_avals,
            out_avals=out_avals,
            in_specs=logical_specs(specs[0], in_avals),
            out_specs=logical_specs(specs[1], out_avals),
        )
        for argument in function.arguments:
            number, batch_dim = argument_of(argument), batch_dim_of(argument)
            if number is not None and batch_dim is not None:
                self.batch_dims[number] = batch_dim
        for result in function.results:
            if combine := combiner_of(result):
                self.combiners[name_of(result)] = combine

    def _aval(self, kind: TaskKind, value: ValueSummary) -> Any:
        """Arguments and results of the user have the types the user knows (a PRNG key is one)."""
        m = self.split.num_microbatches
        if (number := argument_of(value)) is not None:
            argument = self.program.arguments[number]
            dim = argument.batch_dim if kind.phase.runs_per_microbatch else None
            return argument.aval if dim is None else _part(argument.aval, dim, m)
        number = result_of(value)
        if number is not None and name_of(value) == result_name(number):
            aval = self.program.results[number].aval
            batch_dim = batch_dim_of(value)
            return _part(aval, batch_dim.dim, m) if batch_dim else aval
        return aval_of(value.type)

    # --- The whole ---

    def build(
        self,
        stages: tuple[StageDevices, ...],
        schedule: str,
        prologue_stage: int | None,
        owners: Mapping[int, int] | None,
    ) -> Outline:
        rounds = [kind.round + 1 for kind in self.programs if kind.phase == Phase.UPDATE]
        results = tuple(self._results())
        arguments = self._arguments(self._owners() if owners is None else owners)
        return PipelineProgram(
            name=self.program.name,
            schedule=make_schedule(
                SCHEDULE_KINDS[schedule],
                len(stages),
                self.split.num_microbatches,
                prologue_stage,
                max(rounds, default=0),
            ),
            values=self._values(arguments, results),
            programs=self.programs,
            combiners=self.combiners,
            stages=stages,
            arguments=arguments,
            results=results,
            in_tree=self.program.in_tree,
            out_tree=self.program.out_tree,
            stacks=self.program.stacks,
        )

    def _arguments(self, owners: Mapping[int, int]) -> tuple[PipelineArgument, ...]:
        return tuple(
            PipelineArgument(
                value=argument_name(i),
                aval=argument.aval,
                batch_dim=self.batch_dims.get(i) or _dim_of_all(argument),
                is_donated=argument.is_donated,
                owner=None if argument.is_batch else owners.get(i),
            )
            for i, argument in enumerate(self.program.arguments)
        )

    def _owners(self) -> dict[int, int]:
        """State lives where its next value is made, if it is read there, or at its first reader."""
        readers: dict[str, list[int]] = {}
        for kind, signature in self.signatures.items():
            for value in signature.inputs:
                readers.setdefault(value, []).append(kind.stage)
        writers = self._writers()
        owners: dict[int, int] = {}
        for i, argument in enumerate(self.program.arguments):
            reading = readers.get(argument_name(i))
            if not reading:
                continue
            next_value = argument.state_result
            writer = None if next_value is None else writers.get(result_name(next_value))
            owners[i] = writer if writer in reading else reading[0]
        return owners

    def _writers(self) -> dict[str, int]:
        kinds = self.signatures.items()
        return {value: kind.stage for kind, signature in kinds for value in signature.outputs}

    def _results(self) -> Iterator[PipelineResult]:
        found: dict[int, PipelineResult] = {}
        for name in ("microbatch", "update"):
            for result in self.split.function(name).results:
                number = result_of(result)
                if number is None:
                    continue
                if (position := argument_of(result)) is not None:
                    found[number] = ArgumentResult(position)
                elif batch_dim := batch_dim_of(result):
                    found[number] = ExamplesResult(name_of(result), batch_dim)
                else:
                    found[number] = ValueResult(name_of(result))
        for number in range(len(self.program.results)):
            yield found[number]

    def _values(
        self, arguments: Sequence[PipelineArgument], results: Sequence[PipelineResult]
    ) -> PipelineValues:
        read = {value for signature in self.signatures.values() for value in signature.inputs}
        writers = self._writers()
        kept: dict[str, frozenset[int]] = {}
        for result in results:
            if not isinstance(result, ArgumentResult):
                kept[result.value] = frozenset([writers[result.value]])
            elif (owner := arguments[result.position].owner) is not None:
                kept[arguments[result.position].value] = frozenset([owner])
        batch = {a.value for a in arguments if a.is_batch} | {INDEX}
        return PipelineValues(
            signatures=self.signatures,
            state=frozenset(a.value for a in arguments if not a.is_batch and a.value in read),
            batch=frozenset(batch & read),
            accumulated=frozenset(self.combiners),
            kept=kept,
        )


def _dim_of_all(argument: Argument) -> BatchDim | None:
    """Of a batch that no task reads by the example."""
    dim = argument.batch_dim
    return None if dim is None else BatchDim(dim, argument.aval.shape[dim])


def _part(aval: Any, dim: int, num_parts: int) -> Any:
    shape = list(aval.shape)
    shape[dim] //= num_parts
    return aval.update(shape=tuple(shape))
