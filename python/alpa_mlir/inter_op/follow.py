"""Stages for a function that reads state where another one keeps it: evaluation beside training.

Nothing of the placement is searched. Layers go to the stages that have their parameters, and the
parameters lie as they do for the leader, so that a call moves the batch and activations only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

from alpa_mlir._native import FunctionSummary, Module
from alpa_mlir.errors import ArgumentError, InfeasibleError
from alpa_mlir.frontend.trace import TracedProgram
from alpa_mlir.inter_op.choose import ChosenStage, in_flight
from alpa_mlir.inter_op.cost_stage import cost_stage
from alpa_mlir.inter_op.costs import StageQuestion
from alpa_mlir.inter_op.layers import LayeredStep, LayeredSteps, SplitStep
from alpa_mlir.inter_op.options import StageOption
from alpa_mlir.inter_op.search import PipelineChoice
from alpa_mlir.inter_op.sharded_stage import StageModel
from alpa_mlir.intra_op.shard import unmarked_choices
from alpa_mlir.ir import jaxlib
from alpa_mlir.ir.functions import argument_name, name_of, stage_of
from alpa_mlir.ir.spec import Spec, shardy_text
from alpa_mlir.options import FollowPlacement
from alpa_mlir.plan.data import PlanData
from alpa_mlir.schedule.kinds import SCHEDULE_KINDS


@dataclass(frozen=True)
class _Place:
    """Where the leader keeps an argument."""

    stage: int
    spec: Spec


def follow_pipeline(
    steps: LayeredSteps,
    program: TracedProgram,
    method: FollowPlacement,
    batch_size: int,
) -> PipelineChoice:
    """The pipeline of the step on the stages of the leader.

    Raises:
      ArgumentError: the step reads no state of the leader, or has fewer layers than it has stages.
      InfeasibleError: a stage does not fit into memory.
    """
    leader = method.leader
    places = _places(program, leader)
    if not places:
        raise ArgumentError(
            f"expected {program.name} to read state of {leader.program_name}, got arguments of "
            "other names, shapes or dtypes; plan it by itself, with alpa.Auto()"
        )
    asked = method.num_microbatches
    m = gcd(leader.num_microbatches, batch_size) if asked == "auto" else asked
    num_layers = 0 if method.num_layers == "auto" else method.num_layers
    layered = steps.get(m, num_layers, method.allow_local_statistics)
    num_stages = len(leader.stages)
    if layered.num_layers < num_stages:
        raise ArgumentError(
            f"expected at least {num_stages} layers of {program.name}, one for every stage of "
            f"{leader.program_name}, got {layered.num_layers}; plan it by itself"
        )
    first_layers = _first_layers(_votes(layered, places, num_stages))
    split = layered.split(first_layers)
    schedule = leader.schedule if split.has_backward else "inference"
    ranges = zip(first_layers, [*first_layers[1:], layered.num_layers], strict=True)
    chosen = [
        _stage(split, number, layers, schedule, places, method)
        for number, layers in enumerate(ranges)
    ]
    stages, options = (tuple(part) for part in zip(*chosen, strict=True))
    return PipelineChoice(layered, split, schedule, stages, options, step_seconds=0.0)


def _places(program: TracedProgram, leader: PlanData) -> dict[str, _Place]:
    """Where the leader keeps what this function reads, by name of value."""
    places: dict[str, _Place] = {}
    for position, argument in enumerate(program.arguments):
        if argument.is_batch:
            continue
        alike = [
            tensor
            for tensor in leader.arguments
            if tensor.stage is not None
            and (tensor.shape, tensor.dtype) == (argument.aval.shape, str(argument.aval.dtype))
        ]
        names = {tensor.name: tensor for tensor in alike}
        if name := _same_path(argument.name, list(names)):
            tensor = names[name]
            assert tensor.stage is not None
            places[argument_name(position)] = _Place(tensor.stage, tensor.spec)
    return places


def _same_path(name: str, candidates: Sequence[str]) -> str | None:
    """The candidate that ends in the path of `name` within its argument, or None.

    A leader has more around what is read here: `state.params['w']` is `params['w']`, and `p['w']`.
    Moments of an optimizer end alike, so the longest end that is equal decides, then which is
    nested least.
    """
    path = name[min((k for k in map(name.find, "[.") if k >= 0), default=0) :]
    ends_alike = [candidate for candidate in candidates if candidate.endswith(path)]
    return max(ends_alike, key=lambda each: (_common_end(each, name), -_depth(each)), default=None)


def _depth(name: str) -> int:
    return name.count(".") + name.count("[")


def _common_end(a: str, b: str) -> int:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return next((n for n, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def _votes(layered: LayeredStep, places: Mapping[str, _Place], num_stages: int) -> list[list[int]]:
    """By layer and stage, the bytes of parameters that the layer reads and the stage has."""
    votes = [[0] * num_stages for _ in range(layered.num_layers)]
    for function in layered.split(range(layered.num_layers)).stage_functions():
        layer = stage_of(function)
        for argument in function.arguments:
            if place := places.get(name_of(argument)):
                votes[layer][place.stage] += argument.bytes
    return votes


def _first_layers(votes: Sequence[Sequence[int]]) -> list[int]:
    """Consecutive layers for every stage, at least one each, with most votes in all."""
    num_layers, num_stages = len(votes), len(votes[0])
    # best[s][k]: of the first k layers on stages 0 to s, the votes and where stage s starts.
    best: list[dict[int, tuple[int, int]]] = [{} for _ in range(num_stages)]
    for stage in range(num_stages):
        for end in range(stage + 1, num_layers - (num_stages - stage - 1) + 1):
            candidates = range(1) if stage == 0 else range(stage, end)
            best[stage][end] = max(
                (
                    (0 if stage == 0 else best[stage - 1][first][0])
                    + sum(votes[layer][stage] for layer in range(first, end)),
                    first,
                )
                for first in candidates
            )
    firsts: list[int] = []
    end = num_layers
    for stage in reversed(range(num_stages)):
        end = best[stage][end][1]
        firsts.append(end)
    return firsts[::-1]


def _stage(
    split: SplitStep,
    number: int,
    layers: tuple[int, int],
    schedule: str,
    places: Mapping[str, _Place],
    method: FollowPlacement,
) -> tuple[ChosenStage, StageOption]:
    leader = method.leader
    planned = leader.stages[number]
    num_microbatches = split.num_microbatches
    num_in_flight = in_flight(
        SCHEDULE_KINDS[schedule], number, len(leader.stages), num_microbatches
    )
    module = split.stage(number)
    specs = {name: place.spec for name, place in places.items() if place.stage == number}
    marks = _marks(module.function, specs)
    text = jaxlib.mark_arguments(module.text, marks, planned.mesh.shardy_text)
    question = StageQuestion(
        text=text,
        key=f"{module.key} {marks}",
        mesh=planned.mesh,
        cluster=leader.cluster,
        num_microbatches=num_microbatches,
        num_in_flight=num_in_flight,
        memory_limit_bytes=method.memory_limit_bytes,
        time_limit_seconds=method.time_limit_seconds,
        target_gap=method.target_gap,
    )
    cost = cost_stage(question)
    if cost is None:
        raise InfeasibleError(
            f"stage {number} does not fit into memory beside what {leader.program_name} keeps "
            "there; use more microbatches"
        )
    fixed = StageModel.of(Module.parse(text), planned.mesh, leader.cluster)
    free = StageModel.of(module.module.clone(), planned.mesh, leader.cluster)
    choices = unmarked_choices(fixed.model, cost.choices, free.model)
    cost = replace(cost, choices=choices)
    option = StageOption(*layers, number, planned.mesh, num_in_flight=num_in_flight, cost=cost)
    stage = ChosenStage(
        number,
        *layers,
        planned.submesh,
        planned.first_device,
        num_in_flight,
        cost.memory_bytes(num_in_flight),
    )
    return stage, option


def _marks(function: FunctionSummary, specs: Mapping[str, Spec]) -> list[dict[str, str]]:
    marks: list[dict[str, str]] = []
    for argument in function.arguments:
        spec = specs.get(name_of(argument))
        if spec is None or len(spec) != len(argument.shape):  # a key shows no dim for its words
            marks.append({})
            continue
        marks.append({"sdy.sharding": shardy_text(spec)})
    return marks
