"""Timelines as pictures and traces."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from alpa_mlir._native import ScheduleKind
from alpa_mlir.errors import ScheduleError
from alpa_mlir.schedule.kinds import make_schedule
from alpa_mlir.simulate.drawing import save_trace, to_svg
from alpa_mlir.simulate.timeline import StageDurations, Timeline, simulate


def timeline(seconds: float) -> Timeline:
    """Of nine times `seconds`."""
    durations = StageDurations(forward_seconds=seconds, backward_seconds=2 * seconds)
    return simulate(make_schedule(ScheduleKind.ONE_F_ONE_B, 2, 2), [durations] * 2)


def drawn(**timelines: Timeline) -> ElementTree.Element:
    return ElementTree.fromstring(to_svg(timelines))


def end_of_last_box(root: ElementTree.Element, first: int, count: int) -> float:
    boxes = root.findall("{*}rect")[first : first + count]
    return max(float(box.attrib["x"]) + float(box.attrib["width"]) for box in boxes)


@pytest.mark.parametrize(("ratio", "end"), [(0.5, 70 + 600), (0.01, 70 + 1200)])
def test_only_timelines_too_short_to_see_have_a_scale_of_their_own(ratio: float, end: int) -> None:
    root = drawn(planned=timeline(ratio), measured=timeline(1.0))
    num_boxes = len(root.findall("{*}rect")) // 2
    assert end_of_last_box(root, 0, num_boxes) == pytest.approx(end, abs=0.2)
    assert end_of_last_box(root, num_boxes, num_boxes) == pytest.approx(70 + 1200, abs=0.2)


def test_axis_has_round_times() -> None:
    ticks = [
        text.text
        for text in drawn(measured=timeline(0.01)).findall("{*}text")
        if text.attrib.get("class") == "tick"
    ]
    assert ticks == ["0 ms", *[str(time) for time in range(10, 91, 10)]]


def test_picture_of_nothing_is_empty() -> None:
    root = drawn(measured=timeline(0.0))
    assert not root.findall("{*}line")
    assert all(float(box.attrib["width"]) == 0 for box in root.findall("{*}rect"))


def test_trace_has_complete_events(tmp_path: Path) -> None:
    both = {"planned": timeline(1.0), "measured": timeline(2.0)}
    with pytest.raises(ScheduleError, match=r"cannot write .*absent.* name another file"):
        save_trace(tmp_path / "absent" / "trace.json", both)
    save_trace(tmp_path / "trace.json", both)
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    names = {(e["pid"], e.get("tid")): e["args"]["name"] for e in events if e["ph"] == "M"}
    assert names[0, None] == "planned"
    assert names[1, 1] == "mesh 1"
    assert {(event["pid"], event["tid"]) for event in complete} <= names.keys()
    assert all(
        event["ts"] >= 0 and event["dur"] > 0 for event in complete if event["cat"] != "update"
    )
    assert max(event["ts"] + event["dur"] for event in complete) == pytest.approx(18e6)
