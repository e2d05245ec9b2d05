"""The page of a frontier in a browser: its figures, no script, no request, readable in the dark."""

from __future__ import annotations

import re
from pathlib import Path

import alpa_mlir as alpa
import pytest
from alpa_mlir.energy.problem import EnergyStep
from alpa_mlir.energy.profile import ProfiledChoice
from oracles.browser import Browser, Page, needs_chromium

pytestmark = [needs_chromium, pytest.mark.xdist_group("chromium")]

HOSTILE = "</pre><script>document.title='taken'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def frontier() -> alpa.EnergyFrontier:
    choices = [
        ProfiledChoice(stage, instruction, clock, time * (1 + stage), energy * (1 + stage))
        for stage in (0, 1)
        for instruction in ("forward", "backward")
        for clock, time, energy in ((1000.0, 0.1, 30.0), (800.0, 0.12, 26.0), (600.0, 0.15, 24.0))
    ]
    profile = alpa.EnergyProfile(tuple(choices), (10.0, 10.0), HOSTILE)
    return alpa.EnergyFrontier.of(EnergyStep(profile, "1f1b", 2, 4))


@pytest.fixture
def page(browser: Browser, frontier: alpa.EnergyFrontier, tmp_path: Path) -> Page:
    frontier.plot(tmp_path / "frontier.html")
    return browser.open(tmp_path / "frontier.html")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_page_has_the_figures_of_the_frontier(page: Page, frontier: alpa.EnergyFrontier) -> None:
    assert page.text("pre") == frontier.explain()
    assert HOSTILE in page.text("pre")
    plan = frontier.fastest.plan()
    tips = dict.fromkeys(page.texts("svg rect title"))
    for planned in (each for tasks in plan.stages for each in tasks):
        assert f"{planned.task}: {planned.megahertz:g} MHz, {planned.watts:.4g} W" in tips
    assert len(page.texts("svg rect title")) == 2 * 2 * 2 * 4  # before and after, by stage
    labels = page.texts("svg text.mid:not(.tick)")
    assert {float(label) for label in labels} <= {1000.0, 800.0, 600.0}
    titles = page.texts("svg text.title")
    assert titles[0] == "energy of a step by its time"
    assert numbers(titles[1])[0] == pytest.approx(frontier._highest[0], rel=1e-5)
    assert numbers(titles[2])[0] == pytest.approx(plan.seconds, rel=1e-5)
    assert page.evaluate("document.title") == "Energy of a step"
    assert page.evaluate("document.querySelectorAll('script, img').length") == 0
    assert not page.errors
    assert [url.partition(":")[0] for url in page.requests] == ["file"]


def test_curve_is_drawn_to_the_scale_of_its_axes(page: Page, frontier: alpa.EnergyFrontier) -> None:
    """The ends of the curve, read off by two ticks of each axis."""
    points = numbers(page.evaluate("document.querySelector('.curve').getAttribute('points')"))
    ticks = page.evaluate(
        "[...document.querySelectorAll('text.tick')].map(t => "
        "[t.textContent, +t.getAttribute('x'), +t.getAttribute('y')])"
    )
    seconds = [(numbers(text)[0], x) for text, x, _ in ticks if text.endswith(" s")]
    joules = [(numbers(text)[0], y - 4) for text, _, y in ticks if text.endswith(" J")]
    for (x, y), point in (
        (points[:2], frontier.points[0]),
        (points[-2:], frontier.fastest),
    ):
        assert read_off(x, seconds) == pytest.approx(point.seconds, rel=2e-3)
        assert read_off(y, joules) == pytest.approx(point.joules, rel=2e-3)


def read_off(place: float, ticks: list[tuple[float, float]]) -> float:
    (low, at_low), (high, at_high) = ticks[0], ticks[-1]
    return low + (high - low) * (place - at_low) / (at_high - at_low)


def test_page_is_readable_in_the_dark(page: Page) -> None:
    def lightness(selector: str, what: str) -> float:
        color = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{what}")
        red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255

    for is_dark in (False, True):
        page.set_dark(is_dark)
        for paper, ink in (
            (lightness("body", "backgroundColor"), lightness("pre", "color")),
            (lightness(".paper", "fill"), lightness("text.title", "fill")),
        ):
            assert (paper < 0.2 and ink > 0.8) if is_dark else (paper > 0.9 and ink < 0.2)
        assert abs(lightness(".paper", "fill") - lightness("text.second", "fill")) > 0.4
        assert abs(lightness(".paper", "fill") - lightness(".curve", "stroke")) > 0.4
    assert lightness("text.ondark", "fill") > 0.9
    assert page.screenshot().startswith(b"\x89PNG")
