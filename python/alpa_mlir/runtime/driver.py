"""Drives one step of a pipeline: arguments into a store, instructions issued, results out of it.

One Python thread drives all meshes of a process; JAX dispatches without waiting, so nothing blocks
until a result is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alpa_mlir.processes.activity import own_activity
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.arguments import ArgumentPlacer, flat_arguments
from alpa_mlir.runtime.issued import Issue, IssuedInstruction, Store
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.results import ResultReader
from alpa_mlir.runtime.share import Share
from alpa_mlir.runtime.stacks import StackBoundary
from alpa_mlir.runtime.step_views import PipelineView
from alpa_mlir.runtime.transfer.transport import AbstractTransport


class Driver:
    """Runs steps.

    Attributes:
      issued: what a step issues here, in this order: of several processes, each its share.
      share: what of the pipeline this process does.
      transport: what moves arrays between meshes.
      stacks: what cuts and joins the user's arrays, of a step in rows.
    """

    def __init__(
        self,
        program: PipelineProgram[AnnotatedProgram],
        layout: Layout,
        issued: tuple[IssuedInstruction, ...],
        placer: ArgumentPlacer,
        readers: Sequence[ResultReader],
        initial_store: Store,
        collects: Sequence[Issue],
        share: Share,
        transport: AbstractTransport,
        stacks: StackBoundary | None = None,
    ) -> None:
        self.program = program
        self.layout = layout
        self.issued = issued
        self._issues = [each.issue for each in issued]
        self._placer = placer
        self._readers = readers
        self._initial_store = initial_store
        self._collects = collects
        self.share = share
        self.transport = transport
        self.stacks = stacks
        self._activity = own_activity()
        meshes = range(len(program.schedule.meshes))
        self._view = PipelineView(issued, [layout.devices(mesh) for mesh in meshes])

    def run(self, args: tuple[Any, ...]) -> Any:
        """Issues one step; every process has to.

        Raises:
          ArgumentMismatchError: arguments of another structure, shape or dtype; nothing has run.
        """
        activity = self._activity
        activity.begin(self._view)
        try:
            leaves, store = self.start(args)
            for position, issue in enumerate(self._issues):
                activity.position = position
                issue(store)
            activity.position = len(self._issues)
            results = self.finish(leaves, store)
            activity.end(results)
        finally:
            activity.give_up()
        return results

    def start(self, args: tuple[Any, ...]) -> tuple[list[Any], Store]:
        """The flat arguments, and a store that has them where they are read."""
        if self.stacks is None:
            leaves = flat_arguments(args, self.program.in_tree)
        else:
            leaves = self.stacks.cut(args)
        store = self._initial_store.copy()
        self._placer(leaves, store)
        return leaves, store

    def finish(self, leaves: list[Any], store: Store) -> Any:
        """The result, when all instructions have been issued."""
        for collect in self._collects:
            collect(store)
        results = [read(leaves, store) for read in self._readers]
        if self.stacks is not None:
            return self.stacks.join(results)
        return self.program.out_tree.unflatten(results)
