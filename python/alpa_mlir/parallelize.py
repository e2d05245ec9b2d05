"""`parallelize`: trace, plan, lower, compile, run. Read this file first.

trace    frontend/     the function → a StableHLO module with marks on its arguments
plan     inter_op/     the module → microbatches, layers, stages, each on a submesh, by the stage DP
         intra_op/     a stage (or the whole) and a logical mesh → a sharding for every op, by ILP
lower    lower/        the shardings → constraints in the module, or in one module per task
compile  lower/        a module → an XLA executable on a mesh of devices
run      runtime/      of a pipeline: static instructions for every mesh
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import jax
from jax.core import Tracer

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cluster.logical_mesh import candidate_meshes
from alpa_mlir.errors import AlpaError, ArgumentError, InfeasibleError, PassError, SolverError
from alpa_mlir.frontend.signature import Call, Signature, is_weak
from alpa_mlir.frontend.trace import Program, trace
from alpa_mlir.inter_op.plan_pipeline import plan_pipeline, replay_pipeline
from alpa_mlir.intra_op.describe import make_plan
from alpa_mlir.intra_op.shard import NormalizedModule, ShardedModule, normalize, replay, shard
from alpa_mlir.options import (
    Auto,
    FixedPlan,
    FollowPlacement,
    Method,
    PipelineMethod,
    PipelineParallel,
    SearchedPipeline,
    ThreeDParallel,
)
from alpa_mlir.plan.data import Plan
from alpa_mlir.program.annotated import AnnotatedProgram, logical_specs
from alpa_mlir.progress import Phases
from alpa_mlir.stations import Executable, Lowered, LoweredPipeline, Pipeline, Traced

AnyExecutable = Executable | Pipeline


def parallelize(
    fn: Callable[..., Any],
    method: Method | FixedPlan | None = None,
    cluster: Cluster | None = None,
    batch_argnums: int | Sequence[int] = (1,),
    donate_argnums: int | Sequence[int] | Literal["auto"] = "auto",
    static_argnums: int | Sequence[int] = (),
) -> "ParallelFunction":
    """Makes `fn`, written for one device, run on all devices of a cluster.

    Args:
      fn: a JAX function of pytrees of arrays, such as a training step.
      method: what to search; None is `Auto()`.
      cluster: what to plan for; None is `Cluster.local()`.
      batch_argnums: positions of the arguments whose leaves have the batch as leading dim.
      donate_argnums: positions of the arguments whose memory the results may take. "auto" donates
        the state: arguments that come back updated, at some place of the result.
      static_argnums: positions of hashable arguments that are no arrays; new values plan anew.

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
    )


