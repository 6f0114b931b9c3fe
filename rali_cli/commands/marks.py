"""``rali keep``, ``rali reject`` and ``rali unmark``: decisions by hand, which outrank every score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.config import Settings, given_settings, load_settings
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Mark

Photos = Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos that were scored.", show_default=False)]
Group = Annotated[bool, typer.Option("--group", help="With all photos of the groups that they are in: rali bursts.")]

_SHOWN = 20


def keep(photos: Photos, group: Group = False, db: options.Db = None, as_json: options.AsJson = False) -> None:
    """Mark photos keep: no cull takes them, whatever their scores, until rali unmark or rali reject."""
    taken_back_by = "rali unmark --group" if group else "rali unmark"
    hint = f"No cull takes them; take it back with: {taken_back_by}"
    _mark(photos, "keep", "Marked keep", hint, db, as_json, group=group)


def reject(photos: Photos, db: options.Db = None, as_json: options.AsJson = False) -> None:
    """Mark photos reject: every cull of their folder takes them, whatever their scores and stars."""
    _mark(
        photos, "reject", "Marked reject", "The next rali cull takes them; take it back with: rali unmark", db, as_json
    )


def unmark(photos: Photos, group: Group = False, db: options.Db = None, as_json: options.AsJson = False) -> None:
    """Take back what rali keep or rali reject said of photos."""
    _mark(photos, None, "No longer marked", "", db, as_json, group=group)


def _mark(
    photos: list[Path],
    mark: Mark | None,
    words: str,
    hint: str,
    db: Path | None,
    as_json: bool,
    *,
    group: bool = False,
) -> None:
    from rali.culling.marks import mark_photos
    from rali_cli import render

    with open_catalog(load_settings({"db": db}).db) as catalog:
        before = catalog.marked(mark) if mark is not None else set()
        result = mark_photos(catalog, _with_groups(catalog, photos) if group else photos, mark)
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


def _with_groups(catalog: Catalog, photos: list[Path]) -> list[str]:
    """Return the photos with all others of the groups that they are in."""
    from rali.catalog.records import Scope
    from rali.grouping.decisions import whole_groups
    from rali.listing import choose_scoring
    from rali_cli.commands.bursts import groups_in

    given = given_settings()
    scoring = choose_scoring(catalog, Settings(**given), insist_on=given.keys())
    return whole_groups(catalog, groups_in(catalog, scoring, Scope()), photos)
