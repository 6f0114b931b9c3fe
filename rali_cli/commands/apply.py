"""``rali apply``: do what a plan says, and nothing else; ``rali cull --apply`` ends here, too."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.config import load_settings
from rali.errors import UnsafeError, UsageError
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.asking import is_yes, somebody_is_there
from rali_cli.exit_codes import ExitCode
from rali_cli.progress import moving_bar, stop_on_signal

if TYPE_CHECKING:
    from rali.catalog.catalog import Catalog
    from rali.catalog.journal import Mode
    from rali.culling.plan import CullPlan, HeldBack
    from rali.moving.carrier import Carried
    from rali.moving.runs import Done

_DOING = {"move": "Moving", "copy": "Copying", "hardlink": "Linking"}
_DONE = {"move": "Moved", "copy": "Copied", "hardlink": "Linked"}


@dataclass(frozen=True)
class Way:
    """How a plan is applied.

    Attributes:
        mode: ``move``, ``copy`` or ``hardlink``.
        to: the quarantine; None for one beside the folder.
        to_trash: hand the run's folder to the system's bin at the end.
        yes: ask nothing, and take no offence at how much goes.
        no_protect: rules that were turned off.
        db: the catalog, if it was named on the command line.
    """

    mode: Mode
    to: Path | None
    to_trash: bool
    yes: bool
    no_protect: tuple[str, ...]
    db: Path | None

    def command(self, plan: Path, *, yes: bool = False) -> str:
        """Return the shell command that applies ``plan`` in this way."""
        from rali.photos.photo import shell_word

        words = ["rali", "apply"]
        words += ["--yes"] if yes else []
        words += ["--to", os.path.realpath(self.to)] if self.to is not None else []
        words += [f"--{self.mode}"] if self.mode != "move" else []
        words += ["--to-trash"] if self.to_trash else []
        for rule in self.no_protect:
            words += ["--no-protect", rule]
        words += ["--db", os.path.abspath(self.db)] if self.db is not None else []
        name = os.fspath(plan)
        return " ".join(map(shell_word, [*words, f"./{name}" if name.startswith("-") else name]))


def way(
    *,
    to: Path | None,
    copy: bool,
    hardlink: bool,
    to_trash: bool,
    yes: bool,
    no_protect: Collection[str] | None,
    db: Path | None,
) -> Way:
    """Make one way of the options.

    Raises:
        UsageError: they contradict each other.
    """
    if copy + hardlink + to_trash > 1:
        raise UsageError("use one of --copy, --hardlink and --to-trash")
    mode: Mode = "copy" if copy else "hardlink" if hardlink else "move"
    return Way(mode, to, to_trash, yes, tuple(no_protect or ()), db)


def apply(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A plan that rali cull has saved.", show_default=False)],
    yes: options.Yes = False,
    to: options.To = None,
    copy: options.Copy = False,
    hardlink: options.HardLink = False,
    to_trash: options.ToTrash = False,
    no_protect: options.NoProtect = None,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many photos to show; all are moved.")] = 20,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Move exactly the photos of a plan into the quarantine, less those that have changed since it was made."""
    from rali.culling.plan_file import load_plan
    from rali.culling.recheck import recheck
    from rali_cli import plan_view, render

    chosen = way(to=to, copy=copy, hardlink=hardlink, to_trash=to_trash, yes=yes, no_protect=no_protect, db=db)
    loaded = load_plan(file)
    with open_catalog(load_settings({"db": db}).db) as catalog:
        plan = recheck(catalog, loaded, no_protect=chosen.no_protect)
        dropped = plan.held_back[len(loaded.held_back) :]
        if not as_json:
            out = render.console()
            plan_view.print_plan(out, plan, count, mode=chosen.mode)
            out.print()
            if dropped:
                plan_view.print_held_back(out, "Dropped since the plan was made", dropped)
                out.print()
        carry_out(catalog, plan, file, chosen, dropped=dropped, as_json=as_json)


