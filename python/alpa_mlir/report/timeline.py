"""Timelines of a pipelined step as files: a trace for Perfetto or chrome://tracing, a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from alpa_mlir.schedule.schedule import Phase, Task
from alpa_mlir.schedule.simulate import TimedTask, Timeline

_COLORS = {
    Phase.PROLOGUE: "#b8b8b8",
    Phase.FORWARD: "#7aa6da",
    Phase.BACKWARD: "#8cc28a",
    Phase.UPDATE: "#e5a96b",
}
_WIDTH, _ROW, _LEFT, _GAP = 1200, 26, 70, 34
_NARROWEST_WITH_TEXT = 14


def save_trace(path: str | Path, timelines: Mapping[str, Timeline]) -> None:
    """Writes Chrome's trace events: a process for each timeline, a thread for each mesh."""
    events = [
        event
        for process, (name, timeline) in enumerate(timelines.items())
        for event in _events(process, name, timeline)
    ]
    Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}) + "\n")


def _events(process: int, name: str, timeline: Timeline) -> Iterator[dict[str, Any]]:
    yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
    for mesh, tasks in enumerate(timeline.meshes):
        thread = {"pid": process, "tid": mesh}
        yield {"ph": "M", "name": "thread_name", **thread, "args": {"name": f"mesh {mesh}"}}
        for timed in tasks:
            yield {
                "ph": "X",
                "name": str(timed.task),
                "cat": timed.task.phase.name.lower(),
                "ts": timed.start_seconds * 1e6,
                "dur": (timed.end_seconds - timed.start_seconds) * 1e6,
                **thread,
                "args": {"stage": timed.task.stage, "microbatch": timed.task.microbatch},
            }


def save_svg(path: str | Path, timelines: Mapping[str, Timeline]) -> None:
    """Draws the timelines below one another on one scale of time, a row for each mesh."""
    Path(path).write_text(to_svg(timelines))


def to_svg(timelines: Mapping[str, Timeline]) -> str:
    longest = max((timeline.makespan_seconds for timeline in timelines.values()), default=0.0)
    scale = _WIDTH / longest if longest else 0.0
    body: list[str] = []
    top = 0
    for name, timeline in timelines.items():
        title = (
            f"{name}: {timeline.makespan_seconds * 1e3:.2f} ms, "
            f"bubbles {timeline.bubble_fraction:.0%}"
        )
        body.append(f'<text x="{_LEFT}" y="{top + 22}" class="title">{escape(title)}</text>')
        top += _GAP
        for mesh, tasks in enumerate(timeline.meshes):
            body.append(f'<text x="4" y="{top + 17}">mesh {mesh}</text>')
            body += [_box(timed, top, scale) for timed in tasks]
            top += _ROW
    style = "text{font:12px sans-serif}.title{font-weight:bold}.task{text-anchor:middle}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 10}" '
        f'height="{top + 10}"><style>{style}</style>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _box(timed: TimedTask, top: int, scale: float) -> str:
    left = _LEFT + timed.start_seconds * scale
    width = (timed.end_seconds - timed.start_seconds) * scale
    seconds = timed.end_seconds - timed.start_seconds
    tip = f"<title>{timed.task}: {seconds * 1e3:.3f} ms</title>"
    box = (
        f'<rect x="{left:.1f}" y="{top + 1}" width="{width:.1f}" height="{_ROW - 2}" '
        f'fill="{_COLORS[timed.task.phase]}" stroke="white">{tip}</rect>'
    )
    if width < _NARROWEST_WITH_TEXT:
        return box
    middle = left + width / 2
    return f'{box}<text class="task" x="{middle:.1f}" y="{top + 17}">{_label(timed.task)}</text>'


def _label(task: Task) -> str:
    return str(task.microbatch) if task.phase.runs_per_microbatch else task.phase.value


def to_text(timeline: Timeline, width: int = 120) -> str:
    """A row of characters for each mesh: digits are microbatches (the last one of their number),
    between brackets where they run backward, U the update, dots idle time."""
    label = len(f"mesh {len(timeline.meshes)}: ")
    cells = width - label
    scale = cells / timeline.makespan_seconds if timeline.makespan_seconds else 0.0
    lines = [
        f"timeline of a step: {timeline.makespan_seconds * 1e3:.3f} ms, "
        f"{timeline.bubble_fraction:.0%} of it idle"
    ]
    for mesh, tasks in enumerate(timeline.meshes):
        row = ["."] * cells
        for timed in tasks:
            begin = min(int(timed.start_seconds * scale), cells - 1)
            end = max(begin + 1, min(int(timed.end_seconds * scale), cells))
            row[begin:end] = _cells(timed.task, end - begin)
        lines.append(f"mesh {mesh}: ".ljust(label) + "".join(row))
    return "\n".join(lines)


def _cells(task: Task, length: int) -> list[str]:
    if task.phase in (Phase.UPDATE, Phase.PROLOGUE):
        return [task.phase.value] * length
    cells = [str(task.microbatch % 10)] * length
    if task.phase == Phase.BACKWARD and length > 1:
        cells[0] = "("
        cells[-1] = ")" if length > 2 else cells[-1]
    return cells
