"""A compiled pipeline: call it with the user's arguments."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from alpa_mlir.energy.clocks import Clocks
from alpa_mlir.energy.frequencies import EnergyPlan, EnergyPoint
from alpa_mlir.energy.zeus_clocks import ZeusClocks
from alpa_mlir.errors import ProcessError
from alpa_mlir.program.annotated import leaves_of
from alpa_mlir.runtime.batch_rows import microbatch_parts, rows_of_process
from alpa_mlir.runtime.driver import Driver
from alpa_mlir.runtime.energy_driver import EnergyDriver
from alpa_mlir.runtime.executable import PlanT
from alpa_mlir.runtime.initialize import StateLayout, create
from alpa_mlir.runtime.issued import IssuedRun, IssuedTransfer
from alpa_mlir.runtime.memory import peak_bytes
from alpa_mlir.runtime.task_alone import TaskAlone, tasks_alone
from alpa_mlir.runtime.timeline import PipelineTimeline, Recorder
from alpa_mlir.runtime.transfer.reshard import Reshard
from alpa_mlir.schedule.instructions import make_instructions
from alpa_mlir.schedule.schedule import TaskKind
from alpa_mlir.schedule.values import Buffer
from alpa_mlir.simulate.planned import planned_timeline
from alpa_mlir.xla.collectives import HloCollective, parse_collectives


class PipelineExecutable(Generic[PlanT]):
    """A compiled step over submeshes. Call it with the dynamic arguments it was compiled for.

    Attributes:
      driver: what runs it.
      compiled: the executable of every kind of task that runs here; equal programs of one mesh
        share one. Of several processes, each has those of stages on its own devices.
      donations: by kind of task, the positions of the inputs whose memory results take.
      rematerializations: XLA's warnings that it had to replicate a tensor to reshard it.
    """

    def __init__(
        self,
        plan: PlanT | None,
        driver: Driver,
        compiled: Mapping[TaskKind, jax.stages.Compiled],
        donations: Mapping[TaskKind, tuple[int, ...]],
        rematerializations: list[str],
    ) -> None:
        self._plan = plan
        self.driver = driver
        self.compiled = compiled
        self.donations = donations
        self.rematerializations = rematerializations
        self._recorder: Recorder | None = None
        self._energy: EnergyDriver | None = None

    def __call__(self, *args: Any) -> Any:
        """Runs one step; nothing blocks until a result is read.

        Raises:
          ArgumentMismatchError: arguments of another structure, shape or dtype; nothing has run.
        """
        return (self._energy or self.driver).run(args)

    def set_energy_plan(
        self, plan: EnergyPlan | EnergyPoint | None, clocks: Clocks | None = None
    ) -> None:
        """Steps from now on run with the plan's frequency for every task, set beside the driver.

        Args:
          plan: a point of `plan.energy()`, or a plan for one; None ends it. Clocks are restored
            then, when the process ends, and when it is killed.
          clocks: who sets them; None is NVML through `zeus`.

        Raises:
          EnergyError: the plan is of another pipeline, or clocks cannot be set here.
          ProcessError: there are several processes, which have no common clocks yet.
        """
        self._check_is_alone("set_energy_plan")
        if self._energy is not None:
            atexit.unregister(self._energy.close)
            self._energy.close()
            self._energy = None
        if isinstance(plan, EnergyPoint):
            plan = plan.plan()
        if plan is not None:
            clocks = clocks or ZeusClocks(self.stage_devices)
            self._energy = EnergyDriver(self.driver, plan, clocks)
            atexit.register(self._energy.close)

    @property
    def plan(self) -> PlanT:
        """What it does."""
        assert self._plan is not None, "it was compiled from a program without its plan"
        return self._plan

    def place(self, *args: Any) -> tuple[Any, ...]:
        """Arguments as they are: a call takes them from wherever they lie."""
        return args

    @property
    def input_shardings(self) -> tuple[Any, ...]:
        """Pytree of the arguments: how each lies on the mesh that owns it.

        None for batches and for arguments that no task reads.
        """
        driver = self.driver
        owned = [driver.layout.owned(argument) for argument in driver.program.arguments]
        if driver.stacks is None:
            return driver.program.in_tree.unflatten(owned)
        return driver.stacks.of_leaves(owned)

    @property
    def meshes(self) -> set[Mesh]:
        """Those that state lies on."""
        owned = (sharding.mesh for sharding in jax.tree.leaves(self.input_shardings))
        return {*self.driver.layout.stage_meshes, *owned}

    def create_state(self, init: Callable[[], Any], position: int = 0) -> Any:
        """What `init` returns, every leaf created on the mesh that owns it.

        Args:
          init: takes nothing and returns the positional argument at `position`.

        Raises:
          ArgumentError: it returns something else.
        """
        return create(init, self.state_layout(position))

    def state_layout(self, position: int = 0) -> StateLayout:
        """How the positional argument at `position` lies between calls."""
        program = self.driver.program
        kept = [self.driver.layout.kept(argument) for argument in program.arguments]
        if self.driver.stacks is not None:
            return self.driver.stacks.state_layout(position, kept)
        leaves = leaves_of(program.in_tree, position)
        return StateLayout(
            program.in_tree.children()[position],
            [program.arguments[leaf].aval for leaf in leaves],
            [kept[leaf] for leaf in leaves],
        )

    def batch_rows(self, batch_dims: Mapping[int, int], process: int) -> np.ndarray:
        """The examples that a process' devices read; by number of a flat argument, the dim that
        counts them."""
        program, layout = self.driver.program, self.driver.layout
        there: dict[str, list[tuple[Buffer, NamedSharding]]] = {}
        for mesh, buffer in dict.fromkeys(program.values.initial_buffers(program.schedule)):
            there.setdefault(buffer.value, []).append((buffer, layout.sharding(mesh, buffer)))
        stacks = self.driver.stacks
        batches = [
            program.arguments[number if stacks is None else stacks.arguments[number].first]
            for number in batch_dims
        ]
        parts = [
            part
            for each in batches
            if each.batch_dim is not None
            for part in microbatch_parts(
                each.aval.shape,
                each.batch_dim,
                program.schedule.num_microbatches,
                there.get(each.value, []),
            )
        ]
        return rows_of_process(parts, process)

    # --- What XLA made of it ---

    @property
    def stage_executables(self) -> tuple[jax.stages.Compiled, ...]:
        """What XLA compiled, one for each kind of task."""
        return tuple(self.compiled.values())

    def collectives(self) -> list[HloCollective]:
        """The collectives XLA runs in a step: forward and backward once per microbatch, and where
        sums over microbatches are reduced."""
        m = self.driver.program.schedule.num_microbatches
        runs = [
            (compiled, m if kind.phase.runs_per_microbatch else 1)
            for kind, compiled in self.compiled.items()
        ]
        runs += [(reduction.compiled, 1) for reduction in self._reductions()]
        return [
            replace(each, count=each.count * count)
            for compiled, count in runs
            for each in parse_collectives(compiled.as_text() or "")
        ]

    def _reductions(self) -> Iterator[Reshard]:
        for issued in self.driver.issued:
            issue = issued.issue
            if isinstance(issue, IssuedRun | IssuedTransfer) and issue.reduction:
                yield issue.reduction

    def memory_analysis(self) -> int:
        """Peak bytes of the device that needs most while a step runs, as XLA has allocated them."""
        return max(self.memory_by_device().values())

    def memory_by_device(self) -> dict[Any, int]:
        """Peak bytes of this process' devices in a step; runtime/memory.py has the formula."""
        driver = self.driver
        order = [(each.mesh, each.instruction) for each in driver.issued]
        found = peak_bytes(driver.program, driver.layout, order, self.compiled, self.donations)
        process = driver.share.process
        return {device: peak for device, peak in found.items() if device.process_index == process}

    # --- What a step does ---

    @property
    def transport(self) -> str:
        """The name of what moves arrays between meshes, as it was chosen for the processes there
        are: "device_put" or "transfer servers"."""
        return self.driver.transport.name

    def _check_is_alone(self, what: str) -> None:
        if not self.driver.share.is_whole:
            raise ProcessError(
                f"expected one process for {what}, got {jax.process_count()}; run the same plan "
                "in one process with FixedPlan, on as many virtual devices"
            )

    def instructions(self) -> str:
        """What every mesh does in a step."""
        program = self.driver.program
        return str(make_instructions(program.schedule, program.values))

    def transfer_bytes(self) -> int:
        """What all devices receive from other devices in transfers of one step, as predicted."""
        issues = (each.issue for each in self.driver.issued)
        return sum(each.transfer.bytes for each in issues if isinstance(each, IssuedTransfer))

    @property
    def stage_devices(self) -> list[list[Any]]:
        """By stage, the devices it runs on."""
        schedule, meshes = self.driver.program.schedule, self.driver.layout.stage_meshes
        return [
            list(meshes[schedule.mesh_of_stage[stage]].devices.flat)
            for stage in range(schedule.num_stages)
        ]

    def tasks_alone(self, *args: Any) -> Iterator[TaskAlone]:
        """Runs one step (donated arguments are used up) and stops before the first task of every
        kind, for whoever iterates to run it as often as they like.

        Raises:
          ProcessError: there are several processes.
        """
        self._check_is_alone("tasks_alone")
        return tasks_alone(self.driver, self.donations, args)

    def timeline(self, *args: Any) -> PipelineTimeline:
        """Runs one step (donated arguments are used up), waits for it, says when each task ran.

        The result has the step's result, the measured timeline and the planned one, and writes them
        as a trace for Perfetto and as a picture.

        Raises:
          ProcessError: there are several processes, which have no common clock yet.
        """
        self._check_is_alone("timeline")
        self._recorder = self._recorder or Recorder(self.driver)
        measured = self._recorder.record(args)
        if self._plan is None:
            return measured
        return replace(measured, planned=planned_timeline(self._plan))
