"""`Plan.report`: a plan as one page that needs no network.

The page is a template with our own style and script (assets/), and the plan's figures as JSON,
which the script draws. Names in a plan may be anybody's: they become text, never markup.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from importlib.resources import files
from typing import Any

from alpa_mlir.plan.data import PlanData
from alpa_mlir.report.summary import summary
from alpa_mlir.schedule.schedule import Phase
from alpa_mlir.simulate.events import MemoryCurve
from alpa_mlir.simulate.planned import simulate_plan
from alpa_mlir.simulate.timeline import TimedTask, Timeline

_TICKS = 4_000_000  # of a step: starts and lengths are whole numbers of these, which are short
_PLACES = 1000  # of a step, that curves of memory are drawn at


def page(plan: PlanData) -> str:
    """The page as HTML."""
    data = json.dumps(page_data(plan), separators=(",", ":"), allow_nan=False)
    parts = {
        "title": escape(f"Plan of {plan.program_name}"),
        "style": _asset("page.css"),
        # Within a script element, nothing but a "<" could end it.
        "data": data.replace("<", "\\u003c"),
        "script": _asset("page.js"),
    }
    text = _asset("page.html")
    for name, part in parts.items():
        before, _, after = text.partition(f"<!-- {name} -->")
        text = before + part + after
    return text


def page_data(plan: PlanData) -> dict[str, Any]:
    """What the page draws: the summary, and a step as simulated."""
    simulation = simulate_plan(plan)
    data = summary(plan)
    data["timeline"] = _compact(simulation.timeline) if plan.is_pipeline else None
    data["memory"] = [
        {**_thinned(curve, simulation.step_seconds), "arguments": _argument_bytes(plan, number)}
        for number, curve in enumerate(simulation.memory)
    ]
    data["links"] = [asdict(link) for link in simulation.links]
    return data


def _thinned(curve: MemoryCurve, step_seconds: float) -> dict[str, list[int]]:
    """The most that is held at each of so many places of the step; only where it changes."""
    scale = _PLACES / step_seconds if step_seconds else 0.0
    most: dict[int, int] = {}
    ends = (*curve.seconds[1:], step_seconds)
    for start, end, held in zip(curve.seconds, ends, curve.bytes, strict=True):
        for place in {min(int(start * scale), _PLACES - 1), min(int(end * scale), _PLACES - 1)}:
            most[place] = max(held, most.get(place, 0))
    places = sorted(most)
    return {"places": places, "bytes": [most[place] for place in places]}


def _argument_bytes(plan: PlanData, stage: int) -> int:
    """On a device of the stage, of the arguments that it keeps."""
    return sum(each.bytes_per_device for each in plan.arguments if each.stage == stage)


def _compact(timeline: Timeline) -> dict[str, Any]:
    """Four whole numbers for each task: its phase, its microbatch, how many ticks after the end of
    the one before it starts, and how many it takes."""
    tick = timeline.makespan_seconds / _TICKS or 1.0
    return {
        "makespan_seconds": timeline.makespan_seconds,
        "bubble_fraction": timeline.bubble_fraction,
        "tick_seconds": tick,
        "phases": [phase.name.lower() for phase in Phase],
        "meshes": [_ticks(tasks, tick) for tasks in timeline.meshes],
    }


def _ticks(tasks: tuple[TimedTask, ...], tick: float) -> list[int]:
    phases = list(Phase)
    numbers: list[int] = []
    now = 0
    for timed in tasks:
        start, end = (round(t / tick) for t in (timed.start_seconds, timed.end_seconds))
        numbers += [phases.index(timed.task.phase), timed.task.microbatch, start - now, end - start]
        now = end
    return numbers


def _asset(name: str) -> str:
    return (files("alpa_mlir.report") / "assets" / name).read_text(encoding="utf-8")
