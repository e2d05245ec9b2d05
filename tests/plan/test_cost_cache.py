"""Costs of stages on disk: bounded, and none that more time might better."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alpa_mlir.errors import SolverError
from alpa_mlir.inter_op import cost_table
from alpa_mlir.inter_op.cost_cache import CostCache, default_cache_dir
from alpa_mlir.inter_op.cost_table import CostTable
from alpa_mlir.inter_op.costs import StageCost

COST = StageCost((0, 1, 2), 1.0, 2.0, 3.0, 4, 5, 6, 7, 8, is_cut_off=False)


class Question:
    """Of a stage, as far as the table looks at it."""

    def __init__(self, digest: str) -> None:
        self.digest = digest


def test_an_answer_is_read_as_it_was_written(tmp_path: Path) -> None:
    cache = CostCache(tmp_path)
    cache.write("a", COST)
    cache.write("b", None)
    assert CostCache(tmp_path).read("a") == (True, COST)
    assert CostCache(tmp_path).read("b") == (True, None)
    assert CostCache(tmp_path).read("c") == (False, None)


def test_damaged_files_are_no_answers(tmp_path: Path) -> None:
    good = json.dumps(COST.to_json())
    wrong = good.replace('"cost": 7', '"cost": "7"'), good.replace("2.0", "NaN")
    for text in ("", "{", "[]", "7", '{"choices": [1]}', "[" * 100_000, *wrong):
        (tmp_path / "a.json").write_text(text)
        assert CostCache(tmp_path).read("a") == (False, None)


def test_files_used_least_make_room(tmp_path: Path) -> None:
    cache = CostCache(tmp_path)
    cache.write("0", COST)
    size = (tmp_path / "0.json").stat().st_size
    cache = CostCache(tmp_path, max_bytes=10 * size)
    for number in range(10):
        cache.write(str(number), COST)
        os.utime(tmp_path / f"{number}.json", (number, number))
    cache.read("0")  # used last, though written first
    cache.write("10", COST)
    kept = {path.stem for path in tmp_path.glob("*.json")}
    assert {"0", "10"} <= kept
    assert not {"1", "2"} & kept
    assert sum(path.stat().st_size for path in tmp_path.glob("*.json")) <= 10 * size


def test_a_folder_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = CostCache(tmp_path / "file")
    cache.write("a", COST)
    assert cache.read("a") == (False, None)


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
    CostTable(CostCache(tmp_path)).costs(questions, len(questions), "test")  # type: ignore[arg-type]
    is_kept = answer in ("proven", "nothing fits")
    assert CostCache(tmp_path).read("a")[0] == is_kept


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPA_MLIR_CACHE_DIR", "/somewhere/else")
    assert default_cache_dir() == Path("/somewhere/else")