def carry_out(
    catalog: Catalog, plan: CullPlan, file: Path, way: Way, *, dropped: Collection[HeldBack] = (), as_json: bool
) -> None:
    """Ask, apply the plan that was shown, say what became of it, and end with the exit code that says so.

    Args:
        file: where the plan is saved.
        dropped: what was in the plan once, and has already been shown.

    Raises:
        UnsafeError: so much would go that it must be said twice, or the quarantine cannot be made.
    """
    from rali.culling.plan import over_limits
    from rali.culling.recheck import recheck
    from rali.moving.disposal import send_to_trash
    from rali.moving.runs import Done, apply_plan
    from rali.photos.photo import display_path
    from rali_cli import render

    over = over_limits(plan)
    if over is not None and not way.yes:
        raise UnsafeError(f"{over}: nothing was moved. If it is meant: {way.command(file, yes=True)}")
    if plan.shots and not way.yes and somebody_is_there() and not is_yes(_question(plan, way)):
        _report(None, plan, file, way, dropped, as_json)
        return
    shown = plan

    def look_again(_: CullPlan) -> CullPlan:
        # Somebody may have marked or rated a photo while the question stood, or while another rali was moving photos.
        nonlocal plan
        plan = recheck(catalog, shown, no_protect=way.no_protect)
        return plan

    with stop_on_signal() as stop, moving_bar(_DOING[way.mode], len(plan.shots)) as on_progress:
        done = apply_plan(catalog, plan, mode=way.mode, to=way.to, on_progress=on_progress, stop=stop, check=look_again)
    late = plan.held_back[len(shown.held_back) :]
    dropped = [*dropped, *late]
    for held in late:
        render.notice(f"Stays, {held.rule}: {render.short_path(held.path)} ({display_path(held.detail)})")
    trash_error = None
    whole = not done.carried.interrupted and done.carried.ended_by is None
    if way.to_trash and done.run is not None and whole:
        try:
            done = Done(send_to_trash(catalog, done.run), done.carried)
        except UnsafeError as error:
            trash_error = str(error)
    _report(done, plan, file, way, dropped, as_json)
    if trash_error is not None:
        render.notice(f"rali: {trash_error}")
    end(done.carried, ended_early=trash_error is not None, some_stayed=bool(dropped))


def end(carried: Carried, *, ended_early: bool = False, some_stayed: bool = False) -> None:
    """End a command with the exit code of what was carried, saying on stderr what is not as it was asked for."""
    from rali_cli import render

    if carried.unsettled:
        render.notice(f"rali: {carried.unsettled:,} files are on both sides; the next command tries again")
    if carried.interrupted:
        render.notice("Interrupted: what was begun is finished, and the rest was not touched.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    if carried.ended_by is not None:
        render.notice(f"rali: ended early ({carried.ended_by}): the rest was not touched")
        raise typer.Exit(ExitCode.ERROR)
    if ended_early:
        raise typer.Exit(ExitCode.ERROR)
    if carried.refused or carried.unsettled or some_stayed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _question(plan: CullPlan, way: Way) -> str:
    from rali_cli.plan_view import size_of

    if way.to_trash:
        return f"Move {size_of(plan)} into the system's bin?"
    if way.mode != "move":
        return f"{'Copy' if way.mode == 'copy' else 'Link'} {size_of(plan)} into the quarantine?"
    return f"Move {size_of(plan)} into the quarantine?"


def _report(
    done: Done | None, plan: CullPlan, file: Path, way: Way, dropped: Collection[HeldBack], as_json: bool
) -> None:
    """Say what became of a plan; without ``done`` the answer was no."""
    from rali.catalog.journal import RunState
    from rali.culling.plan import over_limits
    from rali_cli import plan_view, render, run_view

    run = done.run if done is not None else None
    refused = done.carried.refused if done is not None else []
    if as_json:
        document = plan_view.plan_json(plan, plan_view.quarantines_of(plan, way.to), over_limits(plan))
        document["summary"] |= {"plan": os.path.abspath(file), "run": None if run is None else run_view.run_json(run)}
        stayed = [(held.path, f"{held.rule}: {held.detail}") for held in dropped]
        render.print_json(document | {"stayed": plan_view.stayed_json([*stayed, *refused])})
        return
    out = render.console()
    if done is None:
        out.print(f"Nothing was moved. The plan is kept: {way.command(file)}", soft_wrap=True)
        return
    if run is None:
        out.print("Nothing was moved.")
    else:
        run_view.print_carried(out, _DONE[way.mode], done.carried)
        where = "They are in the system's bin, as" if run.state is RunState.TRASHED else "They are in"
        plan_view.print_places(out, where, list(dict.fromkeys(place.folder for place in run.places)))
    plan_view.print_stayed(out, refused)
    if run is not None:
        run_view.print_way_back(out, run, way.db)
