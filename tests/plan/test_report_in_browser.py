"""The report in a browser: no script error, no request, the plan's figures, keyboard, dark mode."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import alpa_mlir as alpa
import pytest
from alpa_mlir.plan.data import Alternative
from alpa_mlir.report.breakdown import breakdown
from alpa_mlir.report.known_error import known_error
from alpa_mlir.units import format_bytes, format_seconds
from oracles.browser import Browser, Page, needs_chromium
from programs.hand_made_plans import hand_made_plan, whole_plan

pytestmark = [needs_chromium, pytest.mark.xdist_group("chromium")]

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"


def opened(browser: Browser, plan: alpa.Plan, folder: Path) -> Page:
    plan.report(folder / "report.html")
    page = browser.open(folder / "report.html")
    assert page.evaluate("document.documentElement.dataset.drawn") == "true"
    return page


def is_quiet(page: Page) -> bool:
    """Whether all was well, and nothing but the page itself was asked for."""
    return not page.errors and all(url.startswith("file://") for url in page.requests)


def focus(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector('{selector}').focus()")


def rows(page: Page, section: str) -> list[str]:
    return page.texts(f"#{section} .scroll > table > tbody > tr")


def test_page_has_the_figures_of_the_plan(browser: Browser, tmp_path: Path) -> None:
    plan = hand_made_plan()
    page = opened(browser, plan, tmp_path)
    figures = dict(zip(page.texts("#figures dt"), page.texts("#figures dd"), strict=True))
    assert figures["A step"].startswith(format_seconds(plan.step_seconds))
    assert figures["Memory"].startswith(format_bytes(plan.memory_bytes))
    assert figures["Devices"].startswith("8")
    assert figures["Pipeline"].startswith("2 x 4")
    legend = page.texts("#time .legend li")
    assert legend == [
        f"{name} {format_seconds(seconds)} {seconds / plan.step_seconds:.1%}"
        for name, seconds in breakdown(plan).mean.items()
    ]
    for stage, row in zip(plan.stages, rows(page, "stages"), strict=True):
        assert format_seconds(stage.forward_seconds) in row
        assert format_bytes(stage.memory_bytes) in row
    assert len(page.texts("#cluster i")) == 8
    assert page.texts("#memory figcaption")[0] == "stage 0" + "42 GB (52.5%)"
    assert len(rows(page, "transfers")) == len(plan.transfers)
    links = rows(page, "links")
    for link, row in zip(plan.simulate().links, links, strict=True):
        assert row.startswith(link.name)
        assert row.endswith(f"{link.busy_seconds / plan.step_seconds:.1%}")
    assert f"{known_error().seconds.mean:.1%}" in page.text("#trust")
    assert is_quiet(page), page.errors


def test_one_program_has_no_timeline(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, whole_plan(), tmp_path)
    assert page.evaluate("document.querySelector('#timeline, #transfers')") is None
    assert page.texts("#memory figcaption span")[0] == "every device"
    assert is_quiet(page), page.errors


@pytest.mark.slow
def test_large_plan_is_usable(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, hand_made_plan(128, 16, 96, 256), tmp_path)
    assert len(page.texts("#cluster i")) == 1024
    assert len(rows(page, "layers")) == 98
    assert page.evaluate("performance.now()") < 20_000  # on a busy machine; a second on a free one
    painted = "performance.mark('a'), document.querySelector('canvas').dispatchEvent("
    key = "new KeyboardEvent('keydown', {key: '+'})), performance.measure('b', 'a').duration"
    assert page.evaluate(painted + key) < 2_000
    assert is_quiet(page), page.errors


def test_alternatives_are_shown_where_there_are(browser: Browser, tmp_path: Path) -> None:
    plan = whole_plan()
    page = opened(browser, plan, tmp_path)
    assert page.evaluate("document.querySelector('#alternatives')") is None
    near = Alternative("2 stages", 1.5 * plan.step_seconds)
    page = opened(browser, plan.beside(Alternative("far", 9.0), near), tmp_path)
    first, last = rows(page, "alternatives")
    assert first.startswith("2 stages")
    assert first.endswith("50.0%")
    assert last.startswith("far")
    assert is_quiet(page), page.errors


def test_names_are_text(browser: Browser, tmp_path: Path) -> None:
    plan = hand_made_plan(name=HOSTILE)
    tensor = replace(plan.arguments[0], name=f"state.params.{HOSTILE}", reason=HOSTILE)
    plan = replace(
        plan,
        arguments=(tensor, *plan.arguments[1:]),
        remarks=(HOSTILE,),
        cluster=replace(plan.cluster, name=HOSTILE),
    )
    page = opened(browser, plan, tmp_path)
    assert page.text("h1") == HOSTILE
    assert page.text("#remarks li") == HOSTILE
    assert page.evaluate("document.title") == f"Plan of {HOSTILE}"
    page.evaluate("document.querySelectorAll('#layers td button').forEach((e) => e.click())")
    assert any(HOSTILE in text for text in page.texts("#layers .below td"))
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    assert is_quiet(page), page.errors


def test_filter_narrows_and_escape_clears_it(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, hand_made_plan(), tmp_path)
    everything = rows(page, "layers")
    focus(page, "#layers input")
    page.type("layers[2")
    assert [row[:9] for row in rows(page, "layers")] == ["layers[2]"]
    assert page.text("#layers output") == f"1 of {len(everything)} parts"
    page.press("Escape")
    assert page.evaluate("document.querySelector('#layers input').value") == ""
    assert rows(page, "layers") == everything


def test_enter_shows_the_tensors_of_a_part_and_hides_them(browser: Browser, tmp_path: Path) -> None:
    plan = hand_made_plan()
    page = opened(browser, plan, tmp_path)
    focus(page, "#layers td button")
    page.press("Enter")
    cells = page.texts("#layers .below tbody td")
    assert cells[:3] == ["batch['tokens']", "float32[512,1024]", "[y, -]"]
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.press("Enter")
    assert page.texts("#layers .below") == []


def test_enter_sorts_and_sorts_back(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, hand_made_plan(2, 2, 4), tmp_path)
    focus(page, "#stages th button")
    page.press("Enter")
    assert page.evaluate("document.querySelector('#stages th').getAttribute('aria-sort')")
    descending = [row[0] for row in rows(page, "stages")]
    page.press("Enter")
    assert [row[0] for row in rows(page, "stages")] == descending[::-1] == ["0", "1"]


def test_tab_goes_through_the_page_in_order(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, hand_made_plan(), tmp_path)
    focus(page, "#stages input")
    seen: list[str] = []
    for _ in range(16):
        page.press("Tab")
        seen.append(page.evaluate("document.activeElement.tagName"))
    assert seen[0] == "BUTTON"
    assert "CANVAS" in seen


def test_timeline_zooms_by_keys(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, hand_made_plan(), tmp_path)
    pixels = "document.querySelector('canvas').toDataURL()"
    focus(page, "canvas")
    whole = page.evaluate(pixels)
    for key in ("+", "ArrowRight"):
        before = page.evaluate(pixels)
        page.press(key)
        assert page.evaluate(pixels) != before
    page.press("0")
    assert page.evaluate(pixels) == whole


def test_dark_mode_is_dark_and_readable(browser: Browser, tmp_path: Path) -> None:
    page = opened(browser, hand_made_plan(), tmp_path)

    def lightness(what: str) -> float:
        color = page.evaluate(f"getComputedStyle(document.body).{what}")
        red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
        return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255

    pictures: list[str] = []
    for is_dark in (False, True, False):
        page.set_dark(is_dark)
        paper, ink = lightness("backgroundColor"), lightness("color")
        assert (paper < 0.2 and ink > 0.8) if is_dark else (paper > 0.9 and ink < 0.2)
        if pictures:  # what is drawn follows a moment later
            page.wait_for(f"document.querySelector('canvas').toDataURL() !== '{pictures[-1]}'")
        pictures.append(page.evaluate("document.querySelector('canvas').toDataURL()"))
    assert page.screenshot().startswith(b"\x89PNG")
    assert is_quiet(page), page.errors
