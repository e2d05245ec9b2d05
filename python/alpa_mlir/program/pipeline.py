"""A pipelined step: a program for every kind of task, and how the arguments and results of the
user's function are those of the tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Generic, TypeVar

from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.errors import PlanError
from alpa_mlir.frontend.stacks import Stacks
from alpa_mlir.ir.functions import INDEX, BatchDim
from alpa_mlir.program.annotated import ProgramInterface
from alpa_mlir.schedule.schedule import Schedule, TaskKind
from alpa_mlir.schedule.values import PipelineValues

# How parts of accumulated values can combine; the passes write these names (`alpa.accumulate`).
COMBINERS = ("add", "mul", "min", "max", "and", "or")

ProgramT = TypeVar("ProgramT", bound=ProgramInterface)


@dataclass(frozen=True)
class StageDevices:
    """Where a stage runs: `mesh` over the cluster's devices from number `first_device` on."""

    mesh: LogicalMesh
    first_device: int

    @property
    def numbers(self) -> range:
        return range(self.first_device, self.first_device + self.mesh.num_devices)


@dataclass(frozen=True)
class PipelineArgument:
    """A flat argument of the user's function.

    Attributes:
      value: its name in the tasks' signatures.
      aval: shape and dtype; of a batch, of the whole.
      batch_dim: of a batch, how examples are counted, of which each microbatch has equally many.
      is_donated: whether its memory may be taken for results.
      owner: the stage on whose mesh it lives between steps, one that reads it; others that read it
        get a copy in each step. None for batches and for what no task reads.
    """

    value: str
    aval: Any
    batch_dim: BatchDim | None = None
    is_donated: bool = False
    owner: int | None = None

    @property
    def is_batch(self) -> bool:
        return self.batch_dim is not None


@dataclass(frozen=True)
class ValueResult:
    """A value that exists once in a step, taken from the mesh of the stage that writes it."""

    value: str


@dataclass(frozen=True)
class ExamplesResult:
    """The microbatches of a value, joined along the dim that counts examples."""

    value: str
    batch_dim: BatchDim


@dataclass(frozen=True)
class ArgumentResult:
    """An argument that is returned as it came, by its position."""

    position: int


PipelineResult = ValueResult | ExamplesResult | ArgumentResult


