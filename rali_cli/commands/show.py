"""``rali show``: all that is known about one photo."""

from __future__ import annotations

import glob
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from rali_cli import options
from rali_cli.answering import answering, explained
from rali_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Scoring
    from rali.listing import Shown
    from rali.photos.stars import Stars


def show(
    photo: Annotated[Path, typer.Argument(help="A photo that was scored.", show_default=False)],
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Show a photo's score, its place in its folder and in the catalog, what is known about it, and the photo.

    The picture itself is printed on terminals alone, and not where NO_COLOR is set.
    """
    from rali.catalog.records import Mark
    from rali.config import load_settings
    from rali.listing import show_photo
    from rali.starred import stars_of_each
    from rali.thumbnails.making import requests_for
    from rali_cli import picture, render

    with answering(db, model, recipe) as (catalog, scoring):
        shown = show_photo(catalog, scoring, photo)
        (in_catalog,) = explained(catalog, scoring, [shown.in_catalog], model=model)
        shown = replace(shown, in_catalog=in_catalog)
        path = os.fspath(shown.in_catalog.record.path)
        mark = next((mark for mark in get_args(Mark) if path in catalog.marked(mark)), None)
        culled = _find_culled(catalog, path) if not os.path.lexists(path) else None
        ((_, stars),) = stars_of_each(catalog, [shown.in_catalog.record.photo_id])
        (request,) = requests_for(catalog, [path if culled is None else culled[1]])
    if as_json:
        document = render.photo_json(shown.in_catalog, shown.status) | {
            "percentile_in_folder": shown.folder_percentile,
            "past_scores": [{"replaced_at": when, "score": score} for when, score in shown.past_scores],
            "mark": mark,
            "stars": stars.stars,
            "label": stars.label or None,
            "culled": None if culled is None else {"run": culled[0], "path": culled[1]},
        }
        render.print_json({"model": render.model_json(scoring), "photos": [document], "summary": {"photos": 1}})
    else:
        out = render.console()
        for name, value in _lines(shown, scoring, mark, stars, culled):
            out.print(f"{name:<11} {value}", soft_wrap=True)
        if picture.shows_pictures(out) and os.path.isfile(request.file):
            picture.print_picture(out, request, load_settings({"db": db}))
    if shown.status == "failed":
        raise typer.Exit(ExitCode.SOME_FAILED)


def _find_culled(catalog: Catalog, path: str) -> tuple[str, str] | None:
    """Return the run that has a photo in its quarantine, and the photo's path there."""
    from rali.catalog.journal import Journal

    return Journal(catalog).away([path]).get(path)


def _lines(
    shown: Shown, scoring: Scoring, mark: str | None, stars: Stars, culled: tuple[str, str] | None
) -> list[tuple[str, Any]]:
    from rali.photos.photo import display_path, shell_word

    record = shown.in_catalog.record
    lines: list[tuple[str, Any]] = [("photo", display_path(record.path))]
    if culled is not None:
        run, destination = culled
        name = shell_word(glob.escape(record.path.name))
        lines += [("culled", f"{display_path(destination)}; back with: rali undo {shell_word(run)} --only {name}")]
    elif not os.path.lexists(record.path):
        lines += [("note", "not there now; if it is gone for good: rali forget")]
    if record.failure_kind is not None:
        lines += [("failed", f"{record.failure_kind}: {record.failure_message}")]
    elif record.score is not None:
        scale = f"{scoring.score_low:g} to {scoring.score_high:g}, higher is better"
        lines += [("score", f"{scoring.text(record.score)} ({scale})")]
        if shown.folder_percentile is not None and shown.in_catalog.percentile is not None:
            lines += [
                ("percentile", f"{shown.folder_percentile:.1f} in its folder, {shown.in_catalog.percentile:.1f} in all")
            ]
        if (why := shown.in_catalog.why) is not None:
            lines += [("why", f"{why.text} (margin {why.margin:.2f})")]
    else:
        lines += [("score", "none by this model and recipe yet: rali score")]
    if mark is not None:
        lines += [("mark", f"{mark}, by hand; take it back with: rali unmark")]
    if stars.stars or stars.label:
        rating = "rejected" if stars.stars < 0 else str(stars.stars or "none")
        lines += [("stars", rating + (f", label {display_path(stars.label)}" if stars.label else ""))]
    lines += [("model", f"{scoring.model_name} ({scoring.model_id})"), ("recipe", scoring.recipe)]
    if record.width and record.height:
        lines += [("size", f"{record.width} x {record.height} {record.format}, {record.size_bytes:,} bytes")]
    if record.captured_at:
        lines += [("taken", record.captured_at.replace("T", " "))]
    if record.camera:
        lines += [("camera", display_path(record.camera))]
    if record.companions:
        lines += [("companions", ", ".join(map(display_path, record.companions)))]
    if record.notes:
        lines += [("note", record.notes)]
    for when, score in shown.past_scores:
        lines += [("earlier", f"{scoring.text(score)}, until {when[:10]}")]
    return lines
