"""``rali rate``: plan which stars, labels and flags photos get; with ``--apply`` write them into XMP sidecars."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.errors import UsageError
from rali_cli import options
from rali_cli.answering import answering
from rali_cli.asking import is_yes, somebody_is_there
from rali_cli.commands.apply import end
from rali_cli.progress import moving_bar, stop_on_signal

if TYPE_CHECKING:
    from rali.catalog.records import Scoring
    from rali.rating.grading import Wishes
    from rali.rating.plan import RatingPlan, Style
    from rali.rating.runs import Rated

_GRADES = "GRADES"


def rate(
    paths: options.SomePaths = None,
    stars: Annotated[
        str,
        typer.Option(
            "--stars",
            metavar="percentile|threshold",
            help="What makes a grade from 1 to 5: the percentile among these photos, or the score.",
        ),
    ] = "percentile",
    edges: Annotated[
        str | None,
        typer.Option(
            "--edges",
            metavar="A,B,C,D",
            help="Where grades 2 to 5 begin: percentiles (10,30,70,90 if not given), or scores (fifths of the scale).",
            show_default=False,
        ),
    ] = None,
    no_stars: Annotated[bool, typer.Option("--no-stars", help="Write no stars: labels or flags alone.")] = False,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="GRADES=NAME", help="A label for grades: 5=Green, 1-2=Red. Repeatable."),
    ] = None,
    pick: Annotated[str | None, typer.Option("--pick", metavar=_GRADES, help="Flag these grades as picks: 5.")] = None,
    reject: Annotated[
        str | None, typer.Option("--reject", metavar=_GRADES, help="Flag these grades as rejected: 1. Stars become -1.")
    ] = None,
    sidecar: Annotated[
        str | None,
        typer.Option(
            "--sidecar",
            metavar="stem|full",
            help="Name of a new sidecar: IMG.xmp, or IMG.CR3.xmp; stem for RAWs, full for others if not given.",
            show_default=False,
        ),
    ] = None,
    overwrite_mine: Annotated[
        bool, typer.Option("--overwrite-mine", help="Change stars, labels and flags that you have given, too.")
    ] = False,
    include: options.Include = None,
    exclude: options.Exclude = None,
    since: options.Since = None,
    until: options.Until = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write now; otherwise nothing is written.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing.")] = False,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Give photos stars by their scores, in XMP sidecars that other programs read.

    Nothing is written without --apply, and photos themselves never are. Your own stars, labels and flags stay, and
    all else that a sidecar holds; rali undo makes every sidecar what it was.
    """
    from rali.listing import scope_of
    from rali.rating.plan import plan_rating
    from rali_cli import rating_view, render

    style = _style(sidecar)
    with answering(db, model, recipe) as (catalog, scoring):
        wishes = _wishes(scoring, stars, edges, no_stars, label, pick, reject)
        scope = scope_of(paths or (), include=include or (), exclude=exclude or (), since=since, until=until)

        def look() -> RatingPlan:
            return plan_rating(catalog, scoring, scope, wishes, style=style, overwrite_mine=overwrite_mine)

        plan = look()
        if not as_json:
            out = render.console()
            rating_view.print_plan(out, plan)
            rating_view.print_kept(out, plan.kept)
        rated = None
        asks = not yes and somebody_is_there()
        if apply and plan.sidecars and (not asks or is_yes(_question(plan))):
            from rali.rating.runs import apply_rating

            if asks:  # somebody may have given stars while the question stood
                plan = plan.confirmed_by(look())
            with stop_on_signal() as stop, moving_bar("Writing", len(plan.sidecars)) as on_progress:
                rated = apply_rating(catalog, plan, on_progress=on_progress, stop=stop)
    if as_json:
        _print_json(plan, rated)
    elif rated is not None:
        _print_written(rated, db)
    else:
        _print_nothing_written(plan, asked=apply)
    if rated is not None:
        end(rated.carried)


def _style(name: str | None) -> Style | None:
    if name not in (None, "stem", "full"):
        raise UsageError(f"--sidecar {name!r}: give stem (IMG.xmp) or full (IMG.CR3.xmp)")
    return "stem" if name == "stem" else "full" if name == "full" else None


def _wishes(
    scoring: Scoring,
    stars: str,
    edges: str | None,
    no_stars: bool,
    label: list[str] | None,
    pick: str | None,
    reject: str | None,
) -> Wishes:
    from rali.rating.grading import Wishes, grading_of, parse_grades, parse_labels

    return Wishes(
        grading_of(stars, edges, scoring),
        stars=not no_stars,
        labels=None if not label else parse_labels(label),
        picks=None if pick is None else parse_grades("--pick", pick),
        rejects=None if reject is None else parse_grades("--reject", reject),
    )


def _question(plan: RatingPlan) -> str:
    from rali_cli.render import counted

    return f"Write {counted(len(plan.sidecars), 'sidecar')}?"


def _print_nothing_written(plan: RatingPlan, *, asked: bool) -> None:
    from rali.photos.photo import shell_word
    from rali_cli import render

    out = render.console()
    if asked or not plan.sidecars:
        out.print("Nothing was written.")
        return
    out.print("Nothing was written. To write them:")
    out.print("  " + " ".join(map(shell_word, ["rali", *sys.argv[1:], "--apply"])), soft_wrap=True)


def _print_written(rated: Rated, db: Path | None) -> None:
    from rali.photos.photo import shell_word
    from rali_cli import rating_view, render

    out = render.console()
    left = f"; {len(rated.carried.refused):,} left:" if rated.carried.refused else "."
    out.print(f"Wrote {render.counted(rated.carried.files, 'sidecar')}{left}")
    rating_view.print_left(out, rated.carried)
    if rated.run is not None:
        name = shell_word(rated.run.name) + ("" if db is None else f" --db {shell_word(os.path.abspath(db))}")
        out.print(f"Undo with: rali undo {name}", soft_wrap=True)


def _print_json(plan: RatingPlan, rated: Rated | None) -> None:
    from rali_cli import plan_view, rating_view, render

    document = rating_view.plan_json(plan)
    run = None if rated is None or rated.run is None else rating_view.run_json(rated.run)
    document["summary"] |= {"written": 0 if rated is None else rated.carried.files, "run": run}
    left = [] if rated is None else plan_view.stayed_json(rated.carried.refused)
    render.print_json(document | {"left": left})
