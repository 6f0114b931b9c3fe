"""The report as HTML: whatever a photo is called, it is text."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import ReadPage

from rali.report.html import START, render_page
from rali.report.page import Bar, FailureRow, GroupRow, Page, Tile

HOSTILE = [
    '"><script>alert(1)</script>',
    "'; drop table photos; --",
    "</script><img src=x onerror=alert(1)>",
    "</bdi></li></ul><!--",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "a\nb\tc",
    "\u202egpj.exe",
    "&lt;b&gt;&amp;",
    "]]><svg onload=alert(1)>",
]
URI = "data:image/webp;base64,UklGRg=="


def page_with(text: str) -> Page:
    """Make a page with ``text`` in every place where a stranger's text can stand."""
    tile = Tile(1, text, text, text, "10.0", 10.0, 0, "50", text, text, URI, URI, text)
    other = replace(tile, number=2, small="", preview="")
    third = replace(tile, number=3)
    return Page(
        title=text,
        place=text,
        summary=["3 scored photos"],
        bars=[Bar("0 to 50", "0", "3", 1.0), Bar("50 to 100", "50", "0", 0.0)],
        high="100",
        spread=[("median", "10.0")],
        tiles=[tile, other, third],
        worst=[tile],
        best=[other],
        groups=[GroupRow(text, text, [tile, other], 1, 4)],
        more_groups=2,
        failures=[FailureRow(text, text, text, text)],
        more_failures=1,
        made_by=[(text, text)],
    )


PLAIN = ReadPage(render_page(page_with("name")))


def check(text: str) -> None:
    html = render_page(page_with(text))
    read = ReadPage(html)

    assert [tag for tag, _ in read.elements] == [tag for tag, _ in PLAIN.elements]
    assert [sorted(attributes) for _, attributes in read.elements] == [sorted(a) for _, a in PLAIN.elements]
    assert read.unclosed == []
    assert set(read.names) <= {text, ""}
    assert read.scripts == PLAIN.scripts
    assert read.styles == PLAIN.styles


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_text_wherever_it_stands(text: str) -> None:
    check(text)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\0"), min_size=1, max_size=60))
def test_any_text_is_text_wherever_it_stands(text: str) -> None:
    check(text)


def test_the_policy_names_the_one_style_and_the_one_script() -> None:
    (policy,) = [a["content"] for a in PLAIN.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    data, script = PLAIN.scripts
    (style,) = PLAIN.styles

    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for text, directive in ((style, "style-src"), (script, "script-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert [a.get("type") for a in PLAIN.all("script")] == ["application/json", None]
    assert json.loads(data) == {"3": URI}  # the picture of the worst is in the page as it is


def test_nothing_is_fetched_and_nothing_runs_from_an_attribute() -> None:
    html = render_page(page_with("name"))

    assert html.startswith(START)
    assert not re.search(r"https?:|//[a-z]", re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL))
    assert "http" not in PLAIN.scripts[1]
    for _, attributes in PLAIN.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("data:image/webp;", "#"))


def test_what_it_shows_can_be_reached_without_eyes_and_without_a_mouse() -> None:
    ids = {attributes.get("id") for _, attributes in PLAIN.elements}

    assert PLAIN.all("html")[0]["lang"] == "en"
    assert all(link["href"][1:] in ids for link in PLAIN.all("a") if link["href"])
    assert [label["for"] for label in PLAIN.all("label")] == ["order"]
    assert all("alt" in image for image in PLAIN.all("img"))
    assert all(section["aria-labelledby"] in ids for section in PLAIN.all("section"))
    assert all(button.get("aria-label") or button.get("id") for button in PLAIN.all("button"))
    assert len(PLAIN.all("table")) == 2  # the histogram's numbers, and the failures
