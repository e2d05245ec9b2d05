"""The search for stages where memory is short, against the stage DP over all options costed whole.

The search costs few options: at few prices of memory, long ranges from short ones, and only what it
has reason to want.
"""

from dataclasses import replace
from itertools import product
from math import inf

import alpa_mlir as alpa
import optax
import pytest
from alpa_mlir.inter_op.choose import choose_stages
from alpa_mlir.inter_op.layers import LayeredStep, unroll_layers
from alpa_mlir.inter_op.options import StageOption, stage_options
from alpa_mlir.inter_op.search import PipelineChoice, StageSearch, _LayeredSearch
from alpa_mlir.intra_op.shard import normalize
from alpa_mlir.models.workload import workload
from alpa_mlir.progress import Stopwatch

pytestmark = pytest.mark.slow

NUM_MICROBATCHES = 8
# Of what the fastest pipeline without a limit needs: the smaller, the more has to give way.
SHARES = [0.8, 0.55]


def layered_step() -> LayeredStep:
    made = workload(
        "gpt", "debug", 64, optax.adam(1e-3), num_layers=3, hidden_size=512, sequence_length=128
    )
    text = alpa.parallelize(made.train_step).trace(*made.abstract_arguments()).program.text
    return LayeredStep.make(unroll_layers(normalize(text)), NUM_MICROBATCHES, 3)


def two_devices() -> alpa.Cluster:
    return replace(alpa.Cluster.preset("p3.16xlarge"), devices_per_node=2)


def found(layered: LayeredStep, limit: int | None) -> PipelineChoice:
    method = alpa.Auto(cache_dir=None, num_processes=0, memory_limit_bytes=limit)
    with StageSearch(method, two_devices(), Stopwatch("test")) as search:
        choice = search.run(layered)
    assert choice is not None
    return choice


def best_of_all(layered: LayeredStep, limit: int) -> float:
    """Seconds of a step: every option with every number of microbatches in flight."""
    method = alpa.Auto(cache_dir=None, num_processes=0, memory_limit_bytes=limit)
    with StageSearch(method, two_devices(), Stopwatch("test")) as search:
        whole = _LayeredSearch(search, layered)
        options = [
            replace(option, is_rematerialized=is_rematerialized, num_in_flight=in_flight)
            for option, is_rematerialized, in_flight in product(
                stage_options(layered.num_layers, search.submeshes, method, search.cluster),
                (False, True),
                (1, 2, 4),
            )
        ]
        costs = whole.ranges.whole(options, limit, "all")
        costed: list[StageOption] = [
            replace(option, cost=cost)
            for option, cost in zip(options, costs, strict=True)
            if cost is not None
        ]
        problems = (whole._problem(costed, kind, limit) for kind in whole.kinds.values())
        return choose_stages(problems).step_seconds


@pytest.fixture(scope="module")
def layered() -> LayeredStep:
    return layered_step()


@pytest.fixture(scope="module")
def needed_bytes(layered: LayeredStep) -> int:
    return max(stage.memory_bytes for stage in found(layered, None).stages)


@pytest.mark.parametrize("share", SHARES)
def test_the_search_is_no_slower_than_the_best_of_all_options(
    layered: LayeredStep, needed_bytes: int, share: float
) -> None:
    limit = round(share * needed_bytes)
    choice = found(layered, limit)
    assert all(stage.memory_bytes <= limit for stage in choice.stages)
    assert choice.step_seconds <= 1.01 * best_of_all(layered, limit)


def test_a_search_ends_when_it_cannot_be_faster(layered: LayeredStep) -> None:
    fastest = found(layered, None).step_seconds
    method = alpa.Auto(cache_dir=None, num_processes=0)
    with StageSearch(method, two_devices(), Stopwatch("test")) as search:
        assert search.run(layered, less_than_seconds=0.9 * fastest) is None
        again = search.run(layered, less_than_seconds=inf)
    assert again is not None
    assert again.step_seconds == fastest
