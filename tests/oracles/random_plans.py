"""Plans of pipelines that no search made: any stages, values and durations that a step can have."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from alpa_mlir.cluster import Cluster, Link, LogicalMesh
from alpa_mlir.cluster.cluster import Device
from alpa_mlir.plan.data import (
    HeldValues,
    PhaseName,
    PlanData,
    PlannedPrologue,
    PlannedStage,
    PlannedTask,
    PlannedValues,
    TemporaryBytes,
)
from alpa_mlir.plan.versions import Versions


def cluster_of(
    num_nodes: int, devices_per_node: int, intra_node: Link, inter_node: Link
) -> Cluster:
    device = Device("any", "cuda", {"f32": 1e12}, 1e11, 2**34)
    return Cluster("any", device, num_nodes, devices_per_node, intra_node, inter_node)


def stage_of(
    number: int,
    submesh: tuple[int, int],
    first_device: int,
    seconds: tuple[float, float, float],
    temporary_bytes: TemporaryBytes = TemporaryBytes(),  # noqa: B008 (frozen)
) -> PlannedStage:
    """One layer, which takes so long forward, backward and in the update."""
    size = submesh[0] * submesh[1]
    return PlannedStage(
        first_layer=number,
        end_layer=number + 1,
        first_device=first_device,
        submesh=submesh,
        mesh=LogicalMesh.of_shape((size,)),
        choices=(),
        collectives=(),
        forward_seconds=seconds[0],
        backward_seconds=seconds[1],
        update_seconds=seconds[2],
        is_rematerialized=False,
        num_in_flight=1,
        memory_bytes=1,
        temporary_bytes=temporary_bytes,
        cost=1,
        lower_bound=1,
    )


def plan_of(
    cluster: Cluster,
    stages: tuple[PlannedStage, ...],
    values: tuple[PlannedValues, ...],
    schedule: str,
    num_microbatches: int,
    prologue: PlannedPrologue | None = None,
) -> PlanData:
    return PlanData(
        versions=Versions.here(),
        program_name="any",
        program_hash="",
        method="Auto",
        strategy_space="auto",
        cluster=cluster,
        stages=stages,
        prologue=prologue,
        schedule=schedule,
        num_microbatches=num_microbatches,
        num_layers=len(stages),
        allow_local_statistics=False,
        arguments=(),
        results=(),
        transfers=(),
        values=values,
        step_seconds=0.0,
        remarks=(),
    )


def random_plan(seed: int) -> PlanData:
    """Of one to six stages on one to four nodes."""
    rng = Random(seed)
    cluster = cluster_of(
        rng.choice([1, 2, 4]),
        rng.choice([1, 2, 4, 8]),
        Link(rng.choice([0.0, 0.25]), float(rng.choice([64, 100, 1000]))),
        Link(rng.choice([0.0, 0.5]), float(rng.choice([10, 64, 300]))),
    )
    submeshes = _random_submeshes(rng, cluster)
    schedule = rng.choice(["gpipe", "1f1b", "eager_1f1b", "inference"])
    stages, first = list[PlannedStage](), 0
    for number, submesh in enumerate(submeshes):
        seconds = (rng.uniform(0.1, 2), rng.uniform(0.1, 3), rng.uniform(0, 2))
        temporary = TemporaryBytes(*(rng.randrange(1000) for _ in range(3)))
        stages.append(stage_of(number, submesh, first, seconds, temporary))
        first += submesh[0] * submesh[1]
    builder = _Values(rng, len(stages), schedule != "inference", rng.randrange(1, 8))
    prologue = None
    if rng.random() < 0.3:
        on = rng.randrange(len(stages))
        prologue = PlannedPrologue(on, (), (), rng.uniform(0, 2), 1, 1)
    values = builder.build(None if prologue is None else prologue.stage)
    return plan_of(cluster, tuple(stages), values, schedule, builder.num_microbatches, prologue)


def _random_submeshes(rng: Random, cluster: Cluster) -> list[tuple[int, int]]:
    """Whole nodes, or equal parts of one, in order."""
    submeshes, node = list[tuple[int, int]](), 0
    while node < cluster.num_nodes and len(submeshes) < 6:
        if rng.random() < 0.4:
            taken = rng.randrange(1, cluster.num_nodes - node + 1)
            submeshes.append((taken, cluster.devices_per_node))
            node += taken
            continue
        size = rng.choice([k for k in (1, 2, 4, 8) if cluster.devices_per_node % k == 0])
        submeshes += [(1, size)] * min(cluster.devices_per_node // size, 6 - len(submeshes))
        node += 1
    return submeshes


@dataclass
class _Values:
    """Draws the values of a step; every task has some."""

    rng: Random
    num_stages: int
    has_backward: bool
    num_microbatches: int
    found: list[PlannedValues] = field(default_factory=list[PlannedValues])

    def build(self, prologue_stage: int | None) -> tuple[PlannedValues, ...]:
        for stage in range(self.num_stages):
            self._state(stage)
            self._passed(stage)
        self._add(None, [("forward", 0)], is_per_microbatch=True)
        if prologue_stage is not None:
            self._add(None, [("prologue", prologue_stage)])
            readers = self._some([("forward", k) for k in range(self.num_stages)])
            self._add(("prologue", prologue_stage), readers)
        return tuple(self.found)

    def _state(self, stage: int) -> None:
        rng, own = self.rng, stage
        readers: list[tuple[PhaseName, int]] = [("forward", stage)]
        if not self.has_backward:
            self._add(None, readers, owner=own, kept_on=(stage,))
            return
        is_donated = rng.random() < 0.7
        elsewhere = rng.randrange(self.num_stages)
        more: list[tuple[PhaseName, int]] = [("backward", stage), ("update", stage)]
        if rng.random() < 0.3 and elsewhere != stage:
            more.append(("forward", elsewhere))
        self._add(None, [*readers, *more], owner=own, is_donated=is_donated)
        self._add(("update", stage), [], kept_on=(stage,))
        # Sums of one microbatch are not read by who writes them.
        adds: list[tuple[PhaseName, int]] = (
            [("backward", stage)] if self.num_microbatches > 1 else []
        )
        target = stage if rng.random() < 0.8 else rng.randrange(self.num_stages)
        self._add(("backward", stage), [*adds, ("update", target)], is_sum=True)
        if rng.random() < 0.3:
            self._add(("update", stage), [("update", elsewhere)], reader_round=1)
            self._add(("update", elsewhere), [], round_=1, kept_on=(elsewhere,))

    def _passed(self, stage: int) -> None:
        later = [k for k in range(self.num_stages) if k > stage]
        if later:
            skips: list[tuple[PhaseName, int]] = [("forward", k) for k in later[1:]]
            self._add(("forward", stage), [("forward", later[0]), *self._some(skips, 0)], True)
        elif not self.has_backward:
            self._add(("forward", stage), [], True, kept_on=(stage,))
        if self.has_backward:
            self._add(("forward", stage), [("backward", stage)], True)
            if stage:
                self._add(("backward", stage), [("backward", stage - 1)], True)

    def _some(
        self, tasks: list[tuple[PhaseName, int]], least: int = 1
    ) -> list[tuple[PhaseName, int]]:
        count = self.rng.randrange(least, len(tasks) + 1) if len(tasks) >= least else 0
        return self.rng.sample(tasks, count)

    def _add(
        self,
        writer: tuple[PhaseName, int] | None,
        readers: list[tuple[PhaseName, int]],
        is_per_microbatch: bool = False,
        *,
        round_: int = 0,
        reader_round: int = 0,
        is_sum: bool = False,
        is_donated: bool = False,
        owner: int | None = None,
        kept_on: tuple[int, ...] = (),
    ) -> None:
        rng = self.rng
        home = writer[1] if writer else owner
        stages = {stage for _, stage in readers} | {*kept_on}
        stages |= {home} if home is not None else set()
        is_sent = rng.random() < 0.9
        self.found.append(
            PlannedValues(
                count=1,
                writer=None if writer is None else PlannedTask(writer[1], writer[0], round_),
                readers=tuple(PlannedTask(stage, phase, reader_round) for phase, stage in readers),
                held=tuple(
                    HeldValues(
                        stage,
                        rng.randrange(1, 1000),
                        0 if home in (None, stage) or not is_sent else rng.randrange(1, 500),
                    )
                    for stage in sorted(stages)
                ),
                is_per_microbatch=is_per_microbatch,
                is_sum=is_sum,
                is_donated=is_donated,
                owner=owner,
                kept_on=kept_on,
            )
        )