@dataclass(frozen=True, eq=False)
class PipelineProgram(Generic[ProgramT]):
    """A step as a pipeline: planned with the interfaces of its programs, lowered with the programs.

    Attributes:
      values: whose signatures name the arguments and results of each program, in order.
      programs: by kind of task; flat arrays in and out, `in_tree` and `out_tree` are flat tuples.
      combiners: how the parts of each accumulated value combine, a key of `COMBINERS`.
      stages: by number.
      arguments, results: of the user's function, flat.
      in_tree, out_tree: of the tuple of its positional arguments, and of its result.
      stacks: of a step in rows, the user's side; the trees are flat tuples then.
      index: the batch value that is the number of the microbatch, an i32 scalar; no argument.
    """

    name: str
    schedule: Schedule
    values: PipelineValues
    programs: Mapping[TaskKind, ProgramT]
    combiners: Mapping[str, str]
    stages: tuple[StageDevices, ...]
    arguments: tuple[PipelineArgument, ...]
    results: tuple[PipelineResult, ...]
    in_tree: Any
    out_tree: Any
    stacks: Stacks | None = None
    index: str = INDEX

    @cached_property
    def home_meshes(self) -> dict[str, int]:
        """The mesh that owns each argument that has an owner."""
        home = self.schedule.mesh_of_stage
        return {a.value: home[a.owner] for a in self.arguments if a.owner is not None}

    @cached_property
    def _writers(self) -> dict[str, TaskKind]:
        kinds = self.values.signatures.items()
        return {value: kind for kind, signature in kinds for value in signature.outputs}

    @cached_property
    def _readers(self) -> dict[str, list[TaskKind]]:
        readers: dict[str, list[TaskKind]] = {}
        for kind, signature in self.values.signatures.items():
            for value in dict.fromkeys(signature.inputs):
                readers.setdefault(value, []).append(kind)
        return readers

    def writer(self, value: str) -> TaskKind | None:
        """The kind of task that writes it; None for arguments and the index."""
        return self._writers.get(value)

    def readers(self, value: str) -> tuple[TaskKind, ...]:
        """The kinds of tasks that read it, in the order of the signatures."""
        return tuple(self._readers.get(value, ()))

    def reading_stages(self, value: str) -> tuple[int, ...]:
        """The stages that read it, ascending."""
        return tuple(sorted({kind.stage for kind in self.readers(value)}))

    def check(self) -> None:
        """Raises PlanError where the parts do not fit each other."""
        for relation, is_kept in self._relations():
            if not is_kept:
                raise PlanError(f"pipeline '{self.name}': expected {relation}; plan again")
        self._check_types()

    def _relations(self) -> Iterator[tuple[str, bool]]:
        values, schedule = self.values, self.schedule
        num_stages, num_leaves = schedule.num_stages, self.in_tree.num_leaves
        yield f"{num_stages} stages, got {len(self.stages)}", len(self.stages) == num_stages
        yield (
            f"{num_leaves} arguments, got {len(self.arguments)}",
            len(self.arguments) == num_leaves,
        )
        num_results = self.out_tree.num_leaves
        yield f"{num_results} results, got {len(self.results)}", len(self.results) == num_results
        yield "a program for every signature", set(values.signatures) == set(self.programs)
        for mesh in range(len(schedule.meshes)):
            homes = {
                self.stages[stage].numbers
                for stage, home in schedule.mesh_of_stage.items()
                if home == mesh
            }
            yield f"the stages of mesh {mesh} on the same devices, got {homes}", len(homes) <= 1
        for value in sorted(values.accumulated):
            kind = self.combiners.get(value)
            yield (
                f"a way to combine '{value}', one of {', '.join(COMBINERS)}, got {kind}",
                kind in COMBINERS,
            )
        known = {argument.value for argument in self.arguments} | {self.index}
        for value in sorted(values.state | values.batch):
            yield f"'{value}' to be an argument", value in known
        for value, stages in sorted(values.kept.items()):
            writer = self.writer(value)
            users = {*self.reading_stages(value), *([writer.stage] if writer else [])}
            yield (
                f"'{value}' to be kept where it is read or written, on stages {sorted(users)}, got "
                f"{sorted(stages)}",
                stages <= users,
            )
        yield from self._argument_relations()
        yield from self._result_relations()

    def _argument_relations(self) -> Iterator[tuple[str, bool]]:
        num_microbatches = self.schedule.num_microbatches
        for argument in self.arguments:
            readers = self.reading_stages(argument.value)
            expected = [*readers] if argument.value in self.values.state else [None]
            yield (
                f"the owner of '{argument.value}' to be one of the stages {expected} that read it "
                f"as state, got {argument.owner}",
                argument.owner in expected,
            )
            if (batch := argument.batch_dim) is not None:
                shape = argument.aval.shape
                yield (
                    f"a batch that {num_microbatches} divides in '{argument.value}', got {batch} "
                    f"of {list(shape)}",
                    batch.size % num_microbatches == 0
                    and batch.dim < len(shape)
                    and shape[batch.dim] % (batch.size * batch.minor) == 0,
                )

    def _result_relations(self) -> Iterator[tuple[str, bool]]:
        for result in self.results:
            if isinstance(result, ArgumentResult):
                yield from self._returned_relations(result.position)
                continue
            writer = self.writer(result.value)
            kept = self.values.kept.get(result.value, frozenset[int]())
            yield (
                f"result '{result.value}' to be kept on the stage that writes it, got {writer} and "
                f"stages {sorted(kept)}",
                writer is not None and writer.stage in kept,
            )
            is_per_microbatch = self.values.is_per_microbatch(result.value)
            yield (
                f"result '{result.value}' to exist once, or to be joined from its microbatches",
                is_per_microbatch == isinstance(result, ExamplesResult),
            )

    def _returned_relations(self, position: int) -> Iterator[tuple[str, bool]]:
        yield f"an argument {position} to return", 0 <= position < len(self.arguments)
        argument = self.arguments[position]
        kept = self.values.kept.get(argument.value, frozenset[int]())
        yield (
            f"returned argument '{argument.value}' to be kept on its owner, stage "
            f"{argument.owner}, got stages {sorted(kept)}",
            argument.owner is None or argument.owner in kept,
        )

    def _check_types(self) -> None:
        """Every value has one shape and dtype wherever it is written or read."""
        types: dict[tuple[str, bool], Any] = {}
        for argument in self.arguments:
            types[argument.value, False] = argument.aval
            if argument.batch_dim is not None:
                types[argument.value, True] = _slice_type(
                    argument.aval, argument.batch_dim.dim, self.schedule.num_microbatches
                )
        for kind, program in self.programs.items():
            signature = self.values.signatures[kind]
            for names, avals in (
                (signature.inputs, program.in_avals),
                (signature.outputs, program.out_avals),
            ):
                if len(names) != len(avals):
                    raise PlanError(
                        f"pipeline '{self.name}': expected {len(names)} arrays {names} of task "
                        f"{kind}, got {len(avals)}; plan again"
                    )
                for name, aval in zip(names, avals, strict=True):
                    is_slice = name in self.values.batch and kind.phase.runs_per_microbatch
                    known = types.setdefault((name, is_slice), aval)
                    if (known.shape, known.dtype) != (aval.shape, aval.dtype):
                        raise PlanError(
                            f"pipeline '{self.name}': expected '{name}' of task {kind} to be "
                            f"{known.dtype}{list(known.shape)}, got "
                            f"{aval.dtype}{list(aval.shape)}; plan again"
                        )


@dataclass(frozen=True)
class _Type:
    shape: tuple[int, ...]
    dtype: Any


def _slice_type(aval: Any, dim: int, num_microbatches: int) -> _Type:
    shape = list(aval.shape)
    shape[dim] //= num_microbatches
    return _Type(tuple(shape), aval.dtype)


def num_bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return prod(shape) * dtype.itemsize
