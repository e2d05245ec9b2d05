"""A compiled program over all devices: call it with the user's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh

from alpa_mlir.errors import ArgumentMismatchError
from alpa_mlir.plan.data import PlanData
from alpa_mlir.processes.activity import own_activity
from alpa_mlir.program.annotated import AnnotatedProgram, leaves_of
from alpa_mlir.runtime.batch_rows import BatchPart, rows_of_process
from alpa_mlir.runtime.initialize import StateLayout, create
from alpa_mlir.runtime.memory import allocated_bytes
from alpa_mlir.runtime.placing import Mover
from alpa_mlir.runtime.shared_buffers import DonationGuard
from alpa_mlir.runtime.step_views import WholeView
from alpa_mlir.runtime.transfer.transport import find_transport
from alpa_mlir.stacked_array import on_host
from alpa_mlir.xla.collectives import HloCollective, parse_collectives

PlanT = TypeVar("PlanT", bound=PlanData)


class Executable(Generic[PlanT]):
    """A compiled step. Call it with the dynamic arguments the function was compiled for.

    Attributes:
      plan: what it does.
      input_shardings: pytree of the positional arguments with a `NamedSharding` at every leaf.
      rematerializations: XLA's warnings that it had to replicate a tensor to reshard it.
    """

    def __init__(
        self,
        plan: PlanT,
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
        self._mover = Mover(find_transport()) if jax.process_count() > 1 else None
        self._activity = own_activity()
        self._view = WholeView(self.meshes)

    def __call__(self, *args: Any) -> Any:
        """Runs one step; arguments must lie as `input_shardings` says, or on the host.

        Raises:
          ArgumentMismatchError: they lie elsewhere, or are of other types; nothing has run.
        """
        activity = self._activity
        activity.begin(self._view)
        try:
            if self._mover:
                args = self.place(*args)
            activity.position = 0
            result = self._compiled(*self._guard.arguments(args))
            activity.end(result)
        except (TypeError, ValueError) as error:  # of JAX's comparison with what was compiled
            raise ArgumentMismatchError(str(error)) from error
        finally:
            activity.give_up()
        self._guard.remember(result)
        return result

    def place(self, *args: Any) -> tuple[Any, ...]:
        """Moves arguments to where the step wants them; what is there already is not copied."""
        if self._mover is None:
            return jax.device_put(on_host(args), self.input_shardings)
        leaves, tree = jax.tree.flatten(args)
        if tree != self._program.in_tree:
            return args  # a call refuses it
        shardings = jax.tree.leaves(self.input_shardings)
        return tree.unflatten(map(self._mover.place, leaves, shardings))

    def create_state(self, init: Callable[[], Any], position: int = 0) -> Any:
        """What `init` returns, every leaf created on the devices that keep it.

        Args:
          init: takes nothing and returns the positional argument at `position`.

        Raises:
          ArgumentError: it returns something else.
        """
        return create(init, self.state_layout(position))

    def state_layout(self, position: int = 0) -> StateLayout:
        """How the positional argument at `position` lies between calls."""
        leaves = leaves_of(self._program.in_tree, position)
        avals = [self._program.in_avals[leaf] for leaf in leaves]
        shardings, tree = jax.tree.flatten(self.input_shardings[position])
        return StateLayout(tree, avals, shardings)

    def batch_rows(self, batch_dims: Mapping[int, int], process: int) -> np.ndarray:
        """The examples that a process' devices read; by number of a flat argument, the dim that
        counts them."""
        shardings = jax.tree.leaves(self.input_shardings)
        avals = self._program.in_avals
        parts = [
            BatchPart(avals[n].shape, dim, np.arange(avals[n].shape[dim]), shardings[n])
            for n, dim in batch_dims.items()
        ]
        return rows_of_process(parts, process)

    @property
    def meshes(self) -> set[Mesh]:
        """Those that arguments and results lie on."""
        return {sharding.mesh for sharding in jax.tree.leaves(self.input_shardings)}

    @property
    def stage_executables(self) -> tuple[jax.stages.Compiled, ...]:
        """What XLA compiled: one executable, as long as there is one stage."""
        return (self._compiled,)

    def collectives(self) -> list[HloCollective]:
        """The collectives XLA really runs, read from the optimised HLO."""
        return parse_collectives(self._compiled.as_text() or "")

    def memory_analysis(self) -> int:
        """Peak bytes on one device while the step runs, as XLA has allocated them."""
        # The plan may be of a cluster that is not here.
        platforms = [mesh.devices.flat[0].platform for mesh in self.meshes]
        return allocated_bytes(self._compiled, next(iter(platforms), jax.default_backend()))
