"""A compiled pipeline: call it with the user's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from alpa_mlir.errors import ArgumentError
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.arguments import ArgumentPlacer
from alpa_mlir.runtime.initialize import create
from alpa_mlir.runtime.issued import Step, TransferStep
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.memory import peak_bytes
from alpa_mlir.runtime.results import ResultReader
from alpa_mlir.runtime.timeline import MeasuredTimeline, Recorder
from alpa_mlir.schedule.instructions import Instruction
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer


@dataclass(frozen=True, eq=False)
class IssuedStep:
    """An instruction of a mesh and what issues it."""

    mesh: int
    instruction: Instruction
    step: Step


class PipelineExecutable:
    """A compiled step over submeshes. Nothing blocks until a result is read.

    Attributes:
      issued: what a call issues, in this order.
      compiled: the executable of every kind of task; equal programs of one mesh share one.
      donations: by kind of task, the positions of the inputs whose memory results take.
      rematerializations: XLA's warnings that it had to replicate a tensor to reshard it.
    """

    def __init__(
        self,
        program: PipelineProgram,
        layout: Layout,
        issued: Sequence[IssuedStep],
        placer: ArgumentPlacer,
        readers: Sequence[ResultReader],
        initial_store: list[Any],
        compiled: Mapping[TaskKind, jax.stages.Compiled],
        donations: Mapping[TaskKind, tuple[int, ...]],
    ) -> None:
        self.program = program
        self.layout = layout
        self.issued = tuple(issued)
        self.compiled = compiled
        self.donations = donations
        self.rematerializations: list[str] = []
        self._steps = [each.step for each in issued]
        self._placer = placer
        self._readers = readers
        self._initial_store = initial_store
        self._recorder: Recorder | None = None

    def __call__(self, *args: Any) -> Any:
        """Runs one step.

        Raises:
          ArgumentError: arguments are of another structure, shape or dtype.
        """
        leaves, store = self.start(args)
        for step in self._steps:
            step(store)
        return self.finish(leaves, store)

    def start(self, args: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
        """The flat arguments, and a store that has them where they are read."""
        leaves, tree = jax.tree.flatten(args)
        if tree != self.program.in_tree:
            raise ArgumentError(
                f"expected arguments of the structure {self.program.in_tree}, got {tree}; compile "
                "again for arguments of another structure"
            )
        store = self._initial_store.copy()
        self._placer(leaves, store)
        return leaves, store

    def finish(self, leaves: list[Any], store: list[Any]) -> Any:
        """The result, when all steps have been issued."""
        results = [read(leaves, store) for read in self._readers]
        return self.program.out_tree.unflatten(results)

    @property
    def input_shardings(self) -> tuple[Any, ...]:
        """Pytree of the arguments: how each lies on the mesh that owns it.

        None for batches and for arguments that no task reads.
        """
        return self.program.in_tree.unflatten([self._owned(a) for a in self.program.arguments])

    def _owned(self, argument: Any) -> Any:
        if argument.owner is None:
            return None
        mesh = self.program.home_meshes[argument.value]
        return self.layout.sharding(mesh, Buffer(argument.value))

    def create_state(self, init: Callable[[], Any], argnum: int = 0) -> Any:
        """What `init` returns, every leaf created on the mesh that owns it.

        Args:
          init: takes nothing and returns the positional argument `argnum`.

        Raises:
          ArgumentError: it returns something else.
        """
        trees = self.program.in_tree.children()
        first = sum(tree.num_leaves for tree in trees[:argnum])
        arguments = self.program.arguments[first : first + trees[argnum].num_leaves]
        elsewhere = NamedSharding(self.layout.stage_meshes[0], PartitionSpec())
        shardings = [self._owned(argument) or elsewhere for argument in arguments]
        return create(init, trees[argnum], [a.aval for a in arguments], shardings)

    def memory_analysis(self) -> dict[Any, int]:
        """Peak bytes by device while a step runs; runtime/memory.py has the formula."""
        return peak_bytes(self.program, self.layout, self.issued, self.compiled, self.donations)

    def timeline(self, *args: Any) -> tuple[Any, MeasuredTimeline]:
        """Runs one step and waits for it: its result, and when each task ran."""
        self._recorder = self._recorder or Recorder(self)
        return self._recorder.record(args)

    def transfer_bytes(self) -> int:
        """What all devices receive from other devices in transfers of one step, as predicted."""
        steps = (each.step for each in self.issued)
        return sum(step.transfer.bytes for step in steps if isinstance(step, TransferStep))
