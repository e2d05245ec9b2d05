"""Compiles what is done at the end of a step: microbatches joined, results brought to those who
read them.

Of several processes, each gets every result that is no state on its first device, whole. State
stays on the mesh of its stage: elsewhere it is an array without addressable shards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import NamedSharding

from alpa_mlir.errors import CompileError
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import (
    ArgumentResult,
    ExamplesResult,
    PipelineProgram,
    PipelineResult,
)
from alpa_mlir.program.placement import absent
from alpa_mlir.runtime.compiled_programs import CompileSession
from alpa_mlir.runtime.issued import Issue, IssuedJoin, IssuedTransfer
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.results import (
    AbsentReader,
    ArgumentReader,
    ResultReader,
    SlotReader,
    compile_join,
)
from alpa_mlir.runtime.share import Share
from alpa_mlir.runtime.transfer.transport import AbstractTransport, Lot
from alpa_mlir.schedule.values import Buffer

# In place of a mesh: one device of every process.
_EVERYWHERE = -1


@dataclass(frozen=True)
class _Found:
    """A result where a step leaves it."""

    mesh: int
    buffer: Buffer
    aval: Any
    sharding: NamedSharding


class ResultsBuilder:
    """Asks for compilations; `finish` waits for them."""

    def __init__(
        self,
        program: PipelineProgram[AnnotatedProgram],
        layout: Layout,
        session: CompileSession,
        share: Share,
        transport: AbstractTransport,
        collected: Collection[int],
    ) -> None:
        self._program = program
        self._layout = layout
        self._session = session
        self._share = share
        self._transport = transport
        self._collected = collected
        self._joins: list[Callable[[], Issue]] = []
        # By mesh, results that go to every process.
        self._sent: dict[int, list[_Found]] = {}
        self._readers = [self._reader(n, result) for n, result in enumerate(program.results)]
        self._transfers = [self._transfer(mesh, sent) for mesh, sent in self._sent.items()]

    def finish(self) -> tuple[list[ResultReader], list[Issue]]:
        """What reads each result, and what is issued before, in this order."""
        return self._readers, [make_issue() for make_issue in (*self._joins, *self._transfers)]

    def _reader(self, position: int, result: PipelineResult) -> ResultReader:
        if isinstance(result, ArgumentResult):
            argument = self._program.arguments[result.position]
            if argument.owner is None:
                return ArgumentReader(result.position)
        found = self._find(result)
        if position in self._collected:
            self._sent.setdefault(found.mesh, []).append(found)
            return SlotReader(self._layout.slot(_EVERYWHERE, found.buffer))
        if self._share.has(found.mesh):
            return SlotReader(self._layout.slot(found.mesh, found.buffer))
        return AbsentReader(absent(found.aval.shape, found.aval.dtype, found.sharding))

    def _find(self, result: PipelineResult) -> _Found:
        program = self._program
        if isinstance(result, ArgumentResult):
            value = program.arguments[result.position].value
            return self._at(program.home_meshes[value], Buffer(value))
        mesh = self._home(result.value)
        if not isinstance(result, ExamplesResult):
            return self._at(mesh, Buffer(result.value))
        num_parts = program.schedule.num_microbatches
        parts = [Buffer(result.value, k) for k in range(num_parts)]
        found = self._at(mesh, parts[0])
        return found if num_parts == 1 else self._join(found, result, parts)

    def _at(self, mesh: int, buffer: Buffer) -> _Found:
        layout = self._layout
        return _Found(mesh, buffer, layout.aval(buffer), layout.sharding(mesh, buffer))

    def _home(self, value: str) -> int:
        writer = self._program.writer(value)
        if writer is None:
            raise CompileError(f"expected a task that writes '{value}', got none")
        return self._program.schedule.mesh_of_stage[writer.stage]

    def _join(self, part: _Found, result: ExamplesResult, parts: list[Buffer]) -> _Found:
        aval, sharding, dim = part.aval, part.sharding, result.batch_dim.dim
        whole = Buffer(result.value)
        slot = self._layout.slot(part.mesh, whole)
        slots = self._layout.slots(part.mesh, parts)
        if self._share.has(part.mesh):
            join = self._session.submit(
                ("join", aval.shape, aval.dtype, sharding, result.batch_dim, len(parts)),
                lambda: compile_join(aval, sharding, result.batch_dim, len(parts)),
            )
            self._joins.append(lambda: IssuedJoin(join.result(), slots, slot))
        shape = list(aval.shape)
        shape[dim] *= len(parts)
        joined = jax.ShapeDtypeStruct(tuple(shape), aval.dtype)
        return _Found(part.mesh, whole, joined, sharding)

    def _transfer(self, mesh: int, found: list[_Found]) -> Callable[[], Issue]:
        """Every process takes part."""
        found = list({each.buffer: each for each in found}.values())
        sources = [each.sharding for each in found]
        targets = [self._share.everywhere] * len(found)
        avals = [each.aval for each in found]
        lot = Lot(avals, sources, targets, [False] * len(found))
        compiled = self._session.submit(
            ("collect", mesh, tuple(each.buffer for each in found), tuple(sources)),
            lambda: self._transport.compile(lot),
        )
        buffers = [each.buffer for each in found]
        reads = self._layout.slots(mesh, buffers)
        writes = self._layout.slots(_EVERYWHERE, buffers)
        return lambda: IssuedTransfer(compiled.result(), reads, writes)
