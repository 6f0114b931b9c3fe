"""``rali score``: bring a folder's scores up to date and show the worst and the best."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rali.config import EMBEDDED_MODEL, load_settings
from rali_cli import options
from rali_cli.answering import explained, open_catalog
from rali_cli.exit_codes import ExitCode
from rali_cli.progress import progress_bar, stop_on_signal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rali.listing import RankedPhoto, Ranking, Wanted
    from rali.pipeline import Run

_SHOWN = 5
_BARS = 10
_FAILURES_SHOWN = 20


def score(
    paths: options.Paths,
    model: options.Model = None,
    recipe: options.Recipe = None,
    device: options.Device = None,
    engine: options.Engine = None,
    precision: options.Precision = None,
    pairs: options.Pairs = None,
    include: options.Include = None,
    exclude: options.Exclude = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Look again at photos that failed.")] = False,
    workers: options.Workers = None,
    limit_px: Annotated[
        int | None, typer.Option("--limit-px", help="Refuse photos with more pixels. [env: RALI_LIMIT_PX]")
    ] = None,
    db: options.Db = None,
    as_json: options.AsJson = False,
    as_csv: options.AsCsv = False,
) -> None:
    """Score the photos below PATHS; show the worst and the best.

    Only what is new or changed is read. Ctrl-C keeps what is done; the next run goes on from there.
    """
    from rali.listing import Wanted, rank_photos
    from rali.pipeline import score_photos
    from rali_cli import render

    output = render.choose_output(as_json=as_json, as_csv=as_csv)
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
            "limit_px": limit_px,
        }
    )
    with open_catalog(settings.db, create=True) as catalog, stop_on_signal() as stop:
        with progress_bar() as on_progress:
            run = score_photos(
                paths,
                catalog,
                settings,
                include=include or (),
                exclude=exclude or (),
                retry_failed=retry_failed,
                on_progress=on_progress,
                stop=stop,
            )
        for line in run.notices:
            render.notice(line)
        if run.interrupted and not catalog.count_listed(run.scope):
            raise typer.Exit(ExitCode.INTERRUPTED)
        ranking = rank_photos(catalog, run.scoring, run.scope, bars=_BARS)
        if output is render.Output.TABLE:
            _print_tables(run, ranking)
        else:
            listed = chain(_each(run, ranking, Wanted()), ranking.failures())
            photos = (render.photo_json(photo, _status(photo, run)) for photo in listed)
            if output is render.Output.CSV:
                render.print_csv(photos, run.scoring)
            else:
                summary = _summary(run, ranking)
                render.print_json({"model": render.model_json(run.scoring), "photos": photos, "summary": summary})
    if run.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)
    if ranking.failed or run.unreadable:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _each(run: Run, ranking: Ranking, wanted: Wanted) -> Iterator[RankedPhoto]:
    return explained(ranking.catalog, run.scoring, ranking.each(wanted), model=str(run.info.path))


def _status(photo: RankedPhoto, run: Run) -> str:
    if photo.record.failure_kind is not None:
        return "failed"
    return "scored" if str(photo.record.path) in run.scored else "cached"


def _summary(run: Run, ranking: Ranking) -> dict[str, Any]:
    return {
        "photos": run.found,
        "scored": len(run.scored),
        "cached": run.cached,
        "failed": len(ranking.failed),
        "interrupted": run.interrupted,
        "seconds": round(run.scoring_s, 3),
        "photos_per_second": round(_rate(run), 2),
        "ignored": dict(run.ignored),
        "unreadable": run.unreadable,
    }


def _print_tables(run: Run, ranking: Ranking) -> None:
    from rali.listing import Wanted
    from rali.photos.photo import display_path, shell_word
    from rali_cli import render

    out = render.console()
    scoring = run.scoring
    if ranking.scored:
        for line in render.histogram_lines(ranking.bars, scoring):
            out.print(line)
        out.print()
        if ranking.scored <= _SHOWN:
            out.print(render.photo_table(list(_each(run, ranking, Wanted("worst"))), scoring, title="Worst first"))
        else:
            out.print(render.photo_table(list(_each(run, ranking, Wanted("worst", _SHOWN))), scoring, title="Worst"))
            out.print()
            out.print(render.photo_table(list(_each(run, ranking, Wanted("best", _SHOWN))), scoring, title="Best"))
        out.print()
    if ranking.failed:
        out.print(render.failure_table(ranking.failures(_FAILURES_SHOWN), title="Failed"))
        if len(ranking.failed) > _FAILURES_SHOWN:
            where = " ".join(map(shell_word, ranking.scope.roots))
            unseen = len(ranking.failed) - _FAILURES_SHOWN
            out.print(f"... and {unseen:,} more: rali list {where} --failed", soft_wrap=True)
        out.print()
    for path, reason in run.unreadable.items():
        render.notice(f"Not readable: {render.short_path(path)} ({reason})")
    rate = f", {_rate(run):.1f} photos/s" if run.scored else ""
    out.print(
        f"{render.counted(run.found, 'photo')}: {len(run.scored):,} scored, {run.cached:,} cached, "
        f"{len(ranking.failed):,} failed{rate}"
    )
    out.print(f"Model {scoring.model_name} ({scoring.model_id}), recipe {scoring.recipe}")
    out.print(f"Scores: {run.info.score_meaning}")
    if run.info.name == EMBEDDED_MODEL:
        out.print("For the full RALI model instead of this small one: rali model pull rali", soft_wrap=True)
    if run.ignored:
        kinds = ", ".join(
            f"{count:,} {display_path(suffix) or 'without suffix'}" for suffix, count in run.ignored.most_common(5)
        )
        more = ", and others" if len(run.ignored) > 5 else ""
        out.print(f"Other files, left alone: {kinds}{more}")
    if run.interrupted:
        left = run.found - len(run.scored) - run.cached - run.failed
        render.notice(
            f"Interrupted, {render.counted(left, 'photo')} to go: what was scored is stored; run it again to go on."
        )


def _rate(run: Run) -> float:
    return len(run.scored) / run.scoring_s if run.scoring_s else 0.0
