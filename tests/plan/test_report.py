"""What reports say of a plan: the page without a browser, parts of time, blocks, notebooks."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import alpa_mlir as alpa
import pytest
from alpa_mlir.errors import PlanError
from alpa_mlir.plan.check import check_rules
from alpa_mlir.plan.data import TensorPlan
from alpa_mlir.progress import Progress
from alpa_mlir.report.blocks import blocks_of
from alpa_mlir.report.breakdown import breakdown
from alpa_mlir.report.page import page, page_data
from alpa_mlir.report.progress import terminal_progress
from alpa_mlir.simulate.planned import planned_timeline
from alpa_mlir.units import format_bytes, format_seconds
from programs.hand_made_plans import hand_made_plan, whole_plan

HOSTILE = "</script><script>alert(1)</script>"
_MOST_BYTES = 5_000_000


def embedded(text: str) -> Any:
    """The data of a page, as the browser cuts it out."""
    begin = text.index('id="data">') + len('id="data">')
    return json.loads(text[begin : text.index("</script>", begin)])


def without_transfers(plan: alpa.Plan) -> alpa.Plan:
    values = [
        replace(group, held=tuple(replace(each, received_bytes=0) for each in group.held))
        for group in plan.values
    ]
    plan = replace(plan, values=tuple(values))
    return replace(plan, step_seconds=planned_timeline(plan).makespan_seconds)


# --- The page ---


def test_hand_made_plans_are_plans() -> None:
    for plan in (hand_made_plan(), hand_made_plan(128, 16, 96, 256), whole_plan()):
        check_rules(plan)


def test_page_needs_no_network(tmp_path: Path) -> None:
    hand_made_plan().report(tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert "default-src 'none'" in text
    outside = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", text)
    assert {each for each in outside if "www.w3.org/2000/svg" not in each} == set()
    assert not re.search(r"<(?:link|img|iframe)\b|\bsrc=|@import|url\(", text)
    assert "<!-- " not in text.partition("</style>")[2].partition('id="data"')[0]


@pytest.mark.slow
def test_large_plan_is_a_small_page() -> None:
    """96 layers on 1,024 devices, with 1,024 microbatches."""
    text = page(hand_made_plan(128, 16, 96, 1024))
    assert len(text.encode()) < _MOST_BYTES
    assert len(embedded(text)["timeline"]["meshes"][0]) == 4 * (2 * 1024 + 1)


def test_names_cannot_end_the_data() -> None:
    plan = replace(hand_made_plan(name=HOSTILE), remarks=(HOSTILE, "<!-- script -->"))
    text = page(plan)
    assert HOSTILE not in text
    assert embedded(text)["plan"]["program"] == HOSTILE
    assert embedded(text)["remarks"] == [HOSTILE, "<!-- script -->"]


def test_page_data_is_the_plans() -> None:
    plan = hand_made_plan()
    data = page_data(plan)
    assert data["plan"]["step_seconds"] == plan.step_seconds
    assert [row["memory_bytes"] for row in data["stages"]] == [s.memory_bytes for s in plan.stages]
    assert sum(row["bytes"] for row in data["blocks"]) == sum(
        tensor.bytes_per_device for tensor in plan.arguments
    )
    assert sum(row["seconds"] for row in data["collectives"]) == pytest.approx(
        sum(each.seconds for each in plan.collectives)
    )
    assert sum(row["count"] for row in data["ops"]) == len(plan.choices)
    for curve, simulated in zip(data["memory"], plan.simulate().memory, strict=True):
        assert max(curve["bytes"]) == simulated.peak_bytes
        assert curve["places"] == sorted(set(curve["places"]))
    timeline = planned_timeline(plan)
    for flat, tasks in zip(data["timeline"]["meshes"], timeline.meshes, strict=True):
        end = sum(flat[2::4]) + sum(flat[3::4])
        assert end * data["timeline"]["tick_seconds"] == pytest.approx(tasks[-1].end_seconds)


def test_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"cannot write .*absent"):
        hand_made_plan().report(tmp_path / "absent" / "p.html")


# --- Where the time goes ---


@pytest.mark.parametrize("plan", [hand_made_plan(), hand_made_plan(1, 4, 4, 9), whole_plan()])
def test_every_second_has_a_name(plan: alpa.Plan) -> None:
    for parts in (*breakdown(plan).stages, breakdown(plan).mean):
        seconds = [value for _, value in parts.items()]
        assert min(seconds) >= 0
        assert sum(seconds) == pytest.approx(plan.step_seconds, rel=1e-12)


def test_bubble_of_equal_stages_is_that_of_1f1b() -> None:
    """(stages - 1) of (microbatches + stages - 1) slots, as GPipe's and 1F1B's papers have it."""
    plan = without_transfers(hand_made_plan(1, 4, 4, 9))
    equal = replace(plan.stages[0], update_seconds=0.0, collectives=())
    stages = tuple(
        replace(equal, first_layer=k, end_layer=k + 1, first_device=2 * k, num_in_flight=4 - k)
        for k in range(4)
    )
    plan = replace(plan, stages=stages)
    plan = replace(plan, step_seconds=planned_timeline(plan).makespan_seconds)
    parts = breakdown(plan).mean
    assert parts.transfer_seconds == 0
    assert parts.bubble_seconds / parts.step_seconds == pytest.approx(3 / (9 + 3))


def test_transfers_of_one_microbatch_take_their_time_there_and_back() -> None:
    """Each of four devices sends its quarter to one of the other stage."""
    plan = hand_made_plan(1, 2, 4, 1)
    link = plan.cluster.intra_node
    sent_seconds = link.latency_seconds + 8_000_000 / 4 / link.bytes_per_second
    assert breakdown(plan).mean.transfer_seconds == pytest.approx(2 * sent_seconds)


# --- Blocks ---


def tensors(*names: str) -> list[TensorPlan]:
    return [TensorPlan(name, "state", "float32", (), (), 1, "") for name in names]


def blocks(*names: str) -> dict[str, tuple[str, ...]]:
    return {block.name: block.parts for block in blocks_of(tensors(*names))}


def test_optimizer_state_is_beside_its_parameter() -> None:
    trees = ("s.params", "s.opt[0].mu", "s.opt[0].nu")
    names = [f"{tree}['layers'][{k}]['w']" for tree in trees for k in range(11)]
    found = blocks(*names, *(f"{tree}['head']" for tree in trees), "s.opt[0].count")
    assert found["layers[10]"] == ("w", "w", "w")
    assert found["head"] == ("head",) * 3
    assert [name for name in found if name.startswith("layers")] == [
        f"layers[{k}]" for k in range(11)
    ]


def test_blocks_without_an_optimizer() -> None:
    assert blocks("params[0]", "params[1]") == {"[0]": ("0",), "[1]": ("1",)}
    assert blocks("p.encoder.w", "p.decoder.w") == {"decoder": ("w",), "encoder": ("w",)}
    assert blocks("p['Dense_0']['kernel']", "p['Dense_1']['kernel']") == {
        "Dense_0": ("kernel",),
        "Dense_1": ("kernel",),
    }
    assert blocks("w") == {"w": ("w",)}
    assert blocks() == {}


def test_experts_are_parts_of_their_layer() -> None:
    names = ["p.blocks[3].experts[2].w", "p.blocks[3].experts[4].w", "p.blocks[3].gate", "p.head"]
    assert blocks(*names) == {
        "blocks[3]": ("gate",),
        "blocks[3].experts[2]": ("w",),
        "blocks[3].experts[4]": ("w",),
        "head": ("head",),
    }


def test_momentum_as_an_argument_of_its_own() -> None:
    assert blocks("params.head", "params.layers[0].w", "m.head", "m.layers[0].w") == {
        "head": ("head", "head"),
        "layers[0]": ("w", "w"),
    }


def test_any_name_has_a_block() -> None:
    assert blocks("") == {"": ("",)}
    assert blocks("p['']", "p['\u00b2']", f"p[{'1' * 5000}]").keys() >= {"\u00b2"}


# --- On a terminal ---


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    odd = "[/b][red]w :bug:\\"
    plan = hand_made_plan()
    arguments = (replace(plan.arguments[0], name=odd), *plan.arguments[1:])
    transfers = tuple(replace(each, value=odd) for each in plan.transfers)
    named = replace(plan, program_name=odd, arguments=arguments, transfers=transfers)
    assert named.explain().count(odd) == 2 + len(transfers)
    assert odd in str(plan.compare(named))


def test_progress_shows_the_part_that_runs_whatever_its_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    show = terminal_progress()
    for part, total in (("first {x}[/b]", None), ("second {y}[/b]", 3), ("third", 5)):
        show(Progress("step", part, 0, total))
        sleep(0.3)  # it is drawn ten times a second
    for part in ("third", "second {y}[/b]", "first {x}[/b]"):
        show(Progress("step", part, is_finished=True))
    shown = capsys.readouterr().err
    assert all(part in shown for part in ("first {x}[/b]", "second {y}[/b]", "third"))


# --- Notebooks ---


def test_plan_shows_itself_in_notebooks() -> None:
    plan = hand_made_plan(name="<b>step</b>")
    html = plan._repr_html_()
    assert "&lt;b&gt;step" in html
    assert "<script" not in html
    assert format_seconds(plan.step_seconds) in html
    assert html.count("<tr>") == 1 + len(plan.stages)
    assert format_bytes(plan.stages[1].memory_bytes) in html


def test_ranges_of_one_are_that_one() -> None:
    plan = hand_made_plan(1, 8, 8, 4)
    assert "<td>7</td><td>7</td><td>7</td>" in plan._repr_html_()  # stage, layers, devices
    assert re.search(r"^ *7 +7 +7 ", plan.explain(), re.MULTILINE)
