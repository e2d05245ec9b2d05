"""Which method a random step is run with, as data, and the function that it makes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import alpa_mlir as alpa
import numpy as np
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.intra_op.shard import named_choices, normalize, shard
from alpa_mlir.options import ScheduleName
from programs.random_steps.source import write_source
from programs.random_steps.spec import RandomStep

from oracles.random_sharding import MESH_SHAPES, random_choices

MAX_MICROBATCHES = 8
TRAINING_SCHEDULES = ("gpipe", "1f1b", "eager_1f1b", "auto")
INFERENCE_SCHEDULES = ("inference", "gpipe", "auto")
# How often each is asked for.
KINDS = {
    "shard": 3,
    "auto": 3,
    "zero3": 2,
    "zero2": 1,
    "data": 1,
    "dice": 3,
    "pipeline": 12,
    "3d": 1,
}


@dataclass(frozen=True)
class Asked:
    """`kind` is one of KINDS; the other attributes count where that has such a thing."""

    kind: str
    mesh_shape: tuple[int, ...] | None = None
    num_stages: int = 1
    num_microbatches: int = 1
    schedule: str = "auto"
    dice: int = 0

    @property
    def is_pipeline(self) -> bool:
        return self.kind in ("pipeline", "3d")

    def __str__(self) -> str:
        if self.is_pipeline:
            return (
                f"{self.kind} of {self.num_stages} stages, {self.num_microbatches} microbatches, "
                f"{self.schedule}"
            )
        mesh = "x".join(map(str, self.mesh_shape)) if self.mesh_shape else "any mesh"
        return f"{self.kind} on {mesh}" + (f", dice {self.dice}" if self.kind == "dice" else "")


def random_method(step: RandomStep, seed: int) -> Asked:
    rng = np.random.default_rng([seed, 1])
    weights = np.array(list(KINDS.values()))
    kind = str(rng.choice(list(KINDS), p=weights / weights.sum()))
    if kind not in ("pipeline", "3d"):
        meshes = MESH_SHAPES if kind == "dice" else [None, None, *MESH_SHAPES]
        return Asked(kind, meshes[int(rng.integers(len(meshes)))], dice=seed)
    possible = possible_microbatches(step)
    shares = np.array([0.4 if m == 1 else 1.0 for m in possible])
    # Most often not more stages than there are layers to put into them.
    num_stages = int(rng.choice([1, 2, 2, 2, 3, 4]))
    if rng.random() < 0.9:
        num_stages = min(num_stages, max(write_source(step).num_products, 1))
    schedules = INFERENCE_SCHEDULES if step.mode == "evaluate" else TRAINING_SCHEDULES
    return Asked(
        kind,
        num_stages=2 if kind == "3d" else num_stages,
        num_microbatches=int(rng.choice(possible, p=shares / shares.sum())),
        schedule=str(rng.choice(schedules)),
    )


def possible_microbatches(step: RandomStep) -> list[int]:
    """What divides the examples and the rows that a view makes of them."""
    size = math.gcd(step.sizes[0], write_source(step).num_rows)
    return [m for m in range(1, MAX_MICROBATCHES + 1) if size % m == 0]


def simpler_methods(asked: Asked, step: RandomStep) -> list[Asked]:
    if not asked.is_pipeline:
        return [replace(asked, mesh_shape=(8,))] if asked.mesh_shape not in (None, (8,)) else []
    fewer = [m for m in possible_microbatches(step) if m < asked.num_microbatches]
    simpler = [replace(asked, num_microbatches=m) for m in fewer[:2]]
    if asked.num_stages > 1:
        simpler += [
            replace(asked, kind="pipeline", num_stages=s) for s in range(1, asked.num_stages)
        ]
    if asked.schedule not in ("gpipe", "inference"):
        simpler.append(replace(asked, schedule="gpipe"))
    return simpler


def parallelized(asked: Asked, step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """`step` of some example arguments, as asked."""
    if asked.kind == "dice":
        return _by_dice(asked, step, *arguments)
    cluster = None
    if asked.num_stages == 3:  # which equal parts of eight devices there are none of
        cluster = replace(alpa.Cluster.local(), devices_per_node=6)
    return alpa.parallelize(step, _method(asked), cluster)


def _method(asked: Asked) -> Any:
    search: dict[str, Any] = {"num_processes": 0, "cache_dir": None}
    match asked.kind:
        case "shard":
            return alpa.ShardParallel(mesh_shape=asked.mesh_shape)
        case "auto":
            return alpa.Auto(**search)
        case "zero3":
            return alpa.Zero3Parallel(mesh_shape=asked.mesh_shape)
        case "zero2":
            return alpa.Zero2Parallel(mesh_shape=asked.mesh_shape)
        case "data":
            return alpa.DataParallel(mesh_shape=asked.mesh_shape)
        case _:
            pass
    search |= {
        "num_microbatches": asked.num_microbatches,
        "schedule": cast(ScheduleName, asked.schedule),
    }
    if asked.kind == "3d":
        return alpa.ThreeDParallel(data=2, tensor=2, pipeline=2, **search)
    return alpa.PipelineParallel(num_stages=asked.num_stages, **search)


def _by_dice(asked: Asked, step: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """For every op any strategy that no cost forbids."""
    assert asked.mesh_shape is not None
    by_solver = alpa.parallelize(step, alpa.ShardParallel(mesh_shape=asked.mesh_shape))
    normal = normalize(by_solver.trace(*arguments).program.text)
    model = shard(normal, LogicalMesh.of_shape(asked.mesh_shape), alpa.Cluster.local()).model
    rng = np.random.default_rng(asked.dice)
    choices = random_choices(model.problem, rng, num_attempts=300)[: model.num_vertices]
    plan = by_solver.plan(*arguments)
    stage = replace(plan.stages[0], choices=named_choices(model, choices))
    return alpa.parallelize(step, alpa.FixedPlan(replace(plan, stages=(stage,))))
