"""`parallelize`: trace, plan, lower, compile, run. Read this file first.

trace    frontend/     the function → a StableHLO module with marks on its arguments
plan     planner       a pipeline, or one program where that is faster
         inter_op/     the module → microbatches, layers, stages, each on a submesh, by the stage DP
         intra_op/     a stage (or the whole) and a logical mesh → a sharding for every op, by ILP
lower    lower/        the plan → constraints in the module, or in one module per task
compile  lower/        a module → an XLA executable on a mesh of devices
run      runtime/      of a pipeline: static instructions for every mesh
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.energy.clocks import Clocks
from alpa_mlir.energy.frequencies import EnergyPlan, EnergyPoint
from alpa_mlir.errors import ArgumentError, ArgumentMismatchError, EnergyError
from alpa_mlir.frontend.batch import BatchDimsSpec
from alpa_mlir.frontend.signature import Call, Signature, is_weak
from alpa_mlir.frontend.trace import TracedProgram, trace
from alpa_mlir.frontend.user_sharding import (
    are_on_several_meshes,
    user_devices,
    user_mesh,
    wished_mesh,
)
from alpa_mlir.lower.pipeline import lower_pipeline
from alpa_mlir.lower.whole import lower_whole
from alpa_mlir.options import (
    Auto,
    FixedPlan,
    FixedStages,
    FollowPlacement,
    Method,
    PipelineMethod,
    PipelineParallel,
    ThreeDParallel,
)
from alpa_mlir.plan_agreement import plan_together
from alpa_mlir.planner import Prepared
from alpa_mlir.plans import Plan
from alpa_mlir.progress import Stopwatch
from alpa_mlir.report.progress import terminal_progress
from alpa_mlir.runtime.pipeline import PipelineExecutable
from alpa_mlir.stations import AnyExecutable, Lowered, LoweredPipeline, Traced


def parallelize(
    fn: Callable[..., Any],
    method: Method | FixedPlan | None = None,
    cluster: Cluster | None = None,
    batch_argnums: int | Sequence[int] = (1,),
    donate_argnums: int | Sequence[int] | Literal["auto"] = "auto",
    static_argnums: int | Sequence[int] = (),
    batch_dims: BatchDimsSpec = 0,
) -> "ParallelFunction":
    """Makes `fn`, written for one device, run on all devices of a cluster.

    Args:
      fn: a JAX function of pytrees of arrays, such as a training step.
      method: what to search; None is `Auto()`.
      cluster: what to plan for; None is `Cluster.local()`.
      batch_argnums: positions of the arguments whose leaves have the examples of the batch. Leaves
        that do not have as many as the others (a number, a key, weights of classes) are whole for
        every microbatch and device.
      donate_argnums: positions of the arguments whose memory the results may take. "auto" donates
        the state: arguments that come back updated, at some place of the result. Reading the old
        state after a call then fails ("Array has been deleted"); pass () to keep it.
      static_argnums: positions of hashable arguments that are no arrays; new values plan anew.
      batch_dims: the dim of those leaves that counts examples; as `in_axes` of `jax.vmap` one for
        all, or for each batch argument a dim, None, or a pytree of such.

    Returns:
      A function of the same arguments. The first call for arguments of new shapes plans and
      compiles; arrays are moved to where the plan wants them.
    """
    return ParallelFunction(
        Signature(fn, _argnums(static_argnums)),
        Auto() if method is None else method,
        cluster,
        _argnums(batch_argnums),
        "auto" if isinstance(donate_argnums, str) else _argnums(donate_argnums),
        batch_dims,
    )


def _argnums(argnums: int | Sequence[int]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(int(i) for i in argnums)


class ParallelFunction:
    """What `parallelize` returns: call it, or stop at any station on the way.

    What was planned for arguments of some types and shardings is kept, and so is what was compiled.
    """

    def __init__(
        self,
        signature: Signature,
        method: Method | FixedPlan,
        cluster: Cluster | None,
        batch_argnums: tuple[int, ...],
        donate_argnums: tuple[int, ...] | Literal["auto"],
        batch_dims: BatchDimsSpec,
    ) -> None:
        self._signature = signature
        self._method = method
        self._cluster = cluster
        self._batch_argnums = batch_argnums
        self._batch_dims: BatchDimsSpec = batch_dims
        self._donate_argnums: tuple[int, ...] | Literal["auto"] = donate_argnums
        self._planned: dict[Any, tuple[Prepared, Plan]] = {}
        self._executables: dict[Any, AnyExecutable] = {}
        self._own_meshes: set[Any] = set()
        # The executable of the last call, and the static arguments that it was compiled for.
        self._latest: tuple[AnyExecutable, tuple[Any, ...]] | None = None
        # Held while planning and compiling: a thread that wants the same waits for it.
        self._lock = threading.RLock()
        self.stopwatch = Stopwatch(signature.name, terminal_progress())
        self.__name__ = signature.name
        self.__doc__ = signature.fn.__doc__

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            self._cluster = _cluster_of(self._method) or Cluster.local()
        return self._cluster

    @property
    def executable(self) -> AnyExecutable | None:
        """What was compiled last; None before the first time."""
        return next(reversed(self._executables.values()), None)

    def compiled_executable(self, purpose: str) -> AnyExecutable:
        """What was compiled last, for those who cannot do without.

        Raises:
          ArgumentError: nothing was.
        """
        executable = self.executable
        if executable is None:
            raise ArgumentError(
                f"expected a compiled step to {purpose} state for, got {self.__name__}, which was "
                "not compiled yet; call its compile(state, batch) first: jax.ShapeDtypeStructs "
                "suffice"
            )
        return executable

    def dynamic_position(self, argnum: int) -> int:
        """The position of an argument among those that are not static.

        Raises:
          ArgumentError: the compiled function has no such argument, or it is static.
        """
        static = self._signature.static_argnums
        position = argnum - sum(i < argnum for i in static)
        count = len(self.executable.input_shardings) if self.executable else 0
        if argnum in static or not 0 <= position < count:
            raise ArgumentError(
                f"expected argnum to name an argument of {self.__name__} that is not static, of "
                f"which it was compiled for {count}, got {argnum}"
            )
        return position

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # The hot path leaves every check to the executable, which makes them in C++. Where the
        # arguments are of other types, or lie elsewhere, nothing has run yet.
        latest = self._latest
        if latest is not None and not kwargs and not any(map(is_weak, args)):
            signature = self._signature
            executable, static = latest
            try:
                if not signature.static_argnums:
                    return executable(*args)
                if signature.static(args) == static:
                    return executable(*signature.dynamic(args))
            except ArgumentMismatchError:
                pass
        return self._call(self._signature.bind(args, kwargs))

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """The function as StableHLO. Arguments may be `jax.ShapeDtypeStruct`s."""
        return Traced(self._trace(self._signature.bind(args, kwargs)))

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """The plan for such arguments. `jax.ShapeDtypeStruct`s suffice; no device is needed."""
        return self._plan(self._signature.bind(args, kwargs))[1]

    def lower(self, *args: Any, **kwargs: Any) -> Lowered | LoweredPipeline:
        """Plans, and writes the plan into the module."""
        return self._lower(self._signature.bind(args, kwargs))

    def compile(self, *args: Any, **kwargs: Any) -> AnyExecutable:
        """Plans and compiles; later calls with arguments of these types run the result."""
        return self._compile(self._signature.bind(args, kwargs))

    def batch_rows(self, process: int | None = None) -> np.ndarray:
        """The rows (examples) of the batch that a process has to load, ascending.

        Its devices read no others: of a batch in host memory they may hold anything. Of a pipeline,
        those have none whose stages read no batch.

        Args:
          process: its number; None is this one.

        Raises:
          ArgumentError: there is no such process, nothing is compiled yet, or no argument counts
            examples.
        """
        number = jax.process_index() if process is None else process
        if not 0 <= number < jax.process_count():
            raise ArgumentError(
                f"expected a process of the {jax.process_count()} there are, got {number}; they "
                "are counted from 0"
            )
        if not self._executables:
            raise ArgumentError(
                f"expected {self.__name__} to be compiled before it tells which rows it reads; "
                "call its compile(state, batch) first: jax.ShapeDtypeStructs suffice"
            )
        key, executable = next(reversed(self._executables.items()))
        arguments = self._planned[key][0].program.arguments
        dims = {n: a.batch_dim for n, a in enumerate(arguments) if a.batch_dim is not None}
        if not dims:
            raise ArgumentError(
                f"expected arguments of {self.__name__} that count examples, got none; name them "
                "in batch_argnums"
            )
        return executable.batch_rows(dims, number)

    def set_energy_plan(
        self, plan: EnergyPlan | EnergyPoint | None, clocks: Clocks | None = None
    ) -> None:
        """Runs the compiled pipeline with a frequency for every task; None ends it.

        Args:
          plan: a point of `step.plan(...).energy(profile)`: its `fastest`, or what its `at` or
            `for_straggler` give; or a plan for one.
          clocks: who sets them; None is NVML through `zeus` (`pip install 'alpa_mlir[energy]'`).

        Raises:
          EnergyError: no pipeline has been compiled yet, the plan is of another one, or clocks
            cannot be set here.
        """
        if not isinstance(self.executable, PipelineExecutable):
            raise EnergyError(
                f"expected {self.__name__} to be compiled to a pipeline before it gets an energy "
                "plan; call it once, or step.compile(...)"
            )
        self.executable.set_energy_plan(plan, clocks)

    def _call(self, call: Call) -> Any:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(call.arguments)):
            raise ArgumentError(
                f"the parallelized {self.__name__} cannot be called inside jax.jit, jax.grad or "
                "another transformation; transform the function first and parallelize the result"
            )
        with self._lock:
            executable = self._executables.get(self._key(call)) or self._compile(call)
        dynamic = self._signature.dynamic(call.arguments)
        result = executable(*executable.place(*dynamic))
        self._own_meshes.update(_meshes_of(result))
        if not call.has_keywords and not any(map(is_weak, jax.tree.leaves(dynamic))):
            self._latest = executable, self._signature.static(call.arguments)
        return result

    def _trace(self, call: Call) -> TracedProgram:
        with self.stopwatch("trace"):
            return trace(
                self._signature,
                call,
                self._batch_argnums,
                self._donate_argnums,
                self.cluster.device.platform,
                mesh_of=self._mesh_of,
                batch_dims=self._batch_dims,
            )

    def _mesh_of(self, leaves: Sequence[Any]) -> LogicalMesh | None:
        """The mesh on which arguments are to stay as they lie.

        No stage has a mesh over all devices, a plan says where everything lies, and a pipeline
        leaves its state on the meshes of its stages. Stages chosen by hand take shardings on an
        abstract mesh as wishes for their own.
        """
        method = self._method
        if not _keeps_shardings(method):
            return wished_mesh(leaves)
        if not isinstance(method, PipelineMethod | FixedPlan):
            return user_mesh(leaves)
        if are_on_several_meshes(leaves):
            return None
        mesh = user_mesh(leaves)
        return mesh if mesh and mesh.num_devices == self.cluster.num_devices else None

    def _devices(self, call: Call, plan: Plan) -> tuple[Any, ...] | None:
        """Those of the mesh on which the arguments stay, in the user's order."""
        leaves = jax.tree.leaves(self._signature.dynamic(call.arguments))
        return user_devices(leaves) if self._mesh_of(leaves) == plan.mesh else None

    def _key(self, call: Call) -> Any:
        """What decides whether two calls can run the same executable.

        How arguments lie is part of it where the user has placed them: on meshes other than ours.
        """
        leaves = jax.tree.leaves(self._signature.dynamic(call.arguments))
        return self._signature.key(call), tuple(map(self._placed_by_user, leaves))

    def _placed_by_user(self, leaf: Any) -> NamedSharding | None:
        sharding = getattr(leaf, "sharding", None)
        if not isinstance(sharding, NamedSharding) or sharding.mesh.size == 1:
            return None
        return None if sharding.mesh in self._own_meshes else sharding

    def _plan(self, call: Call) -> tuple[Prepared, Plan]:
        key = self._key(call)
        with self._lock:
            if key not in self._planned:
                prepared = Prepared(self._trace(call), stopwatch=self.stopwatch)
                data = plan_together(prepared, self._method, self.cluster, self.stopwatch)
                program = prepared.program
                module = None if program.host_callbacks else prepared.of(data).program.text
                self._planned[key] = prepared, Plan.of(data, module)
            return self._planned[key]

    def _lower(self, call: Call) -> Lowered | LoweredPipeline:
        prepared, plan = self._plan(call)
        step = prepared.of(plan)
        # The module of the step is in one MLIR context, which serves one thread.
        with self._lock, self.stopwatch("lower"):
            if plan.is_pipeline:
                return LoweredPipeline(lower_pipeline(step.program, step.steps, plan), plan)
            annotated = lower_whole(step.program, step.steps.normal, plan)
            return Lowered(annotated, plan, self._devices(call, plan))

    def _compile(self, call: Call) -> AnyExecutable:
        lowered = self._lower(call)
        with self.stopwatch("compile"):
            executable = lowered.compile()
        key = self._key(call)
        self._own_meshes.update(executable.meshes)
        self._executables[key] = executable
        return executable


def _meshes_of(result: Any) -> set[Any]:
    shardings = (getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(result))
    return {sharding.mesh for sharding in shardings if isinstance(sharding, NamedSharding)}


def _keeps_shardings(method: Method | FixedPlan) -> bool:
    """Whether arguments that are sharded on one mesh are to stay so."""
    if isinstance(method, FixedPlan):
        return method.plan.has_user_shardings
    return not isinstance(method, PipelineParallel | ThreeDParallel | FixedStages)


def _cluster_of(method: Method | FixedPlan) -> Cluster | None:
    """The cluster of the plan that a method repeats or follows."""
    if isinstance(method, FixedPlan):
        return method.plan.cluster
    return method.leader.cluster if isinstance(method, FollowPlacement) else None
