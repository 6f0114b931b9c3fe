"""``rali cull``: plan which photos are moved out of the way; with ``--apply`` move them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.errors import PathError, UsageError
from rali_cli import options
from rali_cli.answering import answering
from rali_cli.commands.apply import carry_out, way

if TYPE_CHECKING:
    from rali.culling.choice import Choice
    from rali.culling.plan import CullPlan
    from rali_cli.commands.apply import Way


def cull(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Folders, and single photos; not needed with --from.")
    ] = None,
    below: Annotated[float | None, typer.Option("--below", metavar="SCORE", help="Scores below this.")] = None,
    bottom: Annotated[
        str | None, typer.Option("--bottom", metavar="10%|N", help="The worst 10 %, or the worst N, of each folder.")
    ] = None,
    keep: Annotated[int | None, typer.Option("--keep", metavar="N", help="All but the best N of each folder.")] = None,
    per_burst: Annotated[
        int | None,
        typer.Option("--per-burst", metavar="KEEP", help="All but the best KEEP of each burst, see rali bursts."),
    ] = None,
    from_list: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="-0|-|FILE", help="A list of paths: -0: on stdin, each ended by NUL; -: a line each."
        ),
    ] = None,
    null: Annotated[bool, typer.Option("-0", "--null", help="The list's paths are each ended by a NUL byte.")] = False,
    across: Annotated[
        bool, typer.Option("--across", help="Count --bottom, --keep and --per-burst over all folders together.")
    ] = False,
    include: options.Include = None,
    exclude: options.Exclude = None,
    since: options.Since = None,
    until: options.Until = None,
    no_protect: options.NoProtect = None,
    plan_file: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="Save the plan here; else beside the catalog.", show_default=False),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Move the photos now; otherwise nothing moves.")] = False,
    yes: options.Yes = False,
    to: options.To = None,
    copy: options.Copy = False,
    hardlink: options.HardLink = False,
    to_trash: options.ToTrash = False,
    count: Annotated[int, typer.Option("-n", "--count", min=1, help="How many photos to show; all are planned.")] = 20,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
) -> None:
    """Plan which photos to move out of the way: the worst of a folder, and those marked reject.

    Nothing is moved without --apply, and nothing is ever deleted: photos go into a quarantine, and rali undo brings
    them back. Photos with your own stars, labels, picks or edits stay, and so do those marked keep.
    """
    from rali.culling.plan import plan_cull
    from rali.culling.plan_file import save_plan
    from rali.listing import scope_of
    from rali.photos.photo import display_path
    from rali_cli.kept_plans import keep_plan

    chosen = way(to=to, copy=copy, hardlink=hardlink, to_trash=to_trash, yes=yes, no_protect=no_protect, db=db)
    if not paths and from_list is None:
        raise UsageError("say where to look: rali cull FOLDER, or rali cull --from LIST")
    choice = _choice(below, bottom, keep, per_burst, from_list, null, across)
    with answering(db, model, recipe) as (catalog, scoring):
        scope = scope_of(paths or (), include=include or (), exclude=exclude or (), since=since, until=until)
        if not catalog.count_listed(scope_of(paths or ())):
            where = ", ".join(display_path(root) for root in scope.roots)
            raise PathError(f"the catalog knows no photos in {where or 'any folder'}; run: rali score FOLDER")
        plan = plan_cull(catalog, scoring, scope, choice, roots=scope.roots, no_protect=chosen.no_protect)
        if not plan.shots and not plan.held_back and not _chooses(choice):
            raise UsageError(
                "say what to cull: --below SCORE, --bottom 10%, --keep N, --per-burst KEEP or --from LIST; or mark "
                "photos first: rali reject PHOTO"
            )
        file = plan_file
        if file is not None:
            save_plan(plan, file)
        elif plan.shots:
            file = keep_plan(plan, catalog.path)
        if not as_json:
            _print_plan(plan, count, chosen)
        if apply and plan.shots and file is not None:
            carry_out(catalog, plan, file, chosen, as_json=as_json)
        elif as_json:
            _print_json(plan, file, chosen)
        elif plan.shots and file is not None:
            _print_what_next(plan, file, chosen)


def _choice(
    below: float | None,
    bottom: str | None,
    keep: int | None,
    per_burst: int | None,
    from_list: str | None,
    null: bool,
    across: bool,
) -> Choice:
    from rali.culling.choice import Choice, parse_bottom

    if null and from_list is None:
        raise UsageError("-0 goes with --from: it says how the list's paths end")
    percent, number = (None, None) if bottom is None else parse_bottom(bottom)
    # A mistake is told before the list is read.
    chosen = Choice(below, percent, number, keep, None if from_list is None else (), across, per_burst)
    if from_list is None:
        return chosen
    return Choice(paths=_read_list(from_list, null=null))


def _chooses(choice: Choice) -> bool:
    """Tell if anything was asked for beyond what is marked."""
    ways = (choice.below, choice.bottom_percent, choice.bottom_count, choice.keep, choice.paths, choice.per_burst)
    return any(value is not None for value in ways)


def _read_list(source: str, *, null: bool) -> tuple[str, ...]:
    """Read paths from stdin or a file, ended by NUL bytes if there is one in it, else by line ends.

    Raises:
        PathError: the file cannot be read.
        UsageError: there is no path in it.
    """
    from rali.photos.photo import display_path

    try:
        data = sys.stdin.buffer.read() if source in ("-", "-0") else Path(source).read_bytes()
    except OSError as error:
        raise PathError(f"the list {display_path(source)} cannot be read: {error.strerror or error}") from error
    ends = b"\0" if null or source == "-0" or b"\0" in data else b"\n"
    listed = tuple(os.fsdecode(path) for path in data.split(ends) if path)
    if not listed:
        raise UsageError("the list of --from is empty: there is nothing to cull")
    return listed


def _print_plan(plan: CullPlan, count: int, way: Way) -> None:
    from rali.photos.photo import display_path
    from rali_cli import plan_view, render

    out = render.console()
    if plan.shots:
        plan_view.print_plan(out, plan, count, mode=way.mode)
    else:
        scored = render.counted(plan.considered, "scored photo")
        out.print(f"Nothing to cull: {display_path(plan.chosen)}, of {scored}")
    out.print()
    if plan.held_back:
        plan_view.print_held_back(out, "Held back", plan.held_back)
        out.print()


def _print_what_next(plan: CullPlan, file: Path, way: Way) -> None:
    from rali.culling.plan import over_limits
    from rali_cli import plan_view, render

    out = render.console()
    places = plan_view.quarantines_of(plan, way.to)
    plan_view.print_places(out, "They would go into" if way.mode == "move" else "They would be put into", places)
    over = over_limits(plan)
    if over is not None:
        out.print(f"Look twice: {over}", soft_wrap=True)
    doing = {"move": "move", "copy": "copy", "hardlink": "link"}[way.mode]
    out.print(f"Nothing was moved. To {doing} exactly these photos:")
    out.print(f"  {way.command(file, yes=over is not None)}", soft_wrap=True)


def _print_json(plan: CullPlan, file: Path | None, way: Way) -> None:
    from rali.culling.plan import over_limits
    from rali_cli import plan_view, render

    over = over_limits(plan)
    document = plan_view.plan_json(plan, plan_view.quarantines_of(plan, way.to), over)
    document["summary"] |= {
        "plan": None if file is None else os.path.abspath(file),
        "apply": None if file is None else way.command(file.absolute(), yes=over is not None),
        "run": None,
    }
    render.print_json(document)
