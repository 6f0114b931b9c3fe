"""How runs look: what was moved, where it is now, and how it comes back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from rali.catalog.journal import RunRecord, RunState
from rali.catalog.rating_journal import RatingRun
from rali.moving.carrier import Carried
from rali.photos.photo import display_path, shell_word
from rali_cli import rating_view
from rali_cli.render import counted, format_size

COPIES = {"copy": "copies", "hardlink": "links"}
_PLACES_SHOWN = 3
_NAME_CELLS = 19


def print_carried(out: Console, verb: str, carried: Carried) -> None:
    """Print how much was moved: ``Moved 3 photos (5 files, 24.3 MB).``."""
    files = f"{counted(carried.files, 'file')}, {format_size(carried.size_bytes)}"
    out.print(f"{verb} {counted(carried.shots, 'photo')} ({files}).")


def print_way_back(out: Console, run: RunRecord, db: Path | None) -> None:
    """Print the command that takes a run back."""
    name = shell_word(run.name) + ("" if db is None else f" --db {shell_word(os.path.abspath(db))}")
    if run.state is RunState.TRASHED:
        out.print(f"To have them back, restore that folder from there, then: rali undo {name}", soft_wrap=True)
    elif run.mode == "move":
        out.print(f"Undo with: rali undo {name}", soft_wrap=True)
    else:
        out.print("The originals are where they were.")
        out.print(f"Delete the {COPIES[run.mode]} with: rali quarantine purge {name}", soft_wrap=True)


def print_runs(out: Console, runs: Sequence[RunRecord | RatingRun]) -> None:
    """Print runs: of culls three lines each, of ratings two."""
    width = max([_NAME_CELLS, *(len(run.name) for run in runs)])
    out.print(Text(f"{'run':<{width}}  {'photos':>7}  {'files':>7}  {'size':>8}  now", style="dim"))
    for run in runs:
        if isinstance(run, RatingRun):
            numbers = f"{run.files:>7,}  {run.files:>7,}  {'':>8}"
            out.print(f"{display_path(run.name):<{width}}  {numbers}  {rating_view.state_of(run)}", soft_wrap=True)
            roots = [display_path(root) for root in run.roots] or ["all photos"]
            _print_dim(out, f"{_when(run)}, {display_path(run.chosen)}: {_first(roots)}")
            continue
        numbers = f"{run.shots:>7,}  {run.files:>7,}  {format_size(run.size_bytes):>8}"
        out.print(f"{display_path(run.name):<{width}}  {numbers}  {state_of(run)}", soft_wrap=True)
        roots = list(dict.fromkeys(display_path(place.root) for place in run.places))
        _print_dim(out, f"{_when(run)}, {display_path(run.chosen)}: {_first(roots)}")
        folders = list(dict.fromkeys(display_path(place.folder) for place in run.places))
        if run.away:
            _print_dim(out, f"{'left for' if run.state is RunState.TRASHED else 'in'} {_first(folders)}")


def state_of(run: RunRecord) -> str:
    """Say where a run's files are now."""
    if run.state is RunState.TRASHED and run.away:
        return "in the system's bin"
    parts = [
        (run.away, "in the quarantine" if run.mode == "move" else f"{COPIES[run.mode]} in the quarantine"),
        (run.back, "undone" if run.undone else "back"),
        (run.deleted, "deleted"),
    ]
    words = [text if count == run.files else f"{count:,} {text}" for count, text in parts if count]
    unfinished = ["unfinished"] if run.state not in (RunState.SETTLED, RunState.TRASHED) else []
    return ", ".join([*words, *unfinished]) or "nothing was moved"


def run_json(run: RunRecord) -> dict[str, Any]:
    """Describe a run."""
    return {
        "run": run.name,
        "started_at": run.started_at,
        "mode": run.mode,
        "state": run.state,
        "chosen": run.chosen,
        "model": run.model,
        "recipe": run.recipe,
        "photos": run.shots,
        "files": run.files,
        "size_bytes": run.size_bytes,
        "away": run.away,
        "away_bytes": run.away_bytes,
        "back": run.back,
        "deleted": run.deleted,
        "undone": run.undone,
        "places": [{"root": place.root, "folder": place.folder} for place in run.places],
    }


def _when(run: RunRecord | RatingRun) -> str:
    try:
        return datetime.fromisoformat(run.started_at).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:  # it came from a journal that somebody edited
        return "once"


def _first(folders: Sequence[str]) -> str:
    more = len(folders) - _PLACES_SHOWN
    return ", ".join(folders[:_PLACES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _print_dim(out: Console, text: str) -> None:
    out.print(Text(f"  {text}", style="dim"), soft_wrap=True)