def _argnums(argnums: int | Sequence[int]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(int(i) for i in argnums)


class ParallelFunction:
    """What `parallelize` returns: call it, or stop at any station on the way."""

    def __init__(
        self,
        signature: Signature,
        method: Method | FixedPlan,
        cluster: Cluster | None,
        batch_argnums: tuple[int, ...],
        donate_argnums: tuple[int, ...] | Literal["auto"],
    ) -> None:
        self._signature = signature
        self._method = method
        self._cluster = cluster
        self._batch_argnums = batch_argnums
        self._donate_argnums: tuple[int, ...] | Literal["auto"] = donate_argnums
        self._executables: dict[Any, AnyExecutable] = {}
        self._latest: AnyExecutable | None = None
        self._latest_static: tuple[Any, ...] = ()
        self.phases = Phases(signature.name)
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
        # The hot path leaves every check to the executable, which makes them in C++.
        if self._latest is not None and not kwargs and not any(map(is_weak, args)):
            try:
                if not self._signature.static_argnums:
                    return self._latest(*args)
                if self._signature.static(args) == self._latest_static:
                    return self._latest(*self._signature.dynamic(args))
            except (TypeError, ValueError):
                pass  # other types, or arrays elsewhere
        return self._call(self._signature.bind(args, kwargs))

    def trace(self, *args: Any, **kwargs: Any) -> Traced:
        """The function as StableHLO. Arguments may be `jax.ShapeDtypeStruct`s."""
        return Traced(self._trace(self._signature.bind(args, kwargs)))

    def plan(self, *args: Any, **kwargs: Any) -> Plan:
        """The plan for such arguments. `jax.ShapeDtypeStruct`s suffice; no device is needed."""
        return self.lower(*args, **kwargs).plan

    def lower(self, *args: Any, **kwargs: Any) -> Lowered | LoweredPipeline:
        """Plans, and writes the plan into the module."""
        return self._lower(self._trace(self._signature.bind(args, kwargs)))

    def compile(self, *args: Any, **kwargs: Any) -> AnyExecutable:
        """Plans and compiles; later calls with arguments of these types run the result."""
        return self._compile(self._signature.bind(args, kwargs))

    def _call(self, call: Call) -> Any:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(call.arguments)):
            raise ArgumentError(
                f"the parallelized {self.__name__} cannot be called inside jax.jit, jax.grad or "
                "another transformation; transform the function first and parallelize the result"
            )
        executable = self._executables.get(self._signature.key(call)) or self._compile(call)
        dynamic = self._signature.dynamic(call.arguments)
        result = executable(*executable.place(*dynamic))
        if not call.has_keywords and not any(map(is_weak, jax.tree.leaves(dynamic))):
            self._latest, self._latest_static = executable, self._signature.static(call.arguments)
        return result

    def _trace(self, call: Call) -> Program:
        method = self._method
        with self.phases("trace"):
            return trace(
                self._signature,
                call,
                self._batch_argnums,
                self._donate_argnums,
                self.cluster.device.platform,
                may_span_meshes=isinstance(method, PipelineMethod | FixedPlan),
                are_shardings_kept=_keeps_shardings(method),
            )

    def _lower(self, program: Program) -> Lowered | LoweredPipeline:
        with self.phases("normalize"):
            normal = normalize(program.text)
        method = self._method
        if isinstance(method, FixedPlan):
            return self._replay(program, normal, method.plan)
        if isinstance(method, FollowPlacement) and not method.leader.is_pipeline:
            return self._sharded(program, normal, method)
        if isinstance(method, SearchedPipeline | FollowPlacement):
            return self._pipeline(program, normal, method)
        return self._sharded(program, normal, method)

    def _compile(self, call: Call) -> AnyExecutable:
        lowered = self._lower(self._trace(call))
        with self.phases("compile"):
            executable = lowered.compile()
        self._executables[self._signature.key(call)] = executable
        return executable

    def _pipeline(
        self,
        program: Program,
        normal: NormalizedModule,
        method: SearchedPipeline | FollowPlacement,
    ) -> Lowered | LoweredPipeline:
        """The pipeline found, or one program over all devices where `Auto` finds that faster."""
        whole: Lowered | None = None
        refusal: AlpaError | None = None
        try:
            found = plan_pipeline(program, normal, method, self.cluster, self.phases)
        except (PassError, InfeasibleError, SolverError, ArgumentError) as error:
            if not isinstance(method, Auto) or method.asks_for_pipeline:
                raise
            found, refusal = None, error
        if isinstance(method, Auto) and not method.asks_for_pipeline:
            whole = self._whole(program, normal, method, refusal)
        if found is None or (whole and whole.plan.step_seconds <= found.plan.step_seconds):
            assert whole is not None
            return whole
        return LoweredPipeline(found.program, found.plan)

    def _whole(
        self,
        program: Program,
        normal: NormalizedModule,
        method: Auto,
        refusal: AlpaError | None,
    ) -> Lowered | None:
        """One program over all devices; None where it does not fit but a pipeline does."""
        try:
            lowered = self._sharded(program, normal, method)
        except InfeasibleError as error:
            if refusal is None:
                return None
            raise error from refusal
        if refusal is None:
            return lowered
        remark = f"no pipeline: {refusal}"
        return Lowered(
            lowered.program, replace(lowered.plan, remarks=(*lowered.plan.remarks, remark))
        )

    def _sharded(self, program: Program, normal: NormalizedModule, method: Method) -> Lowered:
        """The plan with the shortest step over all meshes in question."""
        best: tuple[ShardedModule, Plan] | None = None
        infeasible: InfeasibleError | None = None
        for mesh in self._meshes(program, method):
            try:
                sharded, plan = self._shard(program, normal, mesh, method)
            except InfeasibleError as error:
                infeasible = error
                continue
            if best is None or plan.step_seconds < best[1].step_seconds:
                best = sharded, plan
        if best is None:
            raise infeasible or AlpaError("expected at least one logical mesh to plan for")
        return Lowered(_annotated_program(program, best[0]), best[1])

    def _shard(
        self, program: Program, normal: NormalizedModule, mesh: LogicalMesh, method: Method
    ) -> tuple[ShardedModule, Plan]:
        sharded = shard(
            normal,
            mesh,
            self.cluster,
            method.strategy_space,
            method.memory_limit_bytes,
            method.time_limit_seconds,
            method.target_gap,
            self.phases,
        )
        return sharded, make_plan(program, normal, sharded, self.cluster, method)

    def _replay(
        self, program: Program, normal: NormalizedModule, plan: Plan
    ) -> Lowered | LoweredPipeline:
        with self.phases("replay"):
            if plan.is_pipeline:
                replayed = replay_pipeline(program, normal, plan)
                return LoweredPipeline(replayed.program, plan)
            plan.check_program(normal.hash)
            plan.check()
            space = plan.strategy_space
            sharded = replay(normal, plan.mesh, plan.cluster, space, plan.choices)
            return Lowered(_annotated_program(program, sharded), plan)

    def _meshes(self, program: Program, method: Method) -> list[LogicalMesh]:
        """The mesh of the user's own shardings, the one asked for, or those worth a try."""
        asked = LogicalMesh.of_shape(method.mesh_shape) if method.mesh_shape else None
        fixed = program.mesh
        if asked and fixed and asked.axis_sizes != fixed.axis_sizes:
            raise ArgumentError(
                f"expected mesh_shape {fixed.axis_sizes}, the shape of the mesh that arguments or "
                f"constraints are sharded on, got {method.mesh_shape}; pass the arguments without "
                "shardings, or leave mesh_shape out"
            )
        chosen = fixed or asked
        meshes = [chosen] if chosen else candidate_meshes(self.cluster)
        if method.strategy_space != "auto":  # these split the batch only: the grid hardly matters
            meshes = meshes[:1]
        for mesh in meshes:
            mesh.check_fits(self.cluster)
        return meshes


