"""The stations of a parallelized function as types of their own: traced, lowered, executable.

One program over all devices, and a pipeline of programs, have a type each with the same methods.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax

from alpa_mlir.cluster.cluster import local_devices
from alpa_mlir.frontend.trace import Program
from alpa_mlir.ir import jaxlib
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.plan.data import Plan
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.report.timeline import save_trace, to_svg
from alpa_mlir.runtime.compile import compile_pipeline
from alpa_mlir.runtime.compiled_programs import CompiledPrograms
from alpa_mlir.runtime.executable import PipelineExecutable
from alpa_mlir.runtime.shared_buffers import DonationGuard
from alpa_mlir.schedule.instructions import make_instructions
from alpa_mlir.simulate.planned import planned_timeline
from alpa_mlir.simulate.timeline import Timeline
from alpa_mlir.validate.collectives import HloCollective, parse_collectives
from alpa_mlir.validate.diagnostics import rematerializations, with_captured_log


@dataclass(frozen=True, eq=False)
class Traced:
    """The function as one StableHLO module, before any decision."""

    program: Program

    def as_text(self) -> str:
        """StableHLO with the marks on @main's arguments."""
        return jaxlib.to_pretty(self.program.text)


@dataclass(frozen=True, eq=False)
class Lowered:
    """The function with its plan written into the module."""

    program: AnnotatedProgram
    plan: Plan

    def as_text(self) -> str:
        """StableHLO with a mesh, argument and result shardings and sharding constraints."""
        return jaxlib.to_pretty(self.program.text)

    def compile(self, compiler_options: dict[str, Any] | None = None) -> "Executable":
        """Compiles for the devices of this process.

        Raises:
          ClusterError: there are too few. CompileError: XLA refused the module.
        """
        mesh = self.plan.mesh.over(local_devices(self.plan.cluster))
        compiled, log = with_captured_log(
            lambda: compile_program(self.program, mesh, compiler_options)
        )
        shardings = self.program.in_shardings(mesh)
        return Executable(self.plan, self.program, compiled, shardings, rematerializations(log))


class Executable:
    """A compiled step. Call it with the dynamic arguments the function was compiled for.

    Attributes:
      plan: what it does.
      input_shardings: pytree of the positional arguments with a `NamedSharding` at every leaf.
      rematerializations: XLA's warnings that it had to replicate a tensor to reshard it.
    """

    def __init__(
        self,
        plan: Plan,
        program: AnnotatedProgram,
        compiled: jax.stages.Compiled,
        input_shardings: tuple[Any, ...],
        rematerializations: list[str],
    ) -> None:
        self.plan = plan
        self.input_shardings = input_shardings
        self.rematerializations = rematerializations
        self._program = program
        self._compiled = compiled
        self._guard = DonationGuard(program.donate_argnums)

    def __call__(self, *args: Any) -> Any:
        """Runs one step; arguments must lie as `input_shardings` says, or on the host."""
        result = self._compiled(*self._guard.arguments(args))
        self._guard.remember(result)
        return result

    def place(self, *args: Any) -> tuple[Any, ...]:
        """Moves arguments to where the step wants them; what is there already is not copied."""
        return jax.device_put(args, self.input_shardings)

    def input_avals(self, position: int) -> list[Any]:
        """Shapes and dtypes of the leaves of an argument."""
        return [self._program.in_avals[leaf] for leaf in self._program.leaves_of(position)]

    @property
    def stage_executables(self) -> tuple[jax.stages.Compiled, ...]:
        """What XLA compiled: one executable, as long as there is one stage."""
        return (self._compiled,)

    def collectives(self) -> list[HloCollective]:
        """The collectives XLA really runs, read from the optimised HLO."""
        return parse_collectives(self._compiled.as_text() or "")

    def memory_analysis(self) -> int:
        """Peak bytes on one device while the step runs, as XLA has allocated them.

        Arguments, results and temporaries, less what results share with donated arguments: on CPU
        XLA's own peak leaves temporaries out.
        """
        stats: Any = self._compiled.memory_analysis()
        return (
            stats.argument_size_in_bytes
            + stats.output_size_in_bytes
            - stats.alias_size_in_bytes
            + stats.temp_size_in_bytes
        )


