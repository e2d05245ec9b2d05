"""Compiles a pipelined step: its executables, in threads, and what issues the instructions.

1F1B and its kin come from alpa_mlir.schedule; Alpa (OSDI'22, section 6) has the same static
instruction lists, one per mesh. Here one thread issues them all, in `issue_order`; of several
processes each compiles and issues what its own meshes do, in this same order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from alpa_mlir.errors import CompileError
from alpa_mlir.lower.compile import compile_program
from alpa_mlir.plan.data import PlanData
from alpa_mlir.program.annotated import AnnotatedProgram
from alpa_mlir.program.pipeline import PipelineProgram
from alpa_mlir.runtime.arguments import ArgumentPlacer, Destination, leaf_names
from alpa_mlir.runtime.compile_results import ResultsBuilder
from alpa_mlir.runtime.compiled_programs import CompiledPrograms, CompileSession
from alpa_mlir.runtime.donation import find_donations
from alpa_mlir.runtime.driver import Driver
from alpa_mlir.runtime.executable import PlanT
from alpa_mlir.runtime.issued import (
    Issue,
    IssuedFree,
    IssuedInstruction,
    IssuedRun,
    IssuedStartSums,
    IssuedTransfer,
)
from alpa_mlir.runtime.layout import Layout
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.runtime.placing import Mover, put
from alpa_mlir.runtime.reductions import Reductions
from alpa_mlir.runtime.share import Share
from alpa_mlir.runtime.stacks import stack_boundary
from alpa_mlir.runtime.sums import compile_start
from alpa_mlir.runtime.transfer.reshard import Reshard, compile_reshard
from alpa_mlir.runtime.transfer.transport import Lot, find_transport
from alpa_mlir.schedule.instructions import (
    Free,
    Instruction,
    InstructionLists,
    Run,
    StartSums,
    Transfer,
    make_instructions,
)
from alpa_mlir.schedule.interpret import verify_instructions
from alpa_mlir.schedule.issue_order import issue_order
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer
from alpa_mlir.xla.diagnostics import rematerializations, with_captured_log


def compile_pipeline(
    program: PipelineProgram[AnnotatedProgram],
    devices: Sequence[Any],
    compiler_options: dict[str, Any] | None = None,
    num_threads: int = 2,
    shared: CompiledPrograms | None = None,
    plan: PlanT | None = None,
) -> PipelineExecutable[PlanT]:
    """Compiles every distinct program once, `num_threads` at a time; every process has to.

    Args:
      devices: those of the cluster, in its order.
      shared: executables that are taken as they are; new ones are left there. What XLA said when
        it compiled one is with the pipeline that had it compiled.
      plan: that `program` was lowered from, for the executable to tell. Of several processes
        each gets the results that are no state.

    Raises:
      PlanError, ScheduleError: the program is malformed. ClusterError: there are too few devices.
      CompileError: XLA refused a program; the message names stage and phase.
    """
    shared = CompiledPrograms() if shared is None else shared
    program.check()
    lists = make_instructions(program.schedule, program.values)
    verify_instructions(lists, program.schedule, program.values)
    layout = Layout(program, devices)
    donations = find_donations(program, lists, layout)
    share = Share(layout, len(lists.meshes))
    collected = _collected(plan) if not share.is_whole else frozenset[int]()
    with ThreadPoolExecutor(num_threads) as pool:
        session = shared.session(pool)
        builder = _Builder(program, layout, donations, compiler_options, session, share, collected)
        try:
            built, log = with_captured_log(
                lambda: builder.build(instructions_of_step(program, lists))
            )
            session.keep()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    driver, compiled = built
    return PipelineExecutable(plan, driver, compiled, donations, rematerializations(log))


def _collected(plan: PlanData | None) -> frozenset[int]:
    """The results that every process gets: losses and metrics, not what the next step takes."""
    if plan is None:
        return frozenset()
    return frozenset(n for n, result in enumerate(plan.results) if result.role == "result")


def instructions_of_step(
    program: PipelineProgram[Any], lists: InstructionLists
) -> list[tuple[int, Instruction]]:
    """With their meshes, as they are issued. State that other meshes read goes to them first."""
    homes = program.home_meshes
    sent: dict[tuple[int, int], list[Buffer]] = {}
    for mesh, buffer in dict.fromkeys(program.values.initial_buffers(program.schedule)):
        home = homes.get(buffer.value, mesh)
        if home != mesh:
            sent.setdefault((home, mesh), []).append(buffer)
    copies = [(home, Transfer(tuple(buffers), mesh)) for (home, mesh), buffers in sent.items()]
    return [*copies, *issue_order(lists)]


class _Builder:
    """Asks for all compilations first and waits for them as the instructions are made."""

    def __init__(
        self,
        program: PipelineProgram[AnnotatedProgram],
        layout: Layout,
        donations: dict[TaskKind, tuple[int, ...]],
        compiler_options: dict[str, Any] | None,
        session: CompileSession,
        share: Share,
        collected: Collection[int],
    ) -> None:
        self._program = program
        self._layout = layout
        self._reductions = Reductions(layout)
        self._donations = donations
        self._options = compiler_options
        self._session = session
        self._share = share
        self._collected = collected
        self._transport = find_transport()
        self._given_up: set[tuple[int, Buffer]] = set()

    def build(
        self, order: Sequence[tuple[int, Instruction]]
    ) -> tuple[Driver, dict[TaskKind, jax.stages.Compiled]]:
        mesh_of_stage, share = self._program.schedule.mesh_of_stage, self._share
        own_kinds = [k for k in self._program.programs if share.has(mesh_of_stage[k.stage])]
        for kind in own_kinds:
            self._compile_task(kind)
        self._given_up = set(self._buffers_given_up(order))
        pending: list[tuple[int, Instruction, Callable[[], Issue]]] = []
        for mesh, instruction in order:
            if share.takes_part(mesh, instruction):
                pending.append((mesh, instruction, self._issue(mesh, instruction)))
            elif isinstance(instruction, Run | Transfer):  # so that we know how others send later
                self._reductions.reduce(mesh, instruction)
        results = ResultsBuilder(
            self._program, self._layout, self._session, share, self._transport, self._collected
        )
        placer = self._placer()
        initial = self._initial_store()
        issued = tuple(IssuedInstruction(mesh, i, make_issue()) for mesh, i, make_issue in pending)
        compiled = {kind: self._compile_task(kind).result() for kind in own_kinds}
        readers, collects = results.finish()
        driver = Driver(
            self._program,
            self._layout,
            issued,
            placer,
            readers,
            initial,
            collects,
            share,
            self._transport,
            stack_boundary(self._program, self._layout),
        )
        return driver, compiled

    def _buffers_given_up(
        self, order: Sequence[tuple[int, Instruction]]
    ) -> Iterator[tuple[int, Buffer]]:
        """Those whose memory may be taken before other processes have read them: by a task of this
        step, or of the next one, or by the user, who has the state."""
        values = self._program.values
        for mesh, instruction in order:
            if isinstance(instruction, Run):
                donated = self._donations[instruction.task.kind]
                yield from ((mesh, instruction.reads[i]) for i in donated)
            for buffer in (*instruction.reads, *instruction.writes):
                if buffer.value in values.state or buffer.value in values.kept:
                    yield mesh, buffer

    def _compile_task(self, kind: TaskKind) -> Future[jax.stages.Compiled]:
        mesh = self._layout.stage_meshes[kind.stage]
        program = dataclasses.replace(
            self._program.programs[kind], donate_argnums=self._donations[kind]
        )

        def compile_it() -> jax.stages.Compiled:
            try:
                return compile_program(program, mesh, self._options)
            except Exception as error:
                raise CompileError(
                    f"{kind.phase.name.lower()} of stage {kind.stage}: {error}"
                ) from error

        return self._session.submit(_identity(program, mesh, self._options), compile_it)

    def _issue(self, mesh: int, instruction: Instruction) -> Callable[[], Issue]:
        """Asks for what the instruction needs; the result makes its issue once that is compiled."""
        match instruction:
            case StartSums():
                return self._issue_start(mesh, instruction)
            case Run():
                return self._issue_run(mesh, instruction)
            case Transfer():
                return self._issue_transfer(mesh, instruction)
            case Free():
                slots = self._layout.slots(mesh, instruction.reads)
                return lambda: IssuedFree(slots)

    def _issue_run(self, mesh: int, run: Run) -> Callable[[], Issue]:
        layout, kind = self._layout, run.task.kind
        task = self._compile_task(kind)
        avals = self._program.programs[kind].in_avals
        reduction, there = self._reduction(mesh, run)
        wanted = layout.in_shardings(kind)
        convert = self._session.submit(
            ("reshard", _types(avals), tuple(there), tuple(wanted)),
            lambda: compile_reshard(avals, there, wanted),
        )
        reads, writes = layout.slots(mesh, run.reads), layout.slots(mesh, run.writes)
        return lambda: IssuedRun(task.result(), reads, writes, reduction(), convert.result())

    def _reduction(
        self, mesh: int, instruction: Run | Transfer
    ) -> tuple[Callable[[], Reshard | None], list[NamedSharding]]:
        """Of sums in parts that it reads; and how what it reads lies then."""
        before, after = self._reductions.reduce(mesh, instruction)
        if before == after or not self._share.has(mesh):
            return lambda: None, after
        avals = [self._layout.aval(buffer) for buffer in instruction.reads]
        is_replaced = len(set(instruction.reads)) == len(instruction.reads)
        compiled = self._session.submit(
            ("reduction", _types(avals), tuple(before), tuple(after), is_replaced),
            lambda: compile_reshard(avals, before, after, gives_up=is_replaced),
        )
        return compiled.result, after

    def _issue_start(self, mesh: int, start: StartSums) -> Callable[[], Issue]:
        layout = self._layout
        combiners = [self._program.combiners[buffer.value] for buffer in start.writes]
        avals = [layout.aval(buffer) for buffer in start.writes]
        shardings = [layout.sharding(mesh, buffer) for buffer in start.writes]
        compiled = self._session.submit(
            ("start sums", tuple(combiners), _types(avals), tuple(shardings)),
            lambda: compile_start(combiners, avals, shardings),
        )
        sums = layout.slots(mesh, start.writes)
        return lambda: IssuedStartSums(compiled.result(), sums)

    def _issue_transfer(self, mesh: int, transfer: Transfer) -> Callable[[], Issue]:
        layout, target = self._layout, transfer.target
        avals = [layout.aval(buffer) for buffer in transfer.reads]
        reduction, sources = self._reduction(mesh, transfer)
        targets = [layout.sharding(target, buffer) for buffer in transfer.reads]
        are_copied = [(mesh, buffer) in self._given_up for buffer in transfer.reads]
        lot = Lot(avals, sources, targets, are_copied)
        compiled = self._session.submit(
            ("transfer", _types(avals), tuple(sources), tuple(targets), tuple(are_copied)),
            lambda: self._transport.compile(lot),
        )
        reads = layout.slots(mesh, transfer.reads)
        writes = layout.slots(target, transfer.reads) if self._share.has(target) else ()
        return lambda: IssuedTransfer(compiled.result(), reads, writes, reduction())

    def _placer(self) -> ArgumentPlacer:
        program, layout = self._program, self._layout
        destinations: dict[str, list[Destination]] = {}
        for mesh, buffer in self._initial_buffers():
            if program.home_meshes.get(buffer.value, mesh) == mesh:
                slot, sharding = layout.slot(mesh, buffer), layout.sharding(mesh, buffer)
                destinations.setdefault(buffer.value, []).append(
                    Destination(slot, sharding, buffer.microbatch, self._share.has(mesh))
                )
        return ArgumentPlacer(
            program.arguments,
            _argument_names(program),
            [destinations.get(argument.value, []) for argument in program.arguments],
            program.schedule.num_microbatches,
            Mover(self._transport),
        )

    def _initial_buffers(self) -> list[tuple[int, Buffer]]:
        """Each once, in the order in which the meshes read them."""
        return list(dict.fromkeys(self._program.values.initial_buffers(self._program.schedule)))

    def _initial_store(self) -> list[Any]:
        """With the numbers of the microbatches, which never change."""
        index = self._program.index
        buffers = self._initial_buffers()
        numbered = [(m, b) for m, b in buffers if b.value == index and self._share.has(m)]
        shardings: list[NamedSharding] = [self._layout.sharding(*at) for at in numbered]
        numbers = [np.int32(buffer.microbatch or 0) for _, buffer in numbered]
        arrays = put(numbers, shardings) if numbers else []
        slots = [self._layout.slot(*at) for at in numbered]
        store: list[Any] = [None] * self._layout.num_slots
        for slot, array in zip(slots, arrays, strict=True):
            store[slot] = array
        return store


def _identity(program: AnnotatedProgram, mesh: Mesh, options: dict[str, Any] | None) -> Hashable:
    """Equal for programs that compile to the same executable."""
    return (
        program.text,
        _types((*program.in_avals, *program.out_avals)),
        program.in_specs,
        program.out_specs,
        program.donate_argnums,
        program.host_callbacks,
        mesh,
        tuple(sorted((options or {}).items())),
    )


def _types(avals: Sequence[Any]) -> Hashable:
    return tuple((aval.shape, aval.dtype) for aval in avals)


def _argument_names(program: PipelineProgram[Any]) -> list[str]:
    """As the user has them."""
    stacks = program.stacks
    if stacks is None:
        return leaf_names(program.in_tree)
    names = leaf_names(stacks.in_tree)
    return [part.name(names[part.number]) for part in stacks.arguments]
