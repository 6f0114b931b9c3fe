"""``rali watch``: score photos as they come, for as long as they come."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.config import load_settings
from rali.errors import UsageError
from rali.watching.options import WatchOptions
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.exit_codes import ExitCode
from rali_cli.progress import stop_on_signal

if TYPE_CHECKING:
    from rali_cli.watch_view import View, Watched


def watch(
    paths: Annotated[list[Path], typer.Argument(help="Folders.", show_default=False)],
    settle: Annotated[
        float, typer.Option("--settle", metavar="S", help="Read a photo once it has not changed for so many seconds.")
    ] = WatchOptions.settle_s,
    latency: Annotated[
        float, typer.Option("--latency", metavar="S", help="Let photos wait for others at most so many seconds.")
    ] = WatchOptions.latency_s,
    rescan: Annotated[
        float, typer.Option("--rescan", metavar="S", help="Look at everything again every so many seconds.")
    ] = WatchOptions.rescan_s,
    poll: Annotated[bool, typer.Option("--poll", help="Use no file events; look again and again.")] = False,
    once: Annotated[bool, typer.Option("--once", help="End when everything that is there is scored.")] = False,
    below: Annotated[
        float | None,
        typer.Option("--below", metavar="SCORE", help="With --apply: move photos that score below this away."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Yes, move them; only with --below.")] = False,
    grace: Annotated[
        float | None,
        typer.Option(
            "--grace",
            metavar="S",
            help=f"How long a photo stays after its score, to be rated or kept. [default: {WatchOptions.grace_s:g}]",
            show_default=False,
        ),
    ] = None,
    to: options.To = None,
    no_protect: options.NoProtect = None,
    command: Annotated[
        str | None,
        typer.Option(
            "--exec",
            metavar="CMD",
            help="Run this for each scored photo, without a shell; {} is its path, RALI_SCORE its score.",
            show_default=False,
        ),
    ] = None,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object an event.")] = False,
    model: options.Model = None,
    recipe: options.Recipe = None,
    device: options.Device = None,
    engine: options.Engine = None,
    precision: options.Precision = None,
    pairs: options.Pairs = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    workers: options.Workers = None,
    db: options.Db = None,
) -> None:
    """Score photos below PATHS as they arrive, until Ctrl-C; what is there already is scored first.

    A photo is read once it is whole. With --below and --apply, photos that arrive and score too low go into the
    quarantine after a while, under every rule of rali cull, and rali undo brings them back; what was there stays.
    """
    from rali.watching.watcher import Watcher
    from rali_cli.watch_view import Tally, Watched

    _check_culling(below, apply=apply, needing={"--grace": grace, "--to": to, "--no-protect": no_protect or None})
    how = WatchOptions(
        include=include or (),
        exclude=exclude or (),
        settle_s=settle,
        latency_s=latency,
        rescan_s=rescan,
        poll=poll,
        once=once,
        below=below,
        grace_s=WatchOptions.grace_s if grace is None else grace,
        no_protect=no_protect or (),
        to=to,
        command=None if command is None else _words(command),
    )
    settings = load_settings(
        {
            "db": db,
            "model": model,
            "recipe": recipe,
            "device": device,
            "engine": engine,
            "precision": precision,
            "pairs": pairs,
            "workers": workers,
        }
    )
    tally = Tally()
    with open_catalog(settings.db, create=True) as catalog, stop_on_signal() as stop:
        with Watcher(paths, catalog, settings, how, stop=stop) as watcher:
            roots = [root.path for root in watcher.roots]
            watched = Watched(roots, watcher.scoring, below, how.grace_s, once, db)
            with _view(watched, stop, as_jsonl=as_jsonl) as view:
                for event in watcher.events():
                    tally.note(event)
                    view.show(event)
        interrupted = stop()
        view.end(tally, interrupted=interrupted)
    if interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if tally.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _view(watched: Watched, stop: Callable[[], bool], *, as_jsonl: bool) -> View:
    """Choose how to show a watch: as events for a program, else as a panel on a terminal, else as lines."""
    from rali_cli.render import console
    from rali_cli.watch_panel import Panel
    from rali_cli.watch_view import JsonLines, Lines

    if as_jsonl:
        return JsonLines(watched)
    if sys.stdout.isatty() and not console().is_dumb_terminal:
        return Panel(watched, stop)
    return Lines(watched)


def _check_culling(below: float | None, *, apply: bool, needing: dict[str, object]) -> None:
    """Refuse what would be taken for a cull and is none.

    Args:
        needing: the values of options that mean something for a cull alone; None: not given.

    Raises:
        UsageError: one of the options lacks another.
    """
    if below is not None and not apply:
        raise UsageError(
            f"--below {below:g}: add --apply to move photos away as they come. To only see which would go: "
            f"rali cull PATH --below {below:g}"
        )
    given = [name for name, value in {"--apply": apply or None, **needing}.items() if value is not None]
    if below is None and given:
        raise UsageError(f"{given[0]} is for culling: say what is culled with --below SCORE --apply")


def _words(command: str) -> list[str]:
    """Split a command as a shell would, and no further.

    Raises:
        UsageError: a quote is left open.
    """
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--exec: {str(error).lower()} in it") from error
