"""Costs of stages on disk: none that more time might better."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alpa_mlir.disk_cache import DiskCache
from alpa_mlir.errors import SolverError
from alpa_mlir.inter_op import cost_table
from alpa_mlir.inter_op.cost_cache import CostCache
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.costs import StageCost

COST = StageCost((0, 1, 2), 1.0, 2.0, 3.0, 4, 5, 6, 7, 8, is_cut_off=False)


class Question:
    """Of a stage, as far as the table looks at it."""

    def __init__(self, digest: str) -> None:
        self.digest = digest


def test_an_answer_is_read_as_it_was_written(tmp_path: Path) -> None:
    cache = CostCache(DiskCache(tmp_path))
    cache.write("a", COST)
    cache.write("b", None)
    assert CostCache(DiskCache(tmp_path)).read("a") == (True, COST)
    assert CostCache(DiskCache(tmp_path)).read("b") == (True, None)
    assert CostCache(DiskCache(tmp_path)).read("c") == (False, None)


def test_damaged_files_are_no_answers(tmp_path: Path) -> None:
    good = json.dumps(COST.to_json())
    wrong = good.replace('"cost": 7', '"cost": "7"'), good.replace("2.0", "NaN")
    for text in ("", "{", "[]", "7", '{"choices": [1]}', "[" * 100_000, *wrong):
        (tmp_path / "a.json").write_text(text)
        assert CostCache(DiskCache(tmp_path)).read("a") == (False, None)


@pytest.mark.parametrize("answer", ["proven", "nothing fits", "cut off", "no answer in time"])
def test_what_a_time_limit_cut_off_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    def cost_stage(question: Question, **_: Any) -> StageCost | None:
        if answer == "no answer in time":
            raise SolverError("out of time")
        if answer == "nothing fits":
            return None
        return replace(COST, is_cut_off=answer == "cut off")

    monkeypatch.setattr(cost_table, "cost_stage", cost_stage)
    questions: list[Question] = [Question("a")]
    table = CostTable(CostCache(DiskCache(tmp_path)))
    table.costs(questions, len(questions), "test")  # type: ignore[arg-type]
    is_kept = answer in ("proven", "nothing fits")
    assert table.stopwatch.is_cut_short == (not is_kept)  # nor is a plan that rests on it
    assert CostCache(DiskCache(tmp_path)).read("a")[0] == is_kept
