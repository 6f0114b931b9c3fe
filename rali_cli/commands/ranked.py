"""``rali worst``, ``rali best`` and ``rali list``: ranked photos from the catalog; no model, no decoding."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali_cli import options
from rali_cli.answering import answering, explained
from rali_cli.commands.bursts import groups_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rali.listing import RankedPhoto, Wanted
    from rali.photos.stars import StarsWanted

Count = Annotated[int, typer.Option("-n", "--count", min=1, help="How many photos.")]


def worst(
    paths: options.SomePaths = None,
    count: Count = 10,
    stars: options.Stars = None,
    label: options.Label = None,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    as_paths: options.AsPaths = False,
) -> None:
    """Show the photos with the lowest scores."""
    from rali.listing import Wanted

    wanted = Wanted("worst", count, starred=_starred(stars, label))
    _show_ranked("Worst", paths, wanted, model, recipe, db, as_json, as_csv, as_paths)


def best(
    paths: options.SomePaths = None,
    count: Count = 10,
    one_per_burst: Annotated[
        bool, typer.Option("--one-per-burst", help="Of each group that rali bursts shows, only the best.")
    ] = False,
    stars: options.Stars = None,
    label: options.Label = None,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    as_paths: options.AsPaths = False,
) -> None:
    """Show the photos with the highest scores."""
    from rali.listing import Wanted

    wanted = Wanted("best", count, starred=_starred(stars, label))
    _show_ranked("Best", paths, wanted, model, recipe, db, as_json, as_csv, as_paths, one_per_burst=one_per_burst)


def list_command(
    paths: options.SomePaths = None,
    below: Annotated[float | None, typer.Option("--below", help="Scores below this.")] = None,
    above: Annotated[float | None, typer.Option("--above", help="Scores above this.")] = None,
    below_percentile: Annotated[
        float | None, typer.Option("--below-percentile", min=0, max=100, help="Percentiles below this.")
    ] = None,
    above_percentile: Annotated[
        float | None, typer.Option("--above-percentile", min=0, max=100, help="Percentiles above this.")
    ] = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    since: options.Since = None,
    until: options.Until = None,
    stars: options.Stars = None,
    label: options.Label = None,
    failed: Annotated[bool, typer.Option("--failed", help="Photos without a score, with the reason, instead.")] = False,
    best_first: Annotated[bool, typer.Option("--best-first", help="Best first; worst first otherwise.")] = False,
    count: Annotated[int | None, typer.Option("-n", "--count", min=1, help="At most so many.")] = None,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
    as_paths: options.AsPaths = False,
) -> None:
    """List scored photos, filtered by score, percentile, path, time, stars and label."""
    from rali.errors import UsageError
    from rali.listing import Wanted

    if failed and (below, above, below_percentile, above_percentile) != (None,) * 4:
        raise UsageError("--failed lists photos without a score: leave out the bounds, or --failed")
    wanted = Wanted(
        "best" if best_first else "worst",
        count,
        below=below,
        above=above,
        below_percentile=below_percentile,
        above_percentile=above_percentile,
        starred=_starred(stars, label),
    )
    _show_ranked(
        "Photos",
        paths,
        wanted,
        model,
        recipe,
        db,
        as_json,
        as_csv,
        as_paths,
        include=include or [],
        exclude=exclude or [],
        since=since,
        until=until,
        failed=failed,
    )


def _starred(stars: str | None, label: str | None) -> StarsWanted | None:
    """Make one question of two options; None if neither was given."""
    from rali.photos.stars import StarsWanted, parse_stars

    if stars is None and label is None:
        return None
    return StarsWanted(*parse_stars(stars), label) if stars is not None else StarsWanted(label=label)


def _show_ranked(
    title: str,
    paths: list[Path] | None,
    wanted: Wanted,
    model: str | None,
    recipe: str | None,
    db: Path | None,
    as_json: bool,
    as_csv: bool,
    as_paths: bool,
    *,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    failed: bool = False,
    one_per_burst: bool = False,
) -> None:
    from rali.grouping.bursts import lesser_photos
    from rali.listing import rank_photos, scope_of
    from rali_cli import render

    output = render.choose_output(as_json=as_json, as_csv=as_csv, as_paths=as_paths)
    with answering(db, model, recipe) as (catalog, scoring):
        scope = scope_of(paths or (), include=include or (), exclude=exclude or (), since=since, until=until)
        ranking = rank_photos(catalog, scoring, scope)
        lesser = lesser_photos(groups_in(catalog, scoring, scope)) if one_per_burst else set()
        photos: Iterable[RankedPhoto] = (
            ranking.failures(wanted.limit, starred=wanted.starred) if failed else ranking.each(wanted, without=lesser)
        )
        status = "failed" if failed else "cached"
        if not failed and output is not render.Output.PATHS:
            photos = explained(catalog, scoring, photos, model=model)
        if output is render.Output.PATHS:
            render.print_paths(photos)
        elif output is render.Output.CSV:
            render.print_csv((render.photo_json(photo, status) for photo in photos), scoring)
        elif output is render.Output.JSON:
            summary = {"photos": ranking.scored, "failed": len(ranking.failed), "unscored": ranking.unscored}
            documents = (render.photo_json(photo, status) for photo in photos)
            render.print_json({"model": render.model_json(scoring), "photos": documents, "summary": summary})
        else:
            out = render.console()
            shown = list(photos)
            if not shown:
                out.print("No photo failed." if failed and wanted.starred is None else "No photo fits.")
            elif failed:
                out.print(render.failure_table(shown, title="Failed"))
            else:
                out.print(render.photo_table(shown, scoring, title=title))
            out.print()
            out.print(f"{ranking.scored:,} scored photos, {len(ranking.failed):,} failed; {len(shown):,} shown")
            out.print(f"Model {scoring.model_name} ({scoring.model_id}), recipe {scoring.recipe}")
            if ranking.unscored:
                verb = "has" if ranking.unscored == 1 else "have"
                unscored = render.counted(ranking.unscored, "photo")
                out.print(f"{unscored} {verb} no score by this model and recipe yet: rali score")
