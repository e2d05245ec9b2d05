"""The stations of a parallelized function as types of their own: traced, lowered, executable.

One program over all devices, and a pipeline of programs, have a type each with the same methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alpa_mlir.cost.headroom import scheduler_options
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.ir import jaxlib
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.plans import Plan
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.compile import compile_pipeline
from alpa_mlir.runtime.compiled_programs import CompiledPrograms
from alpa_mlir.runtime.executable import Executable
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.xla.diagnostics import rematerializations, with_captured_log

AnyExecutable = Executable[Plan] | PipelineExecutable[Plan]


@dataclass(frozen=True, eq=False)
class Traced:
    """The function as one StableHLO module, before any decision."""

    program: TracedProgram

    def as_text(self) -> str:
        """StableHLO with the marks on @main's arguments."""
        return jaxlib.to_pretty(self.program.text)


@dataclass(frozen=True, eq=False)
class Lowered:
    """The function with its plan written into the module.

    Attributes:
      devices: those of the mesh the user has placed the arguments on, in its row-major order.
        None, or others than the cluster's: it runs on the cluster's, in JAX's order.
    """

    program: AnnotatedProgram
    plan: Plan
    devices: tuple[Any, ...] | None = None

    def as_text(self) -> str:
        """StableHLO with a mesh, argument and result shardings and sharding constraints."""
        return jaxlib.to_pretty(self.program.text)

    def compile(self, compiler_options: dict[str, Any] | None = None) -> Executable[Plan]:
        """Compiles for the devices of this process.

        Args:
          compiler_options: of XLA; they go before those that keep it within the planned memory.

        Raises:
          ClusterError: there are too few. CompileError: XLA refused the module.
        """
        options = _options(self.plan, compiler_options)
        devices = self.plan.cluster.devices()
        if self.devices and set(self.devices) <= set(devices):
            devices = list(self.devices)
        mesh = self.plan.mesh.over(devices)
        compiled, log = with_captured_log(lambda: compile_program(self.program, mesh, options))
        shardings = self.program.in_shardings(mesh)
        return Executable(self.plan, self.program, compiled, shardings, rematerializations(log))


@dataclass(frozen=True, eq=False)
class LoweredPipeline:
    """The function as stages, with the plan written into the module of each."""

    program: PipelineProgram[AnnotatedProgram]
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
    ) -> PipelineExecutable[Plan]:
        """Compiles every task for the devices of this process.

        Args:
          compiler_options: of XLA; they go before those that keep it within the planned memory.
          shared: executables of other pipelines, such as those of one plan under other schedules.

        Raises:
          ClusterError: there are too few. CompileError: XLA refused a task, which is named.
        """
        devices = self.plan.cluster.devices()
        options = _options(self.plan, compiler_options)
        return compile_pipeline(self.program, devices, options, shared=shared, plan=self.plan)


def _options(plan: Plan, given: dict[str, Any] | None) -> dict[str, Any] | None:
    """None where there are none, so that an executable is found in the caches of `jax.jit`."""
    return {**scheduler_options(plan.cluster.device, plan.memory_bytes), **(given or {})} or None
