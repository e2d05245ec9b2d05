"""Stages that differ in the microbatches in flight alone: which of them are sharded."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import alpa_mlir as alpa
import pytest
from alpa_mlir.cluster import LogicalMesh
from alpa_mlir.inter_op import cost_table
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.costs import StageCost, StageQuestion
from alpa_mlir.inter_op.kinds import Kinds, longest_run
from alpa_mlir.inter_op.options import StageOption
from alpa_mlir.inter_op.range_costs import RangeCosts

COST = StageCost((), 1.0, 2.0, 0.5, 10, 3, 40, 1000, 900, False)
OPTION = StageOption(0, 2, 0, LogicalMesh.of_shape((4,)))


class Costs(RangeCosts):
    """Of four equal layers; what is asked is written down."""

    def __init__(self, cost: Callable[[int], StageCost | None]) -> None:
        self.kinds = (0, 0, 0, 0)
        self.method = alpa.Auto(cache_dir=None)
        self.cost = cost
        self.asked: list[list[int]] = []

    def _cut(self, ranges: Iterable[tuple[Kinds, StageOption]]) -> Iterator[Any]:
        return iter(())

    def ask(
        self,
        modules: Any,
        options: Sequence[StageOption],
        limit: int,
        target_gap: float,
        title: str,
        work_limits: Any = None,
    ) -> list[StageCost | None]:
        self.asked.append([option.num_in_flight for option in options])
        return [self.cost(option.num_in_flight) for option in options]


def stages(*in_flight: int) -> list[StageOption]:
    """Of equal layers, at another place each."""
    return [
        replace(OPTION, first_layer=k % 3, end_layer=k % 3 + 2, num_in_flight=held)
        for k, held in enumerate(in_flight)
    ]


def test_between_equals_nothing_is_asked() -> None:
    costs = Costs(lambda held: replace(COST, resident_bytes=held))
    found = costs.whole(stages(9, 1, 5, 7, 3), 100, "test")
    assert costs.asked == [[1, 9]]
    # What fits with nine fits with fewer.
    assert [cost and cost.resident_bytes for cost in found] == [9, 1, 9, 9, 9]


def test_between_others_all_are_asked() -> None:
    costs = Costs(lambda held: replace(COST, cost=1000 + 10 * held))
    found = costs.whole(stages(1, 3, 5), 100, "test")
    assert costs.asked == [[1, 5], [3]]
    assert [cost and cost.cost for cost in found] == [1010, 1030, 1050]


def test_what_fits_only_with_few_is_asked_one_by_one() -> None:
    costs = Costs(lambda held: COST if held < 4 else None)
    assert costs.whole(stages(1, 3, 5), 100, "test") == [COST, COST, None]
    assert costs.asked == [[1, 5], [3]]


def test_other_layers_and_meshes_are_others() -> None:
    costs = Costs(lambda _: COST)
    other = replace(OPTION, mesh=LogicalMesh.of_shape((2, 2)), num_in_flight=2)
    longer = replace(OPTION, end_layer=3, num_in_flight=3)
    costs.whole([*stages(1, 4), other, longer], 100, "test")
    assert sorted(costs.asked[0]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kinds", "run"),
    [
        ((0, 1, 1, 1, 2), range(1, 4)),
        ((1, 1, 0, 1), range(2)),
        ((0, 1), range(1, 2)),
        ((0, 0), range(0)),
        ((1,), range(1)),
    ],
)
def test_longest_run(kinds: Kinds, run: range) -> None:
    assert longest_run(kinds, 1) == run


def test_questions_are_asked_while_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Workers:
        def __init__(self, num_processes: int) -> None: ...

        def ask(self, question: StageQuestion) -> Future[StageCost | None]:
            asked.append(question.digest)
            answer: Future[StageCost | None] = Future()
            answer.set_result(COST)
            return answer

        def end(self) -> None: ...

    monkeypatch.setattr(cost_table, "_Workers", Workers)
    cluster = alpa.Cluster.preset("p3.16xlarge")
    before: list[int] = []

    def questions(keys: Sequence[int]) -> Iterator[StageQuestion]:
        for key in keys:
            before.append(len(asked))
            yield StageQuestion("", str(key), OPTION.mesh, cluster, 1)

    table = CostTable(None, num_processes=2)
    keys = [*range(8), 0, 8, 9]  # one of them twice
    assert table.costs(questions(keys), len(keys), "test") == [COST] * len(keys)
    assert before == [0] * 8 + [8, 8, 9]
    assert len(asked) == 10
