"""Ranges of layers: which do the same, and what they cost, put together from short ones."""

import random
from dataclasses import replace
from typing import Any

import alpa_mlir as alpa
import jax.numpy as jnp
import optax
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.inter_op.cost_stage import cost_stage
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.costs import NO_LIMIT, StageCost, StageQuestion
from alpa_mlir.inter_op.kinds import layer_kinds, parts_of
from alpa_mlir.inter_op.layers import LayeredStep, unroll_layers
from alpa_mlir.inter_op.options import StageOption
from alpa_mlir.inter_op.range_costs import RangeCosts
from alpa_mlir.intra_op.shard import normalize
from alpa_mlir.models.workload import workload
from alpa_mlir.progress import Stopwatch

pytestmark = pytest.mark.slow

CLUSTER = alpa.Cluster.preset("p3.16xlarge")
METHOD = alpa.Auto(num_microbatches=4, cache_dir=None, num_processes=0)
MESHES = [LogicalMesh.of_shape((8,)), LogicalMesh.of_shape((2, 4))]
# Deep enough to repeat, small enough to be sharded whole; sizes that make layers' choices differ.
DEEP: dict[str, dict[str, Any]] = {
    "gpt": {"num_layers": 10, "hidden_size": 1024, "sequence_length": 256, "dtype": jnp.float16},
    "moe": {"num_layers": 16, "hidden_size": 256, "dtype": jnp.float16},
    "mlp": {"num_layers": 16, "hidden_size": 2048},
}
BATCH_SIZES = {"gpt": 64, "moe": 64, "mlp": 16384}  # with little work, latencies rule


@pytest.fixture(scope="module", params=sorted(DEEP))
def deep(request: pytest.FixtureRequest) -> LayeredStep:
    made = workload(
        request.param, "debug", BATCH_SIZES[request.param], optax.adam(1e-3), **DEEP[request.param]
    )
    text = alpa.parallelize(made.train_step).trace(*made.abstract_arguments()).program.text
    return LayeredStep.make(unroll_layers(normalize(text)), num_microbatches=4)


def range_costs(step: LayeredStep) -> RangeCosts:
    table = CostTable(None, 0)
    every = step.split(range(step.num_layers))
    return RangeCosts(step, every, METHOD, CLUSTER, table, Stopwatch("test"))


def test_a_layer_is_a_block_that_repeats(deep: LayeredStep) -> None:
    kinds = layer_kinds(deep.split(range(deep.num_layers)))
    assert deep.num_layers >= 8
    assert max(map(kinds.count, kinds)) >= deep.num_layers - 5


def test_a_range_is_the_stage_of_a_step_that_is_cut_there(deep: LayeredStep) -> None:
    rng = random.Random(3)
    for _ in range(6):
        first = rng.randrange(deep.num_layers)
        end = rng.randrange(first, deep.num_layers) + 1
        bounds = sorted({0, first, end} - {deep.num_layers})
        number = bounds.index(first)
        for rematerialized in ([], [number]):
            whole = deep.split(bounds, rematerialized).stage(number)
            alone = deep.range(first, end, bool(rematerialized))
            assert alone.module.text() == whole.module.text()


def test_ranges_of_equal_kinds_do_the_same(deep: LayeredStep) -> None:
    kinds = layer_kinds(deep.split(range(deep.num_layers)))
    keys: dict[tuple[int, ...], set[str]] = {}
    for length in (1, 2, 3):
        for first in range(0, deep.num_layers - length + 1):
            key = deep.range(first, first + length).key
            keys.setdefault(kinds[first : first + length], set()).add(key)
    assert all(len(each) == 1 for each in keys.values())


def test_costs_put_together_are_those_of_the_whole(deep: LayeredStep) -> None:
    """Within 1 % (issue 11), for random ranges that are longer than what is solved for them."""
    ranges = range_costs(deep)
    chance = random.Random(0)
    places = [
        (first, end)
        for first in range(deep.num_layers)
        for end in range(first + 1, deep.num_layers + 1)
        if not parts_of(ranges.kinds[first:end]).is_whole
    ]
    chosen = chance.sample(places, min(4, len(places)))
    options = [StageOption(*place, 0, mesh) for place in chosen for mesh in MESHES]
    estimates = ranges.estimates(options, "estimated")
    whole = ranges.ask(
        [ranges.module(option) for option in options], options, NO_LIMIT, 0.0005, "whole"
    )
    for option, estimate, cost in zip(options, estimates, whole, strict=True):
        assert estimate is not None
        assert cost is not None
        assert total(estimate) == pytest.approx(total(cost), rel=0.01), option
        assert estimate.memory_bytes(2) == pytest.approx(cost.memory_bytes(2), rel=0.05), option


def total(cost: StageCost) -> float:
    return 4 * cost.seconds + cost.update_seconds


def test_parts_add_up_to_the_range() -> None:
    """What is linear in the layers comes out exactly."""
    chance = random.Random(1)
    for _ in range(300):
        kinds = tuple(
            kind for kind in chance.choices(range(3), k=6) for _ in range(chance.randint(1, 9))
        )
        parts = parts_of(kinds)
        for kind in range(3):
            counted = sum(weight * part.count(kind) for part, weight in parts.weights)
            assert counted == pytest.approx(kinds.count(kind))
        for part, _ in parts.weights:
            assert any(kinds[i : i + len(part)] == part for i in range(len(kinds)))


def test_what_must_fit_costs_little_more_than_the_bound(deep: LayeredStep) -> None:
    ranges = range_costs(deep)
    option = StageOption(0, 4, 0, MESHES[0])
    module = ranges.module(option)
    asked = StageQuestion(
        text=module.text,
        key=module.key,
        mesh=option.mesh,
        cluster=CLUSTER,
        num_microbatches=4,
        memory_limit_bytes=NO_LIMIT,
        time_limit_seconds=3.0,
    )
    free = cost_stage(asked)
    assert free is not None
    dear = 100 * free.cost / free.memory_bytes(1)
    least = cost_stage(replace(asked, byte_price=dear))
    assert least is not None
    assert least.memory_bytes(1) < free.memory_bytes(1)
    limit = (free.memory_bytes(1) + least.memory_bytes(1)) // 2
    fitting = cost_stage(replace(asked, memory_limit_bytes=limit))
    assert fitting is not None
    assert fitting.memory_bytes(1) <= limit
    assert free.cost <= fitting.cost <= least.cost
    assert fitting.lower_bound <= fitting.cost
    far_off = cost_stage(replace(asked, memory_limit_bytes=limit, byte_price=1e15))
    assert far_off is not None
    assert far_off.memory_bytes(1) <= limit
    hasty = cost_stage(replace(asked, memory_limit_bytes=limit, time_limit_seconds=0.01))
    assert hasty is not None
    # Reductions alone take no time that counts: they may have found all there is to find.
    assert hasty.is_cut_off or hasty.cost == fitting.cost
    assert not free.is_cut_off
    assert hasty.cost >= free.cost
