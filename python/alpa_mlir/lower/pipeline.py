"""Writes a plan of stages into the step: one annotated program for every kind of task, and how
arguments and results of the user's function are the values of the tasks.
"""

# JAX declares only part of its types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from alpa_mlir._native import FunctionSummary, ValueKind, ValueSummary, value_name, value_number
from alpa_mlir.cluster import Cluster
from alpa_mlir.frontend.trace import Program
from alpa_mlir.inter_op.layers import SplitStep
from alpa_mlir.inter_op.schedule_kinds import SCHEDULE_KINDS
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.shard import NormalizedModule, shard
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.element_types import aval_of
from alpa_mlir.ir.spec import Spec
from alpa_mlir.program.annotated import AnnotatedProgram, logical_specs
from alpa_mlir.program.pipeline import (
    ArgumentResult,
    BatchDim,
    ExamplesResult,
    PipelineArgument,
    PipelineProgram,
    PipelineResult,
    StageDevices,
    ValueResult,
)
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.schedule.schedule import Phase, TaskKind
from alpa_mlir.schedule.values import PipelineValues, Signature

_PHASES = {
    "prologue": Phase.PROLOGUE,
    "forward": Phase.FORWARD,
    "backward": Phase.BACKWARD,
    "update": Phase.UPDATE,
}


@dataclass(frozen=True, eq=False)
class StageToLower:
    """A stage whose shardings are chosen, by index of strategy."""

    model: StageModel
    choices: Sequence[int]
    first_device: int


def lower_pipeline(
    program: Program,
    split: SplitStep,
    stages: Sequence[StageToLower],
    schedule: str,
    cluster: Cluster,
) -> PipelineProgram:
    """The step as a pipeline program. Uses the stages' models up.

    Raises:
      PlanError: choices do not fit their stage.
    """
    return _PipelineLowering(program, split, stages, cluster).run(schedule)