def _keeps_shardings(method: Method | FixedPlan) -> bool:
    """Whether arguments that are sharded on one mesh are to stay so.

    No stage has a mesh over all devices, and a plan says where everything lies.
    """
    if isinstance(method, FixedPlan):
        return method.plan.has_user_shardings
    return not isinstance(method, PipelineParallel | ThreeDParallel)


def _cluster_of(method: Method | FixedPlan) -> Cluster | None:
    """The cluster of the plan that a method repeats or follows."""
    if isinstance(method, FixedPlan):
        return method.plan.cluster
    return method.leader.cluster if isinstance(method, FollowPlacement) else None


def _annotated_program(program: Program, sharded: ShardedModule) -> AnnotatedProgram:
    in_avals = tuple(argument.aval for argument in program.arguments)
    out_avals = tuple(result.aval for result in program.results)
    return AnnotatedProgram(
        name=program.name,
        text=sharded.text,
        in_avals=in_avals,
        out_avals=out_avals,
        in_specs=logical_specs(sharded.boundary.arguments, in_avals),
        out_specs=logical_specs(sharded.boundary.results, out_avals),
        in_tree=program.in_tree,
        out_tree=program.out_tree,
        donate_argnums=program.donate_argnums,
        host_callbacks=program.host_callbacks,
    )
