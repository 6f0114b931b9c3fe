"""``rali quarantine``: what lies in the quarantine, how big it is, and deleting it for good."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from rali.config import load_settings
from rali.errors import UnsafeError, UsageError
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.asking import ask
from rali_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.journal import RunRecord

app = typer.Typer(
    help="See what lies in the quarantine; delete it for good.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("list")
def list_runs(db: options.Db = None, as_json: options.AsJson = False) -> None:
    """List the runs that have files in the quarantine, the last first."""
    from rali_cli import render, run_view

    with open_catalog(load_settings({"db": db}).db) as catalog:
        held = _held(catalog)
    if as_json:
        render.print_json({"runs": [run_view.run_json(run) for run in held]})
        return
    out = render.console()
    if not held:
        out.print("The quarantine is empty.")
        return
    run_view.print_runs(out, held)
    out.print()
    out.print("Bring photos back with: rali undo RUN")
    out.print("Delete them for good with: rali quarantine purge RUN")


@app.command("size")
def size(db: options.Db = None, as_json: options.AsJson = False) -> None:
    """Show how much lies in each quarantine, and in all of them."""
    from rali.catalog.journal import Journal, MoveState
    from rali.photos.photo import display_path
    from rali_cli import render

    files: Counter[str] = Counter()
    size_bytes: Counter[str] = Counter()
    with open_catalog(load_settings({"db": db}).db) as catalog:
        for run in _held(catalog):
            quarantine_of = {place.id: os.path.dirname(place.folder) for place in run.places}
            for shot in Journal(catalog).moves(run, MoveState.AWAY, MoveState.RETURNING, MoveState.DELETING):
                for move in shot:
                    files[quarantine_of[move.place_id]] += 1
                    size_bytes[quarantine_of[move.place_id]] += move.size_bytes
    if as_json:
        quarantines = [
            {"folder": folder, "files": files[folder], "size_bytes": size_bytes[folder]} for folder in sorted(files)
        ]
        total = {"files": files.total(), "size_bytes": size_bytes.total()}
        render.print_json({"quarantines": quarantines, "total": total})
        return
    out = render.console()
    for folder in sorted(files):
        gone = "" if os.path.isdir(folder) else "  [not there now]"
        amount = f"{format_amount(files[folder], size_bytes[folder])}"
        out.print(f"{amount}  {display_path(folder)}{gone}", soft_wrap=True)
    if len(files) != 1:
        out.print(f"{format_amount(files.total(), size_bytes.total())}  in all")


@app.command("purge")
def purge(
    name: Annotated[str, typer.Argument(metavar="RUN", help="The run to delete.", show_default=False)],
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete for good what a run has in the quarantine; asks for the run's name, typed in full.

    The only command of rali that deletes photos. What has changed in the quarantine since the cull stays.
    """
    from rali.moving.disposal import purge as purge_run
    from rali.moving.runs import find_run
    from rali.photos.photo import display_path
    from rali_cli import plan_view, render, run_view

    with open_catalog(load_settings({"db": db}).db) as catalog:
        run = find_run(catalog, name)
        if not run.away:
            raise UsageError(f"run {run.name} has nothing in the quarantine; see: rali quarantine list")
        files = f"{render.counted(run.away, 'file')}, {render.format_size(run.away_bytes)}"
        render.notice(f"Run {run.name} ({run.chosen}) has {files} in the quarantine:")
        for folder in dict.fromkeys(place.folder for place in run.places):
            render.notice(f"  {display_path(folder)}")
        render.notice("They will be deleted for good: no undo, no bin.")
        if ask("Type the run's name to delete them: ").strip() != run.name:
            raise UnsafeError(f"that is not {run.name}: nothing was deleted")
        done = purge_run(catalog, run)
    carried = done.carried
    if as_json:
        document = {"run": run_view.run_json(done.run or run), "files": carried.files, "size_bytes": carried.size_bytes}
        render.print_json(document | {"stayed": plan_view.stayed_json(carried.refused)})
    else:
        out = render.console()
        out.print(
            f"Deleted {render.counted(carried.files, 'file')} ({render.format_size(carried.size_bytes)}) for good."
        )
        plan_view.print_stayed(out, carried.refused)
    if carried.refused:
        raise typer.Exit(ExitCode.SOME_FAILED)


def format_amount(files: int, size_bytes: int) -> str:
    """Show files and bytes in columns."""
    from rali_cli import render

    return f"{render.format_size(size_bytes):>8}  {render.counted(files, 'file'):>12}"


def _held(catalog: Catalog) -> list[RunRecord]:
    """Return the runs that have files in the quarantine; what went to the system's bin has left it."""
    from rali.catalog.journal import Journal, RunState

    return [run for run in Journal(catalog).runs() if run.away and run.state is not RunState.TRASHED]
