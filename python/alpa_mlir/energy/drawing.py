"""Pictures of a frontier: time against energy, and a step coloured by the power its stages draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from math import floor, log10

from alpa_mlir.energy.frequencies import PlannedTask
from alpa_mlir.schedule.schedule import Phase

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1100, 320, 90, 170, 40, 50
_ROW, _TITLE, _AXIS = 24, 34, 26
_MOST_DRAWN = 600  # points of the curve
_NARROWEST_WITH_TEXT = 16
_MARKS = ("first", "second", "third")
# A picture paints its own paper, so that it can be read wherever it is shown.
_STYLE = (
    ".energy{--paper:#fff;--ink:#111;--tick:#555;--axis:#ccc;--curve:#2874a6;--first:#c0392b;"
    "--second:#7d3c98;--third:#1e8449}"
    "@media(prefers-color-scheme:dark){.energy{--paper:#16181d;--ink:#eee;--tick:#aaa;"
    "--axis:#444;--curve:#6cb2e8;--first:#ff8a7a;--second:#cf9ff0;--third:#6fd39a}}"
    ".energy text{font:12px sans-serif;fill:var(--ink)}.energy text.title{font-weight:bold}"
    ".energy text.mid{text-anchor:middle}.energy text.end{text-anchor:end}"
    ".energy text.tick{fill:var(--tick)}.energy .axis{stroke:var(--axis)}"
    ".energy .paper{fill:var(--paper)}.energy .curve{fill:none;stroke:var(--curve);stroke-width:2}"
    ".energy text.onlight{fill:#111}.energy text.ondark{fill:#fff}"
    ".energy .first{fill:var(--first)}.energy .second{fill:var(--second)}"
    ".energy .third{fill:var(--third)}"
)
_PAGE_STYLE = (
    ":root{color-scheme:light dark}body{margin:1rem;background:#fff;color:#111}"
    "@media(prefers-color-scheme:dark){body{background:#16181d;color:#eee}}"
    "pre{white-space:pre-wrap}div{overflow-x:auto}"
)
_COOL, _MIDDLE, _HOT = (58, 96, 170), (245, 240, 225), (190, 40, 40)


@dataclass(frozen=True)
class Drawing:
    """Attributes:
    points: seconds and joules of the frontier, from the slowest on.
    highest: seconds and joules with all clocks at their highest.
    marked: what else to show there, by name.
    timelines: of each the tasks by stage.
    """

    points: tuple[tuple[float, float], ...]
    highest: tuple[float, float]
    marked: Mapping[str, tuple[float, float]]
    timelines: Mapping[str, tuple[tuple[PlannedTask, ...], ...]]
    blocking_watts: tuple[float, ...]


def to_svg(drawing: Drawing) -> str:
    body = list(_frontier(drawing))
    top = _TOP + _HEIGHT + _BOTTOM
    longest = max(map(_end, drawing.timelines.values()), default=0.0)
    scale = _Scale.of(drawing)
    for name, stages in drawing.timelines.items():
        body += _timeline(name, stages, top, longest, scale)
        top += _TITLE + _ROW * len(stages) + _AXIS
    body += _legend(scale, top)
    width = _LEFT + _WIDTH + _RIGHT
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="energy" '
        f'width="{width}" height="{top + 40}">'
        f'<style>{_STYLE}</style><rect width="100%" height="100%" class="paper"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def to_html(drawing: Drawing, text: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Energy of a step</title>'
        f"<style>{_PAGE_STYLE}</style></head><body>\n"
        f"<pre>{escape(text)}</pre>\n<div>{to_svg(drawing)}</div></body></html>\n"
    )


@dataclass(frozen=True)
class _Scale:
    """Power per stage as a colour: blocking power is the coolest."""

    least: float
    most: float

    @staticmethod
    def of(drawing: Drawing) -> _Scale:
        watts = [
            planned.watts
            for stages in drawing.timelines.values()
            for tasks in stages
            for planned in tasks
        ]
        return _Scale(min(drawing.blocking_watts), max([*watts, *drawing.blocking_watts]))

    def color(self, watts: float) -> str:
        red, green, blue = self._mixed(watts)
        return f"#{red:02x}{green:02x}{blue:02x}"

    def label(self, watts: float) -> str:
        """The class of text that can be read on it."""
        red, green, blue = self._mixed(watts)
        return "onlight" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "ondark"

    def _mixed(self, watts: float) -> tuple[int, int, int]:
        span = self.most - self.least
        part = min(max((watts - self.least) / span, 0.0), 1.0) if span > 0 else 0.0
        low, high, along = (
            (_COOL, _MIDDLE, part * 2) if part < 0.5 else (_MIDDLE, _HOT, part * 2 - 1)
        )
        red, green, blue = (round(a + (b - a) * along) for a, b in zip(low, high, strict=True))
        return red, green, blue


def _end(stages: tuple[tuple[PlannedTask, ...], ...]) -> float:
    return max((planned.end_seconds for tasks in stages for planned in tasks), default=0.0)


def _frontier(drawing: Drawing) -> Iterator[str]:
    shown = [*drawing.points, drawing.highest, *drawing.marked.values()]
    x_axis, y_axis = _Axis.around([x for x, _ in shown]), _Axis.around([y for _, y in shown])

    def place(seconds: float, joules: float) -> tuple[float, float]:
        return _LEFT + x_axis.part(seconds) * _WIDTH, _TOP + (1 - y_axis.part(joules)) * _HEIGHT

    yield f'<text x="{_LEFT}" y="22" class="title">energy of a step by its time</text>'
    for tick in x_axis.ticks():
        x, _ = place(tick, 0)
        yield f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + _HEIGHT}" class="axis"/>'
        yield f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 16}" class="tick mid">{tick:.6g} s</text>'
    for tick in y_axis.ticks():
        _, y = place(0, tick)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _WIDTH}" y2="{y:.1f}" class="axis"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" class="tick end">{tick:.6g} J</text>'
    every = max(1, len(drawing.points) // _MOST_DRAWN)
    chosen = [*drawing.points[::every], drawing.points[-1]]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in chosen))
    yield f'<polyline points="{path}" class="curve"/>'
    marks = {"all at the highest clock": drawing.highest, **drawing.marked}
    for mark, (name, point) in zip(_MARKS, marks.items(), strict=False):
        x, y = place(*point)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" class="{mark}"/>'
        yield f'<text x="{x + 9:.1f}" y="{y + 4:.1f}" class="{mark}">{escape(name)}</text>'


@dataclass(frozen=True)
class _Axis:
    least: float
    most: float

    @staticmethod
    def around(values: list[float]) -> _Axis:
        least, most = min(values), max(values)
        margin = (most - least) * 0.05 or max(abs(most), 1e-9) * 0.05
        return _Axis(least - margin, most + margin)

    def part(self, value: float) -> float:
        return (value - self.least) / (self.most - self.least)

    def ticks(self) -> Iterator[float]:
        step = _round_step(self.most - self.least)
        number = floor(self.least / step) + 1
        while number * step <= self.most:
            yield number * step
            number += 1


def _round_step(span: float) -> float:
    """1, 2 or 5 times a power of ten, about eight of them in the span."""
    power = 10.0 ** floor(log10(span / 8))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / 8)


def _timeline(
    name: str,
    stages: tuple[tuple[PlannedTask, ...], ...],
    top: int,
    longest: float,
    scale: _Scale,
) -> Iterator[str]:
    width = _WIDTH / longest if longest else 0.0
    title = f"{name}: {_end(stages):.6g} s; colour is power, labels are MHz"
    yield f'<text x="{_LEFT}" y="{top + 22}" class="title">{escape(title)}</text>'
    top += _TITLE
    for number, tasks in enumerate(stages):
        y = top + number * _ROW
        yield f'<text x="{_LEFT - 6}" y="{y + 16}" class="end">stage {number}</text>'
        yield (
            f'<rect x="{_LEFT}" y="{y + 1}" width="{_end(stages) * width:.1f}" '
            f'height="{_ROW - 2}" fill="{scale.color(scale.least)}"/>'
        )
        yield from (_box(planned, y, width, scale) for planned in tasks)


def _box(planned: PlannedTask, top: int, scale: float, colors: _Scale) -> str:
    left = _LEFT + planned.start_seconds * scale
    width = (planned.end_seconds - planned.start_seconds) * scale
    tip = f"{planned.task}: {planned.megahertz:g} MHz, {planned.watts:.4g} W"
    dash = ' stroke-dasharray="2 2"' if planned.task.phase == Phase.FORWARD else ""
    box = (
        f'<rect x="{left:.1f}" y="{top + 1}" width="{width:.1f}" height="{_ROW - 2}" '
        f'fill="{colors.color(planned.watts)}" stroke="#333"{dash}><title>{tip}</title></rect>'
    )
    label = f"{planned.megahertz:g}"
    if width < _NARROWEST_WITH_TEXT + 7 * len(label) / 2:
        return box
    kind = colors.label(planned.watts)
    x = left + width / 2
    return f'{box}<text class="mid {kind}" x="{x:.1f}" y="{top + 16}">{label}</text>'


def _legend(scale: _Scale, top: int) -> Iterator[str]:
    steps = 40
    for step in range(steps):
        watts = scale.least + (scale.most - scale.least) * step / (steps - 1)
        yield (
            f'<rect x="{_LEFT + 6 * step}" y="{top}" width="6" height="12" '
            f'fill="{scale.color(watts)}"/>'
        )
    x = _LEFT + 6 * steps
    yield f'<text x="{_LEFT}" y="{top + 27}" class="tick">{scale.least:.4g} W, waiting</text>'
    yield f'<text x="{x}" y="{top + 27}" class="tick">{scale.most:.4g} W</text>'
    yield f'<text x="{x + 70}" y="{top + 11}" class="tick">dashed: forward</text>'
