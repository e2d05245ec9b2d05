"""What the user may ask of the planner: one frozen dataclass per method; each checks its fields."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Protocol, runtime_checkable

from annotated_types import Le, MaxLen, MinLen

from alpa_mlir._native import MAX_MESH_AXES
from alpa_mlir.errors import ArgumentError
from alpa_mlir.fields import (
    TUPLE_OR_LIST,
    Count,
    Fraction,
    Joules,
    MemoryBytes,
    Seconds,
    WholeNumber,
    check,
)
from alpa_mlir.plan.data import PlanData, ScheduleName

MeshShape = Annotated[tuple[Count, ...], MinLen(1), MaxLen(MAX_MESH_AXES), TUPLE_OR_LIST]


@dataclass(frozen=True)
class Method:
    """Base of all methods. Raises ArgumentError where a field is of another type or out of range.

    Attributes:
      mesh_shape: sizes of the logical mesh, e.g. (2, 4); None tries a few and takes the fastest.
      memory_limit_bytes: per device; None is what the cluster's devices have.
      time_limit_seconds: for the solver, per logical mesh. It ends earlier where nothing better has
        come for long: counted in work, some three seconds of one core, so that a busy machine plans
        what an idle one does.
      target_gap: the solver stops at a plan proven this close to the optimum (0.005 is 0.5 %).
    """

    mesh_shape: MeshShape | None = None
    memory_limit_bytes: MemoryBytes | None = None
    time_limit_seconds: Seconds = 60.0
    target_gap: Fraction = 0.005

    def __post_init__(self) -> None:
        check(self, ArgumentError)

    @property
    def strategy_space(self) -> str:
        """Which strategies the enumerator offers: "auto", "data", "zero2" or "zero3"."""
        return "auto"


@dataclass(frozen=True)
class ShardParallel(Method):
    """Every operator sharded the way that makes the step fastest (Alpa's intra-op pass)."""


@dataclass(frozen=True)
class DataParallel(Method):
    """The batch split over all devices, parameters and optimizer state whole on each."""

    @property
    def strategy_space(self) -> str:
        return "data"


@dataclass(frozen=True)
class Zero2Parallel(Method):
    """Data parallel, with gradients reduced to and optimizer state kept in shards (ZeRO-2)."""

    @property
    def strategy_space(self) -> str:
        return "zero2"


@dataclass(frozen=True)
class Zero3Parallel(Method):
    """Data parallel, with parameters kept in shards as well and gathered for use (ZeRO-3)."""

    @property
    def strategy_space(self) -> str:
        return "zero3"


@dataclass(frozen=True)
class PipelineMethod(Method):
    """Base of the methods that may cut the step into stages.

    Attributes:
      time_limit_seconds: for the solver, per stage in question.
      num_microbatches: in how many parts the batch goes through the pipeline; "auto" tries some.
      num_layers: in how many pieces the program is cut before stages are made of them.
      allow_local_statistics: let each microbatch use its own statistics where sums over examples
        flow back into the step (batch norm). The result is then another than without microbatches.
      split_stacks: keep state that `lax.scan` reads row by row on the stages that use the rows, not
        all of it on the first. New, and for one process yet; a stack whose stages have unlike
        numbers of rows or devices comes back as an `alpa_mlir.stacked_array.StackedArray`.
    """

    time_limit_seconds: Seconds = 30.0
    num_microbatches: Count | Literal["auto"] = "auto"
    num_layers: Count | Literal["auto"] = "auto"
    allow_local_statistics: bool = False
    split_stacks: bool = False


@dataclass(frozen=True)
class SearchedPipeline(PipelineMethod):
    """Base of the methods that search for stages. On which submeshes: inter_op/options.py.

    Attributes:
      schedule: "gpipe", "1f1b", "eager_1f1b" or "inference"; "auto" takes the fastest that fits.
      rematerialize: whether the backward of a stage computes the forward of its layers again, so
        that less is kept for it; "auto" does so where memory is short.
      num_processes: that plan beside each other; 0 is this process alone, None one per core.
      cache_dir: where plans, and costs of stages, are kept for the next time; None keeps none,
        "auto" takes $ALPA_MLIR_CACHE_DIR or a folder in the user's cache.
    """

    schedule: ScheduleName | Literal["auto"] = "auto"
    rematerialize: bool | Literal["auto"] = "auto"
    num_processes: Annotated[WholeNumber, Le(1024)] | None = None
    cache_dir: str | Path | None = "auto"


@dataclass(frozen=True)
class Auto(SearchedPipeline):
    """Everything searched: stages, submeshes, microbatches, schedule, and the sharding of every op
    (Alpa's both passes). One stage over all devices is among the plans.

    Attributes:
      objective: "time" is the fastest step. "energy" is the pipeline whose step draws least once
        frequencies are planned (`plan.energy`), by the power model of the cluster's devices.
      max_step_seconds, max_joules: limits of a step; with one, "time" is the fastest pipeline at
        planned frequencies.
    """

    objective: Literal["time", "energy"] = "time"
    max_step_seconds: Seconds | None = None
    max_joules: Joules | None = None

    @property
    def plans_energy(self) -> bool:
        limits = (self.max_step_seconds, self.max_joules)
        return self.objective == "energy" or any(limit is not None for limit in limits)

    @property
    def asks_for_pipeline(self) -> bool:
        """Whether it asks for something that only a pipeline has."""
        return self.num_microbatches not in ("auto", 1) or self.schedule != "auto"


@dataclass(frozen=True)
class PipelineParallel(SearchedPipeline):
    """Pipeline stages on equal submeshes; with as many stages as devices, nothing is sharded
    (Alpa's inter-op pass alone).

    Attributes:
      num_stages: None is one for every device.
    """

    num_stages: Count | None = None


@dataclass(frozen=True)
class ThreeDParallel(SearchedPipeline):
    """A grid chosen by hand, as for Megatron-LM: `pipeline` stages, each on a logical mesh of
    `data` x `tensor` devices. What is split along which axis, and where stages end, is searched."""

    data: Count = 1
    tensor: Count = 1
    pipeline: Count = 1


@dataclass(frozen=True)
class StageShape:
    """A stage chosen by hand.

    Attributes:
      num_layers: of those that the step is cut into.
      submesh: its nodes, and the devices in each.
      mesh_shape: of the logical mesh over them.
    """

    num_layers: Count
    submesh: Annotated[tuple[Count, Count], TUPLE_OR_LIST]
    mesh_shape: MeshShape

    def __post_init__(self) -> None:
        check(self, ArgumentError)


@dataclass(frozen=True)
class FixedStages(SearchedPipeline):
    """Stages chosen by hand, first to last, as published plans state them. What is split along
    which axis, and the schedule, are searched.

    Attributes:
      stages: whose layers, `num_layers` in all, are those that the step is cut into.
    """

    stages: Annotated[tuple[StageShape, ...], MinLen(1), TUPLE_OR_LIST] = ()


class Planned(Protocol):
    """What another function can be planned beside: an executable that says how it runs."""

    @property
    def plan(self) -> PlanData: ...


@runtime_checkable
class Followed(Protocol):
    """A parallelized function, as far as another one that follows it must know it."""

    @property
    def executable(self) -> Planned | None: ...


@dataclass(frozen=True, kw_only=True)
class FollowPlacement(PipelineMethod):
    """The stages of another parallelized function: for evaluation beside training, say.

    Layers run where their parameters are, and these stay as they lie. Arguments are the other's if
    they have the same path in the pytree and the same type.

    Attributes:
      like: the other function, compiled.
    """

    like: Followed

    @property
    def leader(self) -> PlanData:
        """The plan that is followed.

        Raises:
          ArgumentError: there is none yet.
        """
        executable = self.like.executable
        if executable is None:
            raise ArgumentError(
                "expected FollowPlacement(like=step) with a compiled step, got one that was not "
                "compiled yet; call its compile(state, batch) first"
            )
        return executable.plan


@dataclass(frozen=True)
class FixedPlan:
    """What a plan says, nothing searched: for plans that were saved, shipped or edited.

    Raises:
      ArgumentError: it is no plan; `alpa_mlir.Plan.load` reads a file.
    """

    plan: PlanData

    def __post_init__(self) -> None:
        if not isinstance(self.plan, PlanData):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(
                f"FixedPlan.plan: expected an alpa_mlir.Plan, got {type(self.plan).__name__}; read "
                "a file with alpa_mlir.Plan.load(path)"
            )
