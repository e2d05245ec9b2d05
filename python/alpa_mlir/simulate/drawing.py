"""Timelines of a pipelined step as files: a trace for Perfetto or chrome://tracing, a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from math import floor, log10
from pathlib import Path
from typing import Any

from alpa_mlir.errors import ScheduleError
from alpa_mlir.files import write_text
from alpa_mlir.schedule.schedule import Phase, Task
from alpa_mlir.simulate.events import Simulation
from alpa_mlir.simulate.timeline import TimedTask, Timeline

_COLORS = {
    Phase.PROLOGUE: "#b8b8b8",
    Phase.FORWARD: "#7aa6da",
    Phase.BACKWARD: "#8cc28a",
    Phase.UPDATE: "#e5a96b",
}
_WIDTH, _ROW, _LEFT, _RIGHT = 1200, 26, 70, 30
_TITLE, _AXIS, _LEGEND = 34, 28, 30  # heights
_NARROWEST_WITH_TEXT = 14
_MOST_TICKS = 12
_LEAST_VISIBLE = 0.25
_STYLE = (
    "text{font:12px sans-serif}.title{font-weight:bold}.task,.tick{text-anchor:middle}"
    ".tick{fill:#666}.axis{stroke:#bbb}"
)


def save_trace(path: str | Path, timelines: Mapping[str, Timeline]) -> None:
    """Writes Chrome's trace events: a process for each timeline, a thread for each mesh.

    Raises:
      ScheduleError: the file cannot be written; it is what it was.
    """
    events = [
        event
        for process, (name, timeline) in enumerate(timelines.items())
        for event in _events(process, name, timeline)
    ]
    _save_events(path, events)


def _save_events(path: str | Path, events: list[dict[str, Any]]) -> None:
    text = json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})
    write_text(path, text + "\n", ScheduleError)


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


def save_simulation_trace(path: str | Path, simulation: Simulation) -> None:
    """Writes Chrome's trace events of a simulated step: below the tasks of the meshes a thread for
    each route of transfers, and counters of the bytes that devices hold.

    Raises:
      ScheduleError: the file cannot be written; it is what it was.
    """
    events = [
        *_events(0, "planned", simulation.timeline),
        *_transfer_events(0, simulation),
        *_memory_events(0, simulation),
    ]
    _save_events(path, events)


def _transfer_events(process: int, simulation: Simulation) -> Iterator[dict[str, Any]]:
    routes = sorted({(each.source, each.target) for each in simulation.transfers})
    first = len(simulation.timeline.meshes)
    threads = {route: first + number for number, route in enumerate(routes)}
    for (source, target), thread in threads.items():
        name = {"name": f"mesh {source} to {target}"}
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": name}
    for each in simulation.transfers:
        waited_seconds = each.start_seconds - each.ready_seconds  # for others on its route
        yield {
            "ph": "X",
            "name": "transfer" if each.microbatch is None else f"transfer.{each.microbatch}",
            "cat": "transfer",
            "ts": each.start_seconds * 1e6,
            "dur": (each.end_seconds - each.start_seconds) * 1e6,
            "pid": process,
            "tid": threads[each.source, each.target],
            "args": {"bytes": each.num_bytes, "waited_us": waited_seconds * 1e6},
        }


def _memory_events(process: int, simulation: Simulation) -> Iterator[dict[str, Any]]:
    for curve in simulation.memory:
        for seconds, num_bytes in zip(curve.seconds, curve.bytes, strict=True):
            yield {
                "ph": "C",
                "name": f"memory of a device of mesh {curve.stage}",
                "ts": seconds * 1e6,
                "pid": process,
                "args": {"bytes": num_bytes},
            }


def to_svg(timelines: Mapping[str, Timeline]) -> str:
    """Draws the timelines below one another, a row for each mesh, with an axis of time for each.

    All have one scale, except those so short that nothing would be seen of them.
    """
    longest = max((timeline.makespan_seconds for timeline in timelines.values()), default=0.0)
    body = [_legend()]
    top = _LEGEND
    for name, timeline in timelines.items():
        is_visible = timeline.makespan_seconds >= _LEAST_VISIBLE * longest
        shown_seconds = longest if is_visible else timeline.makespan_seconds
        body += _rows(name, timeline, top, shown_seconds)
        top += _height(timeline)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + _RIGHT}" '
        f'height="{top + 10}"><style>{_STYLE}</style>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _height(timeline: Timeline) -> int:
    return _TITLE + _ROW * len(timeline.meshes) + _AXIS


def _legend() -> str:
    entries = [
        f'<rect x="{_LEFT + 110 * k}" y="8" width="14" height="14" fill="{color}"/>'
        f'<text x="{_LEFT + 110 * k + 20}" y="19">{phase.name.lower()}</text>'
        for k, (phase, color) in enumerate(_COLORS.items())
    ]
    return f"<g>{''.join(entries)}</g>"


def _rows(name: str, timeline: Timeline, top: int, shown_seconds: float) -> Iterator[str]:
    """Title, axis and a row for each mesh; `shown_seconds` is how much the width stands for."""
    scale = _WIDTH / shown_seconds if shown_seconds else 0.0
    title = (
        f"{name}: {timeline.makespan_seconds * 1e3:.3g} ms, bubbles {timeline.bubble_fraction:.0%}"
    )
    yield f'<text x="{_LEFT}" y="{top + 22}" class="title">{escape(title)}</text>'
    top += _TITLE
    yield from _axis(top, top + _ROW * len(timeline.meshes), shown_seconds, scale)
    for mesh, tasks in enumerate(timeline.meshes):
        yield f'<text x="4" y="{top + 17}">mesh {mesh}</text>'
        yield from (_box(timed, top, scale) for timed in tasks)
        top += _ROW


def _axis(top: int, bottom: int, shown_seconds: float, scale: float) -> Iterator[str]:
    """Lines behind the rows at round times, each with its milliseconds below."""
    step = _round_step(shown_seconds)
    for number in range(int(shown_seconds / step + 1e-6) + 1 if step else 0):
        x = _LEFT + number * step * scale
        yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom + 4}" class="axis"/>'
        label = f"{number * step * 1e3:.6g}" + (" ms" if number == 0 else "")
        yield f'<text x="{x:.1f}" y="{bottom + 17}" class="tick">{label}</text>'


def _round_step(seconds: float) -> float:
    """1, 2 or 5 times a power of ten, with few enough of them in `seconds`."""
    if not seconds:
        return 0.0
    least = seconds / _MOST_TICKS
    power = 10.0 ** floor(log10(least))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= least)


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
