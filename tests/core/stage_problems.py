"""Random stage problems, and their optima by trying everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alpa_mlir._native import ScheduleKind, StageCandidate, StageProblem, Submesh
from alpa_mlir.cluster.submeshes import standard_submeshes
from hypothesis import strategies as st

KINDS = [
    ScheduleKind.GPIPE,
    ScheduleKind.ONE_F_ONE_B,
    ScheduleKind.EAGER_ONE_F_ONE_B,
    ScheduleKind.INFERENCE,
]


def submeshes(num_nodes: int, devices_per_node: int) -> list[Submesh]:
    """The paper's."""
    return [Submesh(*shape) for shape in standard_submeshes(num_nodes, devices_per_node)]


def candidate(first_layer: int, end_layer: int, submesh: int, **costs: Any) -> StageCandidate:
    """One second unless said otherwise."""
    costs = {"compute_seconds": 1.0, **costs}
    return StageCandidate(first_layer=first_layer, end_layer=end_layer, submesh=submesh, **costs)


def stage_problem(
    num_layers: int, cluster: tuple[int, int], candidates: list[StageCandidate], **fields: Any
) -> StageProblem:
    """On the paper's submeshes, or those given by shape; 100 bytes of memory, 1F1B."""
    shapes = fields.pop("submeshes", None)
    fields = {
        "submeshes": [Submesh(*shape) for shape in shapes] if shapes else submeshes(*cluster),
        "memory_limit_bytes": 100,
        "num_microbatches": 4,
        "schedule": ScheduleKind.ONE_F_ONE_B,
        **fields,
    }
    return StageProblem(
        num_layers=num_layers, cluster=Submesh(*cluster), candidates=candidates, **fields
    )


@st.composite
def small_stage_problems(draw: st.DrawFn) -> StageProblem:
    """Missing candidates, several per place, memory that depends on what follows, transfers."""
    num_layers = draw(st.integers(1, 4))
    cluster = draw(st.sampled_from([(1, 1), (1, 2), (2, 1), (1, 4), (2, 2), (3, 2), (1, 3)]))
    shapes = submeshes(*cluster)
    # Coarse times make ties, fine ones many distinct periods.
    seconds = draw(st.sampled_from([st.integers(0, 4), st.integers(0, 1000)]))
    costs = st.builds(
        lambda compute, update, resident, activation, update_bytes: {
            "compute_seconds": compute / 8,
            "update_seconds": update / 8,
            "resident_bytes": resident,
            "activation_bytes": activation,
            "update_bytes": update_bytes,
        },
        seconds,
        seconds if draw(st.booleans()) else st.just(0),
        st.integers(0, 6),
        st.integers(0, 4),
        st.integers(0, 12),
    )
    # A limit on layers per stage makes plans of several stages, else one stage is often best.
    most_layers = draw(st.integers(1, num_layers))
    num_choices = draw(st.sampled_from([st.integers(1, 2), st.integers(0, 2)]))
    candidates = [
        candidate(first, end, submesh, **draw(costs))
        for first in range(num_layers)
        for end in range(first + 1, min(first + most_layers, num_layers) + 1)
        for submesh in range(len(shapes))
        for _ in range(draw(num_choices))
    ]
    num_transfers = (num_layers - 1) * len(shapes) ** 2
    transfers = st.lists(seconds, min_size=num_transfers, max_size=num_transfers)
    return stage_problem(
        num_layers,
        cluster,
        candidates,
        transfer_seconds=[time / 8 for time in draw(st.one_of(st.just([]), transfers))],
        memory_limit_bytes=draw(st.one_of(st.just(1000), st.integers(3, 15))),
        num_microbatches=draw(st.sampled_from([1, 2, 3, 8])),
        schedule=draw(st.sampled_from(KINDS)),
    )


def all_layer_covers(problem: StageProblem, layer: int = 0) -> Iterator[list[int]]:
    """Every sequence of candidates that takes the layers in order."""
    if layer == problem.num_layers:
        yield []
    for index in range(problem.num_candidates):
        stage = problem.candidate(index)
        if stage.first_layer == layer:
            for rest in all_layer_covers(problem, stage.end_layer):
                yield [index, *rest]


def brute_force(problem: StageProblem) -> float | None:
    """The least step time, or None if no plan is legal."""
    best = None
    for stages in all_layer_covers(problem):
        if sum_devices(problem, stages) != problem.cluster.num_devices:
            continue
        try:
            seconds = problem.evaluate(stages).step_seconds
        except ValueError:
            continue
        best = seconds if best is None else min(best, seconds)
    return best


def sum_devices(problem: StageProblem, stages: list[int]) -> int:
    shapes = problem.submeshes
    return sum(shapes[problem.candidate(index).submesh].num_devices for index in stages)
