"""What the user may ask of the planner: one frozen dataclass per method."""

from dataclasses import dataclass

from alpa_mlir.plan import Plan


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
class FixedPlan:
    """What a plan says, nothing searched: for plans that were saved, shipped or edited."""

    plan: Plan