@dataclass
class _PipelineLowering:
    program: Program
    split: SplitStep
    stages: Sequence[StageToLower]
    cluster: Cluster
    signatures: dict[TaskKind, Signature] = field(default_factory=dict[TaskKind, Signature])
    programs: dict[TaskKind, AnnotatedProgram] = field(
        default_factory=dict[TaskKind, AnnotatedProgram]
    )
    combiners: dict[str, str] = field(default_factory=dict[str, str])

    def run(self, schedule: str) -> PipelineProgram:
        prologue_stage = self._add_prologue()
        for number, stage in enumerate(self.stages):
            self._add_stage(number, stage)
        rounds = [kind.round + 1 for kind in self.programs if kind.phase == Phase.UPDATE]
        results = list(self._results())
        arguments = self._arguments()
        return PipelineProgram(
            name=self.program.name,
            schedule=make_schedule(
                SCHEDULE_KINDS[schedule],
                len(self.stages),
                self.split.num_microbatches,
                prologue_stage,
                max(rounds, default=0),
            ),
            values=self._values(arguments, results),
            programs=self.programs,
            combiners=self.combiners,
            stages=tuple(StageDevices(s.model.mesh, s.first_device) for s in self.stages),
            arguments=tuple(arguments),
            results=tuple(results),
            in_tree=self.program.in_tree,
            out_tree=self.program.out_tree,
        )

    # --- Programs ---

    def _add_stage(self, number: int, stage: StageToLower) -> None:
        sharded = stage.model.phases(stage.choices, number)
        for function in sharded.functions:
            for result in function.results:
                if combine := result.attributes.get("alpa.accumulate"):
                    self.combiners[result.attributes["alpa.value"]] = combine
        sharded.annotate()
        for function in sharded.functions:
            kind = TaskKind(
                number,
                _PHASES[function.attributes["alpa.phase"]],
                int(function.attributes.get("alpa.round", 0)),
            )
            specs = (
                [sharded.spec(argument) for argument in function.arguments],
                [sharded.spec(result) for result in function.results],
            )
            text = sharded.module.only(function.name).text(with_locations=True)
            self._add(kind, function, text, specs)

    def _add_prologue(self) -> int | None:
        """It has a sharding problem of its own, and the mesh of the stage that reads it first."""
        found = [f for f in self.split.stage_functions() if f.name == "prologue"]
        if not found:
            return None
        (function,) = found
        number = int(function.attributes["alpa.stage"])
        text = jaxlib.populate_rules(self.split.module.only("prologue").text(with_locations=True))
        sharded = shard(
            NormalizedModule(text, "", ()), self.stages[number].model.mesh, self.cluster
        )
        boundary = sharded.boundary
        specs = list(boundary.arguments), list(boundary.results)
        self._add(TaskKind(number, Phase.PROLOGUE), function, sharded.text, specs)
        return number

    def _add(
        self,
        kind: TaskKind,
        function: FunctionSummary,
        text: str,
        specs: tuple[list[Spec], list[Spec]],
    ) -> None:
        inputs = tuple(a.attributes["alpa.value"] for a in function.arguments)
        outputs = tuple(r.attributes["alpa.value"] for r in function.results)
        in_avals = tuple(self._aval(kind, value) for value in function.arguments)
        out_avals = tuple(self._aval(kind, value) for value in function.results)
        self.signatures[kind] = Signature(inputs, outputs)
        self.programs[kind] = AnnotatedProgram(
            name=f"{self.program.name}_{_task_name(kind)}",
            text=text,
            in_avals=in_avals,
            out_avals=out_avals,
            in_specs=logical_specs(specs[0], in_avals),
            out_specs=logical_specs(specs[1], out_avals),
            in_tree=jax.tree.structure((0,) * len(inputs)),
            out_tree=jax.tree.structure((0,) * len(outputs)),
            donate_argnums=(),
            host_callbacks=self.program.host_callbacks,
        )

    def _aval(self, kind: TaskKind, value: ValueSummary) -> Any:
        """Arguments and results of the user have the types the user knows (a PRNG key is one)."""
        name = value.attributes["alpa.value"]
        m = self.split.num_microbatches
        if (number := value_number(name, ValueKind.ARGUMENT)) is not None:
            argument = self.program.arguments[number]
            is_part = argument.is_batch and kind.phase.runs_per_microbatch
            return _part(argument.aval, 0, m) if is_part else argument.aval
        number = value_number(name, ValueKind.RESULT)
        if number is not None and "alpa.result" in value.attributes:
            aval = self.program.results[number].aval
            batch_dim = _batch_dim(value)
            return _part(aval, batch_dim.dim, m) if batch_dim else aval
        return aval_of(value.type)

    # --- Values ---

    def _arguments(self) -> list[PipelineArgument]:
        owners = self._owners()
        return [
            PipelineArgument(
                value=_argument(i),
                aval=argument.aval,
                is_batch=argument.is_batch,
                is_donated=argument.is_donated,
                owner=None if argument.is_batch else owners.get(_argument(i)),
            )
            for i, argument in enumerate(self.program.arguments)
        ]

    def _owners(self) -> dict[str, int]:
        """State lives where its next value is made, if it is read there, or at its first reader."""
        readers: dict[str, list[int]] = {}
        for kind, signature in self.signatures.items():
            for value in signature.inputs:
                readers.setdefault(value, []).append(kind.stage)
        writers = {
            value: kind.stage
            for kind, signature in self.signatures.items()
            for value in signature.outputs
        }
        owners = {value: stages[0] for value, stages in readers.items()}
        for i, argument in enumerate(self.program.arguments):
            if argument.state_result is None:
                continue
            writer = writers.get(value_name(ValueKind.RESULT, argument.state_result))
            if writer is not None and writer in readers.get(_argument(i), ()):
                owners[_argument(i)] = writer
        return owners

    def _results(self) -> Iterator[PipelineResult]:
        found: dict[int, PipelineResult] = {}
        for name in ("microbatch", "update"):
            for result in self.split.function(name).results:
                number = result.attributes.get("alpa.result")
                if number is None:
                    continue
                value, batch_dim = result.attributes["alpa.value"], _batch_dim(result)
                if (argument := value_number(value, ValueKind.ARGUMENT)) is not None:
                    found[int(number)] = ArgumentResult(argument)
                elif batch_dim:
                    found[int(number)] = ExamplesResult(value, batch_dim)
                else:
                    found[int(number)] = ValueResult(value)
        for number in range(len(self.program.results)):
            yield found[number]

    def _values(
        self, arguments: Sequence[PipelineArgument], results: Sequence[PipelineResult]
    ) -> PipelineValues:
        read = {value for signature in self.signatures.values() for value in signature.inputs}
        writers = {
            value: kind.stage
            for kind, signature in self.signatures.items()
            for value in signature.outputs
        }
        kept: dict[str, frozenset[int]] = {}
        for result in results:
            if not isinstance(result, ArgumentResult):
                kept[result.value] = frozenset([writers[result.value]])
            elif (owner := arguments[result.position].owner) is not None:
                kept[arguments[result.position].value] = frozenset([owner])
        batch = {a.value for a in arguments if a.is_batch} | {value_name(ValueKind.MICROBATCH)}
        return PipelineValues(
            signatures=self.signatures,
            state=frozenset(a.value for a in arguments if not a.is_batch and a.value in read),
            batch=frozenset(batch & read),
            accumulated=frozenset(self.combiners),
            kept=kept,
        )


def _argument(position: int) -> str:
    return value_name(ValueKind.ARGUMENT, position)


def _task_name(kind: TaskKind) -> str:
    name = f"{kind.phase.name.lower()}_stage{kind.stage}"
    return f"{name}_round{kind.round}" if kind.round else name


def _batch_dim(value: ValueSummary) -> BatchDim | None:
    """`array<i64: 0, 8, 1>`."""
    text = value.attributes.get("alpa.batch_dim")
    if text is None:
        return None
    dim, size, minor = (int(part) for part in text.partition(":")[2].rstrip(">").split(","))
    return BatchDim(dim, size, minor)


def _part(aval: Any, dim: int, num_parts: int) -> Any:
    shape = list(aval.shape)
    shape[dim] //= num_parts
    return aval.update(shape=tuple(shape))
