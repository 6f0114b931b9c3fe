"""The page as HTML: one file that fetches nothing and runs nothing but the script that rali put into it."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rali.report.page import Page

# How every report begins: another file of the user's is never written over.
START = "<!doctype html>\n<!-- rali report 1 -->\n"


def render_page(page: Page) -> str:
    """Render the page: ASCII-safe names only, see :mod:`rali.report.page`, and all of them escaped as text.

    Its content security policy names the hashes of its one style and its one script: a name that were to become
    markup could load nothing, and run nothing.
    """
    style, script = palette() + _part("report.css"), _part("report.js")
    in_ends = {tile.number for tile in [*page.worst, *page.best]}
    body = _environment().get_template("report.html").render(
        page=page,
        style=Markup(style),  # noqa: S704 (our own file, as is the next)
        script=Markup(script),  # noqa: S704
        policy="; ".join([
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]),
        previews={tile.number: tile.preview for tile in page.tiles if tile.preview and tile.number not in in_ends},
    )  # fmt: skip
    return START + body


def palette() -> str:
    """Return the colours of rali's pages as CSS variables, light and dark."""
    return _part("palette.css")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("rali.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@lru_cache(maxsize=3)
def _part(name: str) -> str:
    return (resources.files("rali.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Name a style or a script as a content security policy does."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
