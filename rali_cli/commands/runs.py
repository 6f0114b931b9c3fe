"""``rali runs`` and ``rali undo``: what culls have moved and ratings have written, and taking it back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.config import load_settings
from rali.errors import PathError, UsageError
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.commands.apply import end
from rali_cli.progress import moving_bar, stop_on_signal

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.journal import RunRecord
    from rali.catalog.rating_journal import RatingRun
    from rali.moving.runs import Done


def runs(db: options.Db = None, as_json: options.AsJson = False) -> None:
    """List what was culled or rated, the last first: when, how many, how big, and where it is now."""
    from rali.catalog.journal import Journal
    from rali.catalog.rating_journal import RatingJournal, RatingRun
    from rali_cli import rating_view, render, run_view

    with open_catalog(load_settings({"db": db}).db) as catalog:
        found: list[RunRecord | RatingRun] = [*Journal(catalog).runs(), *RatingJournal(catalog).runs()]
    found.sort(key=lambda run: run.id, reverse=True)
    if as_json:
        described = [
            rating_view.run_json(run) if isinstance(run, RatingRun) else run_view.run_json(run) for run in found
        ]
        render.print_json({"runs": described})
        return
    out = render.console()
    if not found:
        out.print("Nothing was culled yet.")
        return
    run_view.print_runs(out, found)
    if any(not run.undone if isinstance(run, RatingRun) else run.away for run in found):
        out.print()
        ratings_alone = all(isinstance(run, RatingRun) for run in found)
        out.print(f"{'Take stars' if ratings_alone else 'Bring photos'} back with: rali undo RUN")


def undo(
    name: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="The run; the last one that has not come back if none.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            "--only", metavar="GLOB", help="Only shots of which a file matches, by name or path.", show_default=False
        ),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="The journal in the run's folder, if the catalog is lost: .rali-journal.jsonl.",
            show_default=False,
        ),
    ] = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Bring what a run moved back under its old names, or make the sidecars that it wrote what they were.

    Nothing that lies there now, or has been changed since, is overwritten.
    """
    from rali.moving.runs import find_run
    from rali.moving.runs import undo as undo_run
    from rali.photos.photo import display_path

    if name is not None and journal is not None:
        raise UsageError("give the run's name or --journal, not both")
    file = load_settings({"db": db}).db
    if journal is None and not file.exists():
        raise UsageError(
            f"there is no catalog at {display_path(file)}; bring photos back from the journal that lies beside them: "
            "rali undo --journal .rali-quarantine/RUN"
        )
    with open_catalog(file, create=journal is not None) as catalog:
        rating = _rating_of(catalog, name) if journal is None else None
        if rating is not None:
            _undo_rating(catalog, rating, only, as_json)
            return
        run = find_run(catalog, name) if journal is None else _run_of(catalog, journal)
        if not run.away:
            _print_nothing_away(run, as_json)
            return
        total = run.shots if only is None else None
        with stop_on_signal() as stop, moving_bar("Bringing back", total) as on_progress:
            done = undo_run(catalog, run, only=only, on_progress=on_progress, stop=stop)
    _print_undone(run, done, only, as_json)
    end(done.carried)


def _rating_of(catalog: Catalog, name: str | None) -> RatingRun | None:
    """Return the rating that is meant: by its name, or because no cull that can be undone came after it."""
    from rali.moving.runs import find_run
    from rali.rating.runs import find_rating

    rating = find_rating(catalog, name)
    if rating is None or name is not None:
        return rating
    try:
        return rating if find_run(catalog, None).id < rating.id else None
    except UsageError:  # there is no cull to undo
        return rating


def _undo_rating(catalog: Catalog, run: RatingRun, only: str | None, as_json: bool) -> None:
    from rali.photos.photo import display_path
    from rali.rating.runs import undo_rating
    from rali_cli import plan_view, rating_view, render

    with stop_on_signal() as stop, moving_bar("Taking back", run.files - run.restored) as on_progress:
        rated = undo_rating(catalog, run, only=only, on_progress=on_progress, stop=stop)
    carried = rated.carried
    if only is not None and not (carried.files or carried.refused or carried.interrupted or carried.ended_by):
        raise PathError(f"no sidecar of run {run.name} that is still as it was written matches {display_path(only)}")
    if as_json:
        document = {"run": rating_view.run_json(rated.run or run), "files": carried.files}
        render.print_json(document | {"stayed": plan_view.stayed_json(carried.refused)})
    else:
        out = render.console()
        if run.undone:
            out.print(f"Nothing to take back: run {run.name} is undone.")
        else:
            left = f"; {len(carried.refused):,} left:" if carried.refused else "."
            out.print(f"{render.counted(carried.files, 'sidecar')} as before run {run.name}{left}")
            rating_view.print_left(out, carried)
    end(carried)


def _run_of(catalog: Catalog, journal: Path) -> RunRecord:
    from rali.moving.runs import read_run
    from rali.photos.scan import JOURNAL_NAME

    return read_run(catalog, journal / JOURNAL_NAME if journal.is_dir() else journal)


def _print_nothing_away(run: RunRecord, as_json: bool) -> None:
    from rali_cli import render, run_view

    if as_json:
        render.print_json({"run": run_view.run_json(run), "photos": 0, "files": 0, "size_bytes": 0, "stayed": []})
    else:
        render.console().print(f"Nothing to bring back: run {run.name} is {run_view.state_of(run)}.")


def _print_undone(before: RunRecord, done: Done, only: str | None, as_json: bool) -> None:
    from rali.photos.photo import display_path, shell_word
    from rali_cli import plan_view, render, run_view

    carried = done.carried
    run = done.run or before
    nothing = not carried.shots and not carried.refused and not carried.unsettled and not carried.interrupted
    if nothing and carried.ended_by is None and only is not None and run.mode == "move":
        raise PathError(f"no photo of run {run.name} in the quarantine matches {display_path(only)}")
    if as_json:
        amount = {"photos": carried.shots, "files": carried.files, "size_bytes": carried.size_bytes}
        stayed = plan_view.stayed_json(carried.refused)
        render.print_json({"run": run_view.run_json(run), **amount, "stayed": stayed})
        return
    out = render.console()
    if nothing and carried.ended_by is None:
        words = run_view.COPIES[run.mode]
        out.print(f"Nothing to bring back: run {run.name} made {words}; the originals are in their places.")
        out.print(f"Delete the {words} with: rali quarantine purge {shell_word(run.name)}")
        return
    run_view.print_carried(out, "Brought back", carried)
    if carried.shots:
        plan_view.print_places(out, "They are in", list(dict.fromkeys(os.fspath(p.root) for p in run.places)))
    plan_view.print_stayed(out, carried.refused)
    if run.away and carried.shots:
        out.print(f"{render.counted(run.away, 'file')} of this run {'is' if run.away == 1 else 'are'} still away.")
