"""The stations of a parallelized function as types of their own: traced, lowered, executable."""

# JAX declares only part of its types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from dataclasses import dataclass
from typing import Any

import jax

from alpa_mlir.cluster.cluster import local_devices
from alpa_mlir.frontend import shardy
from alpa_mlir.frontend.trace import Program
from alpa_mlir.lower.collectives import HloCollective, parse_collectives
from alpa_mlir.lower.compile import AnnotatedProgram, compile_program
from alpa_mlir.lower.diagnostics import rematerializations, with_captured_log
from alpa_mlir.plan import Plan


@dataclass(frozen=True, eq=False)
class Traced:
    """The function as one StableHLO module, before any decision."""

    program: Program

    def as_text(self) -> str:
        """StableHLO with the marks on @main's arguments."""
        return shardy.to_pretty(self.program.text)


@dataclass(frozen=True, eq=False)
class Lowered:
    """The function with its plan written into the module."""

    program: AnnotatedProgram
    plan: Plan

    def as_text(self) -> str:
        """StableHLO with a mesh, argument and result shardings and sharding constraints."""
        return shardy.to_pretty(self.program.text)

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
        return Executable(self.plan, compiled, shardings, rematerializations(log))


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
        compiled: jax.stages.Compiled,
        input_shardings: tuple[Any, ...],
        rematerializations: list[str],
    ) -> None:
        self.plan = plan
        self.input_shardings = input_shardings
        self.rematerializations = rematerializations
        self._compiled = compiled

    def __call__(self, *args: Any) -> Any:
        """Runs one step; arguments must lie as `input_shardings` says, or on the host."""
        return self._compiled(*args)

    def place(self, *args: Any) -> tuple[Any, ...]:
        """Moves arguments to where the step wants them; what is there already is not copied."""
        return jax.device_put(args, self.input_shardings)

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
