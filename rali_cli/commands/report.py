"""``rali report``: what was scored, as one HTML file to look through, send or print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rali_cli import options
from rali_cli.answering import answering
from rali_cli.commands.bursts import groups_in
from rali_cli.exit_codes import ExitCode
from rali_cli.progress import picture_bar, stop_on_signal


def report(
    paths: options.SomePaths = None,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where to.")] = Path("report.html"),
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=10_000, help="At most so many photos.")] = 500,
    include: options.Include = None,
    exclude: options.Exclude = None,
    since: options.Since = None,
    until: options.Until = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is no report; never one that is a photo.")
    ] = False,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
) -> None:
    """Write one HTML page: histogram, worst, best, groups, all photos, failures.

    The page needs no network and no other file. Up to 500 photos it stays below 3 MB.
    """
    from rali.config import load_settings
    from rali.listing import rank_photos, scope_of
    from rali.photos.photo import display_path
    from rali.report.choice import as_group
    from rali.report.file import check_target, save_report
    from rali.report.report import make_report
    from rali.thumbnails.cache import ThumbnailCache
    from rali_cli import render

    check_target(output, force=force)  # rather now than after a minute of pictures
    settings = load_settings({"db": db, "model": model, "recipe": recipe})
    with answering(db, model, recipe) as (catalog, scoring), stop_on_signal() as stop:
        scope = scope_of(paths or (), include=include or (), exclude=exclude or (), since=since, until=until)
        ranking = rank_photos(catalog, scoring, scope)
        cache = ThumbnailCache(settings.cache / "thumbnails", cap_bytes=settings.thumbnails_mb * 1_000_000)
        with cache, picture_bar() as on_picture:
            groups = map(as_group, groups_in(catalog, scoring, scope))
            made = make_report(ranking, settings, cache, groups=groups, count=count, on_picture=on_picture, stop=stop)
        if stop():
            render.notice("Interrupted: no report was written. The thumbnails so far are kept.")
            raise typer.Exit(ExitCode.INTERRUPTED)
    save_report(made.html, output, force=force)
    for line in made.notices:
        render.notice(line)
    if cache.trouble is not None:
        render.notice(f"No thumbnails are kept in {display_path(cache.folder)} ({cache.trouble}); set RALI_CACHE")
    if made.without_picture:
        render.notice(f"{render.counted(made.without_picture, 'photo')} could not be pictured; the page says why.")
    size = render.format_size(len(made.html.encode()))
    of = "" if made.photos == len(ranking.ids) else f" of {len(ranking.ids):,}"
    failed = f", {len(ranking.failed):,} not scored" if ranking.failed else ""
    print(f"Wrote {display_path(output)}: {made.photos:,}{of} scored photos{failed}, {size}")
