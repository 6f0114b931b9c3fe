"""The report in headless Chromium: it sorts, it enlarges, and no name runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_report_html import HOSTILE, page_with

from rali.report.html import render_page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
# A white picture of one pixel.
PIXEL = "data:image/webp;base64,UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"


@pytest.fixture
def said() -> list[str]:
    """Return what the browser says of a page: errors, dialogs, requests, what the policy stops."""
    return []


@pytest.fixture
def opened(browser: Any, said: list[str], tmp_path: Path) -> Iterator[Any]:
    """Open a page of hostile names from a file; fail if the browser has anything to say."""
    plain = page_with("name")
    tiles = [
        replace(plain.tiles[0], number=number, name=name, value=value, score=f"{value}", taken=taken, preview="")
        for number, name, value, taken in (
            (1, "b10.jpg", 3.0, "2026-01-02 00:00:00"),
            (2, "b9.jpg", 1.0, ""),
            (3, HOSTILE[0], 2.0, "2026-01-01 00:00:00"),
        )
    ]
    # A preview other than the small picture, so that the test can tell them apart.
    tiles[0] = replace(tiles[0], small=PIXEL, preview=PIXEL + "#large")
    report = replace(plain, tiles=tiles, worst=[tiles[1]], best=[tiles[2]], groups=[])
    report = replace(report, title="".join(HOSTILE), place="".join(HOSTILE))
    (tmp_path / "report.html").write_text(render_page(report), encoding="utf-8")
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    page.goto((tmp_path / "report.html").as_uri())
    yield page
    page.close()
    assert said == []


def names(page: Any) -> list[str]:
    return list(page.locator("#all .name bdi").all_text_contents())


def test_it_sorts_by_score_name_and_time(opened: Any) -> None:
    evil = HOSTILE[0]
    for order, expected in (
        ("score 1", ["b9.jpg", evil, "b10.jpg"]),
        ("score -1", ["b10.jpg", evil, "b9.jpg"]),
        ("name 1", [evil, "b9.jpg", "b10.jpg"]),
        ("taken 1", [evil, "b10.jpg", "b9.jpg"]),
        ("taken -1", ["b10.jpg", evil, "b9.jpg"]),
    ):
        opened.get_by_label("Sort by").select_option(order)
        assert names(opened) == expected


def test_it_enlarges_goes_on_with_arrow_keys_and_gives_the_focus_back(opened: Any) -> None:
    opened.get_by_label("Sort by").select_option("score -1")
    opened.locator("#all .picture").first.press("Enter")
    dialog = opened.locator("dialog")

    assert dialog.is_visible()
    assert opened.locator("#zoom-picture").get_attribute("src") == PIXEL + "#large"
    assert opened.locator("#zoom-name").text_content() == "b10.jpg"
    opened.keyboard.press("ArrowRight")
    assert opened.locator("#zoom-name").text_content() == HOSTILE[0]
    opened.keyboard.press("ArrowRight")
    opened.keyboard.press("ArrowRight")  # there is no other
    assert opened.locator("#zoom-name").text_content() == "b9.jpg"
    opened.keyboard.press("Escape")
    assert not dialog.is_visible()
    focused = opened.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused == "Enlarge b9.jpg"


def test_no_script_but_its_own_can_run(opened: Any, said: list[str]) -> None:
    opened.evaluate("document.title = 'as it was'")
    # What a name would have to become to do harm; the policy stops even that.
    blocked = opened.evaluate(
        """() => new Promise((done) => {
            document.addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));
            const script = document.createElement('script');
            script.textContent = "document.title = 'ran'";
            document.body.append(script);
            setTimeout(() => done('nothing was blocked'), 2000);
        })"""
    )

    assert blocked.startswith("script-src")
    assert opened.title() == "as it was"
    assert all("Content Security Policy" in line for line in said)
    said.clear()
