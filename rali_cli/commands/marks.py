"""``rali keep``, ``rali reject`` and ``rali unmark``: decisions by hand, which outrank every score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.config import load_settings
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rali.catalog.records import Mark

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos that were scored.", show_default=False)]

_SHOWN = 20


def keep(photos: Photos, db: options.Db = None, as_json: options.AsJson = False) -> None:
    """Mark photos keep: no cull takes them, whatever their scores, until rali unmark or rali reject."""
    _mark(photos, "keep", "Marked keep", "No cull takes them; take it back with: rali unmark", db, as_json)


def reject(photos: Photos, db: options.Db = None, as_json: options.AsJson = False) -> None:
    """Mark photos reject: every cull of their folder takes them, whatever their scores and stars."""
    _mark(
        photos, "reject", "Marked reject", "The next rali cull takes them; take it back with: rali unmark", db, as_json
    )


def unmark(photos: Photos, db: options.Db = None, as_json: options.AsJson = False) -> None:
    """Take back what rali keep or rali reject said of photos."""
    _mark(photos, None, "No longer marked", "", db, as_json)


def _mark(photos: list[Path], mark: Mark | None, words: str, hint: str, db: Path | None, as_json: bool) -> None:
    from rali.culling.marks import mark_photos
    from rali_cli import render

    with open_catalog(load_settings({"db": db}).db) as catalog:
        before = catalog.marked(mark) if mark is not None else set()
        result = mark_photos(catalog, photos, mark)
        copies = sorted(catalog.marked(mark) - before - set(result.marked)) if mark is not None else []
    if as_json:
        refused = [{"path": refusal.path, "reason": refusal.reason} for refusal in result.refused]
        render.print_json({"mark": mark, "marked": list(result.marked), "copies": copies, "refused": refused})
    elif result.marked:
        out = render.console()
        out.print(f"{words}: {render.counted(len(result.marked), 'photo')}")
        for path in result.marked[:_SHOWN]:
            out.print(f"  {render.short_path(path)}", soft_wrap=True)
        if len(result.marked) > _SHOWN:
            out.print(f"  ... and {len(result.marked) - _SHOWN:,} more")
        if copies:
            out.print(f"Marked with it, for it is the same content: {render.counted(len(copies), 'photo')}")
            for path in copies[:_SHOWN]:
                out.print(f"  {render.short_path(path)}", soft_wrap=True)
        if hint:
            out.print(hint)
    for refusal in result.refused:
        render.notice(f"Not marked: {refusal.reason}")
    if result.refused:
        raise typer.Exit(ExitCode.SOME_FAILED)
