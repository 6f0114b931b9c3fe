"""``rali bursts``: photos of the same moment, the best of each first; and the user's word on what is a group."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rali.errors import PathError, UsageError
from rali_cli import options
from rali_cli.answering import answering
from rali_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.table import Table

    from rali.catalog.catalog import Catalog
    from rali.catalog.records import Scope, Scoring
    from rali.grouping.bursts import Burst
    from rali.grouping.decisions import NotGrouped

_OTHERS_SHOWN = 6


def bursts(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders, and single photos; all that the catalog knows if none. With --split: photos."),
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="These photos are no group; of one alone: its whole group is none.")
    ] = False,
    unsplit: Annotated[bool, typer.Option("--unsplit", help="Take back what --split said of these photos.")] = False,
    count: Annotated[
        int | None,
        typer.Option("-n", "--count", min=1, help="How many groups; the table shows 20 otherwise.", show_default=False),
    ] = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    since: options.Since = None,
    until: options.Until = None,
    model: options.ShownModel = None,
    recipe: options.ShownRecipe = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
    as_paths: Annotated[
        bool, typer.Option("-0", "--print0", help="Print the best of each group alone, each ended by a NUL byte.")
    ] = False,
) -> None:
    """Show photos of the same moment as groups, the best of each first: bursts, and near-duplicates.

    Exposure brackets, focus stacks and panoramas are recognised. In rali cull, neither scores nor --per-burst take any
    of them apart; your own rali reject, a list (--from), --no-protect group and rali watch do.
    """
    from rali.listing import scope_of
    from rali.photos.photo import display_path
    from rali_cli import render

    output = render.choose_output(as_json=as_json, as_csv=False, as_paths=as_paths)
    if (split or unsplit) and (not paths or (split and unsplit)):
        raise UsageError("name the photos: rali bursts --split PHOTO..., or rali bursts --unsplit PHOTO...")
    with answering(db, model, recipe) as (catalog, scoring):
        if split:
            _split(catalog, scoring, paths or [], as_json=as_json)
            return
        if unsplit:
            _unsplit(catalog, paths or [], as_json=as_json)
            return
        scope = scope_of(paths or (), include=include or (), exclude=exclude or (), since=since, until=until)
        if not catalog.count_listed(scope_of(paths or ())):
            where = ", ".join(map(display_path, scope.roots))
            raise PathError(f"the catalog knows no photos in {where or 'any folder'}; run: rali score FOLDER")
        found = groups_in(catalog, scoring, scope)
        shown = found[:count]
        if output is render.Output.PATHS:
            render.print_path_bytes(burst.best.path for burst in shown)
        elif output is render.Output.JSON:
            _print_json(found, shown, scoring)
        else:
            _print_table(found, found[: count or 20], scoring)


def groups_in(catalog: Catalog, scoring: Scoring, scope: Scope) -> list[Burst]:
    """Find the groups among the photos of a scope; say on stderr what takes long the first time."""
    from rali.grouping.bursts import find_bursts
    from rali_cli import render

    def on_headers(waiting: int) -> None:
        render.notice(f"Reading the headers of {render.counted(waiting, 'photo')}, once: an earlier rali scored them")

    return find_bursts(catalog, scoring, scope, on_headers=on_headers)


# --- decisions -----------------------------------------------------------------------------------------------------


def _split(catalog: Catalog, scoring: Scoring, paths: Sequence[Path], *, as_json: bool) -> None:
    from rali.catalog.records import Scope
    from rali.grouping.decisions import split_groups
    from rali_cli import render

    decided = split_groups(catalog, groups_in(catalog, scoring, Scope()), paths)
    if as_json:
        refused = [refusal._asdict() for refusal in decided.refused]
        render.print_json({"split": [list(group) for group in decided.parted], "refused": refused})
    else:
        out = render.console()
        for group in decided.parted:
            out.print(f"No group any more: {render.counted(len(group), 'photo')}")
            for path in group:
                out.print(f"  {render.short_path(path)}", soft_wrap=True)
        if decided.parted:
            out.print("Take it back with: rali bursts --unsplit PHOTO")
    _end(decided.refused, "Not split")


def _unsplit(catalog: Catalog, paths: Sequence[Path], *, as_json: bool) -> None:
    from rali.grouping.decisions import forget_splits
    from rali_cli import render

    forgotten, refused = forget_splits(catalog, paths)
    if as_json:
        render.print_json({"forgotten": forgotten, "refused": [refusal._asdict() for refusal in refused]})
    else:
        render.console().print(f"Taken back: {render.counted(forgotten, 'split')}")
    _end(refused, "Not taken back")


def _end(refused: Sequence[NotGrouped], words: str) -> None:
    from rali_cli import render

    for refusal in refused:
        render.notice(f"{words}: {refusal.reason}")
    if refused:
        raise typer.Exit(ExitCode.SOME_FAILED)


# --- how groups look -----------------------------------------------------------------------------------------------


def _print_table(found: Sequence[Burst], shown: Sequence[Burst], scoring: Scoring) -> None:
    from rali_cli import render

    out = render.console()
    if shown:
        out.print(_table(shown, scoring))
        if len(found) > len(shown):
            out.print(f"... and {len(found) - len(shown):,} more; -n shows more")
        out.print()
    frames = sum(len(burst.frames) for burst in found)
    whole = sum(burst.kept_whole for burst in found)
    out.print(f"{render.counted(len(found), 'group')} of {frames:,} photos; {whole:,} of them kept whole")
    out.print(f"Model {scoring.model_name} ({scoring.model_id}), recipe {scoring.recipe}")


def _table(shown: Sequence[Burst], scoring: Scoring) -> Table:
    from rich.text import Text

    from rali_cli import render

    table = render.titled_table("Groups")
    table.add_column("kind", no_wrap=True)
    table.add_column("photos", justify="right")
    table.add_column("taken", style="dim", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("best", overflow="fold")
    table.add_column("others", style="dim", overflow="fold")
    for burst in shown:
        others = [_brief(frame.path, burst.best.path) for frame in burst.frames[1:]]
        more = f" and {len(others) - _OTHERS_SHOWN} more" if len(others) > _OTHERS_SHOWN else ""
        table.add_row(
            Text(burst.kind),
            Text(f"{len(burst.frames):,}"),
            Text((burst.captured_at or "").replace("T", " ")[:19]),
            render.score_text(burst.best.frame.score, scoring),
            Text(render.short_path(burst.best.path) + _because(burst)),
            Text(", ".join(others[:_OTHERS_SHOWN]) + more),
        )
    return table


def _because(burst: Burst) -> str:
    """Say behind the best frame why it is no matter of scores, if it is not."""
    if burst.marked_keep:
        return " (all marked keep)"
    return "" if burst.best.chosen_by is None else f" ({_shown(burst.best.chosen_by)})"


def _shown(text: str) -> str:
    from rali.photos.photo import display_path

    return display_path(text)


def _brief(path: str, beside: str) -> str:
    from rali_cli import render

    same_folder = os.path.dirname(path) == os.path.dirname(beside)
    return _shown(os.path.basename(path)) if same_folder else render.short_path(path)


def _print_json(found: Sequence[Burst], shown: Sequence[Burst], scoring: Scoring) -> None:
    from rali_cli import render

    summary = {
        "groups": len(found),
        "photos": sum(len(burst.frames) for burst in found),
        "kept_whole": sum(burst.kept_whole for burst in found),
    }
    groups = [_group_json(burst) for burst in shown]
    render.print_json({"model": render.model_json(scoring), "groups": groups, "summary": summary})


def _group_json(burst: Burst) -> dict[str, Any]:
    return {
        "kind": burst.kind,
        "kept_whole": burst.kept_whole,
        "captured_at": burst.captured_at,
        "photos": [
            {
                "path": frame.path,
                "score": frame.frame.score,
                "captured_at": frame.frame.captured_at,
                "camera": frame.frame.camera,
                "mark": frame.frame.mark,
                "chosen_by": frame.chosen_by,
                "copies": [file.path for file in frame.frame.files[1:]],
            }
            for frame in burst.frames
        ],
    }
