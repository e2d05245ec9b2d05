"""What the user may ask of the planner: one frozen dataclass per method."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from alpa_mlir.cluster import Cluster, LogicalMesh
from alpa_mlir.cluster.logical_mesh import candidate_meshes
from alpa_mlir.errors import ArgumentError
from alpa_mlir.plan.data import Plan

if TYPE_CHECKING:
    from alpa_mlir.parallelize import ParallelFunction

SCHEDULES = ("gpipe", "1f1b", "eager_1f1b", "inference")
Schedule = Literal["auto", "gpipe", "1f1b", "eager_1f1b", "inference"]


@dataclass(frozen=True)
class Method:
    """Base of all methods.

    Attributes:
      mesh_shape: sizes of the logical mesh, e.g. (2, 4); None tries a few and takes the fastest.
      memory_limit_bytes: per device; None is what the cluster's devices have.
      time_limit_seconds: for the solver, per logical mesh.
      target_gap: the solver stops at a plan proven this close to the optimum (0.005 is 0.5 %).
    """

    mesh_shape: tuple[int, ...] | None = None
    memory_limit_bytes: int | None = None
    time_limit_seconds: float = 60.0
    target_gap: float = 0.005

    @property
    def strategy_space(self) -> str:
        """Which strategies the enumerator offers: "auto", "data", "zero2" or "zero3"."""
        return "auto"


@dataclass(frozen=True)
class ShardParallel(Method):
    """Every operator sharded the way that makes the step fastest (Alpa's intra-op pass)."""


@dataclass(frozen=True)
class DataParallel(Method):
    """The batch split over all devices, parameters and optimizer state whole on each."""

    @property
    def strategy_space(self) -> str:
        return "data"


@dataclass(frozen=True)
class Zero2Parallel(Method):
    """Data parallel, with gradients reduced to and optimizer state kept in shards (ZeRO-2)."""

    @property
    def strategy_space(self) -> str:
        return "zero2"


@dataclass(frozen=True)
class Zero3Parallel(Method):
    """Data parallel, with parameters kept in shards as well and gathered for use (ZeRO-3)."""

    @property
    def strategy_space(self) -> str:
        return "zero3"


@dataclass(frozen=True)
class PipelineMethod(Method):
    """Base of the methods that may cut the step into stages.

    Attributes:
      time_limit_seconds: for the solver, per stage in question.
      num_microbatches: in how many parts the batch goes through the pipeline; "auto" tries some.
      num_layers: in how many pieces the program is cut before stages are made of them.
      allow_local_statistics: let each microbatch use its own statistics where sums over examples
        flow back into the step (batch norm). The result is then another than without microbatches.
    """

    time_limit_seconds: float = 10.0
    num_microbatches: int | Literal["auto"] = "auto"
    num_layers: int | Literal["auto"] = "auto"
    allow_local_statistics: bool = False

    def __post_init__(self) -> None:
        for name in ("num_microbatches", "num_layers"):
            value = getattr(self, name)
            if value != "auto" and (not isinstance(value, int) or value < 1):
                raise ArgumentError(f'expected {name} of at least 1, or "auto", got {value!r}')


@dataclass(frozen=True)
class SearchedPipeline(PipelineMethod, ABC):
    """Base of the methods that search for stages.

    Attributes:
      schedule: "gpipe", "1f1b", "eager_1f1b" or "inference"; "auto" takes the fastest that fits.
      rematerialize: whether the backward of a stage computes the forward of its layers again, so
        that less is kept for it; "auto" does so where memory is short.
      num_processes: that plan beside each other; 0 is this process alone, None one per core.
      cache_dir: where costs of stages are kept for the next time; None keeps none, "auto" takes
        $ALPA_MLIR_CACHE_DIR or a folder in the user's cache.
    """

    schedule: Schedule = "auto"
    rematerialize: bool | Literal["auto"] = "auto"
    num_processes: int | None = None
    cache_dir: str | Path | None = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule not in ("auto", *SCHEDULES):
            raise ArgumentError(
                f"expected a schedule auto, {', '.join(SCHEDULES)}, got {self.schedule!r}"
            )

    @abstractmethod
    def submeshes(self, cluster: Cluster) -> list[tuple[int, int]]:
        """Nodes and devices in each of the submeshes that stages may have."""

    def logical_meshes(self, cluster: Cluster) -> list[LogicalMesh]:
        """Those to try on a submesh, given as a cluster of its own."""
        return candidate_meshes(cluster)


@dataclass(frozen=True)
class Auto(SearchedPipeline):
    """Everything searched: stages, submeshes, microbatches, schedule, and the sharding of every op
    (Alpa's both passes). One stage over all devices is among the plans."""

    @property
    def asks_for_pipeline(self) -> bool:
        """Whether it asks for something that only a pipeline has."""
        return self.num_microbatches not in ("auto", 1) or self.schedule != "auto"

    def submeshes(self, cluster: Cluster) -> list[tuple[int, int]]:
        return standard_submeshes(cluster.num_nodes, cluster.devices_per_node)


@dataclass(frozen=True)
class PipelineParallel(SearchedPipeline):
    """Pipeline stages on equal submeshes; with as many stages as devices, nothing is sharded
    (Alpa's inter-op pass alone).

    Attributes:
      num_stages: None is one for every device.
    """

    num_stages: int | None = None

    def submeshes(self, cluster: Cluster) -> list[tuple[int, int]]:
        num_stages = cluster.num_devices if self.num_stages is None else self.num_stages
        return [equal_submesh(cluster, num_stages)]


@dataclass(frozen=True)
class ThreeDParallel(SearchedPipeline):
    """A grid chosen by hand, as for Megatron-LM: `pipeline` stages, each on a logical mesh of
    `data` x `tensor` devices. What is split along which axis, and where stages end, is searched."""

    data: int = 1
    tensor: int = 1
    pipeline: int = 1

    def submeshes(self, cluster: Cluster) -> list[tuple[int, int]]:
        grid = (self.data, self.tensor, self.pipeline)
        if min(grid) < 1 or prod(grid) != cluster.num_devices:
            raise ArgumentError(
                f"expected data x tensor x pipeline = {cluster.num_devices}, the devices of "
                f"cluster '{cluster.name}', got {' x '.join(map(str, grid))}"
            )
        return [equal_submesh(cluster, self.pipeline)]

    def logical_meshes(self, cluster: Cluster) -> list[LogicalMesh]:
        return [LogicalMesh.of_shape((self.data, self.tensor))]


@dataclass(frozen=True, kw_only=True)
class FollowPlacement(PipelineMethod):
    """The stages of another parallelized function: for evaluation beside training, say.

    Layers run where their parameters are, and these stay as they lie. Arguments are the other's if
    they have the same path in the pytree and the same type.

    Attributes:
      like: the other function, compiled.
    """

    like: "ParallelFunction"

    @property
    def leader(self) -> Plan:
        """The plan that is followed.

        Raises:
          ArgumentError: there is none yet.
        """
        executable = self.like.executable
        if executable is None:
            raise ArgumentError(
                "expected FollowPlacement(like=step) with a compiled step, got one that was not "
                "compiled yet; call its compile(state, batch) first"
            )
        return executable.plan


def equal_submesh(cluster: Cluster, num_stages: int) -> tuple[int, int]:
    """The submesh of each of `num_stages` stages that share the cluster equally.

    Raises:
      ArgumentError: there is none.
    """
    nodes, devices = cluster.num_nodes, cluster.devices_per_node
    if num_stages >= 1 and num_stages <= nodes and nodes % num_stages == 0:
        return nodes // num_stages, devices
    if num_stages >= 1 and num_stages % nodes == 0 and devices % (num_stages // nodes) == 0:
        return 1, devices // (num_stages // nodes)
    raise ArgumentError(
        f"expected a number of stages that divides {nodes} nodes of {devices} devices into equal "
        f"parts, got {num_stages}"
    )


def standard_submeshes(num_nodes: int, devices_per_node: int) -> list[tuple[int, int]]:
    """The paper's (Alpa, section 5.2): powers of two within a node, then whole nodes.

    A node whose number of devices is no power of two adds itself, and the powers that divide it.
    """
    sizes = [2**k for k in range(devices_per_node.bit_length()) if devices_per_node % 2**k == 0]
    inside = [(1, size) for size in sizes if size < devices_per_node]
    return inside + [(n, devices_per_node) for n in range(1, num_nodes + 1)]


@dataclass(frozen=True)
class FixedPlan:
    """What a plan says, nothing searched: for plans that were saved, shipped or edited."""

    plan: Plan