@dataclass(frozen=True, eq=False)
class LoweredPipeline:
    """The function as stages, with the plan written into the module of each."""

    program: PipelineProgram
    plan: Plan

    def as_text(self) -> str:
        """A StableHLO module per task, with mesh, shardings and constraints."""
        modules = (
            f"// {kind.phase.name.lower()} of stage {kind.stage}\n{jaxlib.to_pretty(task.text)}"
            for kind, task in self.program.programs.items()
        )
        return "\n".join(modules)

    def compile(
        self,
        compiler_options: dict[str, Any] | None = None,
        shared: CompiledPrograms | None = None,
    ) -> "Pipeline":
        """Compiles every task for the devices of this process.

        Args:
          shared: executables of other pipelines, such as those of one plan under other schedules.

        Raises:
          ClusterError: there are too few. CompileError: XLA refused a task, which is named.
        """
        devices = local_devices(self.plan.cluster)
        runtime = compile_pipeline(self.program, devices, compiler_options, shared=shared)
        return Pipeline(self.plan, runtime)


class Pipeline:
    """A compiled pipeline. Call it with the dynamic arguments the function was compiled for.

    Attributes:
      plan: what it does.
      runtime: what runs it.
    """

    def __init__(self, plan: Plan, runtime: PipelineExecutable) -> None:
        self.plan = plan
        self.runtime = runtime

    def __call__(self, *args: Any) -> Any:
        """Runs one step; nothing blocks until a result is read."""
        return self.runtime(*args)

    def place(self, *args: Any) -> tuple[Any, ...]:
        """Arguments as they are: a call takes them from wherever they lie."""
        return args

    @property
    def input_shardings(self) -> tuple[Any, ...]:
        """Pytree of the arguments: how state lies between steps; None for batches."""
        return self.runtime.input_shardings

    @property
    def rematerializations(self) -> list[str]:
        return self.runtime.rematerializations

    @property
    def stage_executables(self) -> tuple[jax.stages.Compiled, ...]:
        """What XLA compiled, one for each kind of task."""
        return tuple(self.runtime.compiled.values())

    def collectives(self) -> list[HloCollective]:
        """The collectives XLA runs in a step, forward and backward once per microbatch."""
        m = self.plan.num_microbatches
        return [
            replace(each, count=each.count * (m if kind.phase.runs_per_microbatch else 1))
            for kind, compiled in self.runtime.compiled.items()
            for each in parse_collectives(compiled.as_text() or "")
        ]

    def memory_analysis(self) -> int:
        """Peak bytes of the device that needs most while a step runs, as XLA has allocated them."""
        return max(self.runtime.memory_analysis().values())

    def instructions(self) -> str:
        """What every mesh does in a step."""
        return str(make_instructions(self.runtime.program.schedule, self.runtime.program.values))

    def timeline(self, *args: Any) -> "PipelineTimeline":
        """Runs one step (donated arguments are used up), and says when each task ran.

        The result has the step's result, the measured timeline and the planned one, and writes them
        as a trace for Perfetto and as a picture.
        """
        result, measured = self.runtime.timeline(*args)
        planned = planned_timeline(self.plan, self.runtime.program.schedule)
        return PipelineTimeline(result, planned, measured.timeline)


@dataclass(frozen=True, eq=False)
class PipelineTimeline:
    """A step as it was planned and as it ran."""

    result: Any
    planned: Timeline
    measured: Timeline

    def save_trace(self, path: str | Path) -> None:
        """For ui.perfetto.dev or chrome://tracing."""
        save_trace(path, {"planned": self.planned, "measured": self.measured})

    def to_svg(self) -> str:
        return to_svg({"planned": self.planned, "measured": self.measured})
