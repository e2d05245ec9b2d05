"""A stage with shardings: from its one sharding problem to one function per phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alpa_mlir._native import FunctionSummary, Module, ShardingModel
from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cost.device_mesh import native_device, native_mesh
from alpa_mlir.errors import PlanError
from alpa_mlir.ir.passes import pass_errors, run_passes


@dataclass(frozen=True, eq=False)
class StageModel:
    """The sharding problem of a stage on a mesh: with a limit on memory, activations of so many
    microbatches in flight are to fit into it.

    Attributes:
      module: the stage, one function with sharding rules; `phases` cuts it up.
    """

    module: Module
    model: ShardingModel
    mesh: LogicalMesh

    @staticmethod
    def of(
        module: Module,
        mesh: LogicalMesh,
        cluster: Cluster,
        strategy_space: str = "auto",
        memory_limit_bytes: int | None = None,
        num_in_flight: int = 1,
    ) -> StageModel:
        """`module` is that of a `StageModule`; it will be the model's own, which writes into it.

        Raises:
          PassError: the module is refused.
        """
        on, device = native_mesh(mesh, cluster), native_device(cluster, memory_limit_bytes)
        with pass_errors():
            model = ShardingModel(module, on, device, strategy_space, num_in_flight)
        return StageModel(module, model, mesh)

    def phases(self, choices: Sequence[int], stage: int = 0) -> ShardedStage:
        """Cuts the stage into its phases, sharded as chosen. To be called once.

        Raises:
          PlanError: the choices are not one strategy for every vertex of the model.
        """
        try:
            self.model.apply(list(choices))
        except ValueError as error:
            raise PlanError(f"the choices of stage {stage} do not fit it: {error}") from None
        run_passes(self.module, f"alpa-split-phases{{stage={stage}}}")
        return ShardedStage(self.module, self.mesh, tuple(self.module.functions()))


@dataclass(frozen=True, eq=False)
class ShardedStage:
    """A stage as functions @forward, @backward, @update0, ... that say how their values lie."""

    module: Module
    mesh: LogicalMesh
    functions: tuple[FunctionSummary, ...]
