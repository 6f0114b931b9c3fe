"""``rali eval``: how well a model's scores agree with people's."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rali.config import load_settings
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.exit_codes import ExitCode
from rali_cli.progress import progress_bar, stop_on_signal

if TYPE_CHECKING:
    from rali.agreement import Agreement
    from rali.evaluate import Labels, Predictions

_ALL_WITH = "--json --allow-missing"


def evaluate(
    metas: Annotated[
        list[Path],
        typer.Argument(
            metavar="META.json",
            help="Lists of images with human scores: image or img_path, and gt_score.",
            show_default=False,
        ),
    ],
    root: Annotated[Path, typer.Option("--root", help="The folder that the lists' names start from.")],
    model: options.Model = None,
    recipe: options.Recipe = None,
    device: options.Device = None,
    engine: options.Engine = None,
    precision: options.Precision = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Evaluate the rest if images are missing or cannot be scored.")
    ] = False,
    db: options.Db = None,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print each image's score as CSV instead.")] = False,
) -> None:
    """Compare scores with people's: SRCC and PLCC, with 95 % intervals.

    Reads lists in the Data-DeQA-Score format. Only what has no score yet is scored.
    """
    from rali.agreement import measure
    from rali.errors import EvaluationError
    from rali.evaluate import predict, read_labels
    from rali.photos.photo import display_path
    from rali_cli import render

    output = render.choose_output(as_json=as_json, as_csv=as_csv)
    settings = load_settings(
        {"db": db, "model": model, "recipe": recipe, "device": device, "engine": engine, "precision": precision}
    )
    labels = read_labels(metas, root)
    total = len(labels.images) + len(labels.missing)
    render.list_briefly("Missing", [display_path(image) for image in labels.missing], all_with=_ALL_WITH)
    if labels.missing and not allow_missing:
        raise EvaluationError(
            f"{len(labels.missing):,} of {total:,} images are not below {display_path(root)}: check --root, or "
            "evaluate the rest with --allow-missing"
        )
    with open_catalog(settings.db, create=True) as catalog, stop_on_signal() as stop, progress_bar() as on_progress:
        predictions = predict(labels, catalog, settings, on_progress=on_progress, stop=stop)
    if predictions.run.interrupted:
        render.notice("Interrupted: what was scored is stored; run the same command again to go on.")
        raise typer.Exit(ExitCode.INTERRUPTED)
    render.list_briefly(
        "Failed",
        [f"{display_path(i.image)} ({failure.kind}: {failure.message})" for i, failure in predictions.failed],
        all_with=_ALL_WITH,
    )
    if predictions.failed and not allow_missing:
        raise EvaluationError(
            f"{len(predictions.failed):,} of {total:,} images cannot be scored: evaluate the rest with --allow-missing"
        )
    scores = [score for _, score in predictions.scored]
    agreement = measure([image.gt_score for image, _ in predictions.scored], scores)
    if output is render.Output.CSV:
        _print_csv(predictions)
    elif output is render.Output.JSON:
        _print_json(agreement, labels, predictions)
    else:
        _print_table(agreement, labels, predictions)


def _print_csv(predictions: Predictions) -> None:
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # names keep their bytes
    writer = csv.writer(sys.stdout)
    writer.writerow(["image", "gt_score", "score"])
    writer.writerows((image.image, image.gt_score, score) for image, score in predictions.scored)


def _print_json(agreement: Agreement, labels: Labels, predictions: Predictions) -> None:
    from rali_cli import render

    failed = [
        {"image": image.image, "error_kind": failure.kind, "error": failure.message}
        for image, failure in predictions.failed
    ]
    model = render.model_json(predictions.scoring)
    render.print_json({**asdict(agreement), "model": model, "missing": list(labels.missing), "failed": failed})


def _print_table(agreement: Agreement, labels: Labels, predictions: Predictions) -> None:
    from rich.table import Table

    from rali_cli import render

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", style="dim")
    for name, estimate in (
        ("SRCC", agreement.srcc),
        ("PLCC", agreement.plcc),
        ("PLCC, logistic fit", agreement.plcc_logistic),
    ):
        if estimate.value is None:
            table.add_row(name, "–", "no rising curve fits")
        else:
            table.add_row(name, f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}")
    out = render.console()
    out.print(table)
    out.print()
    left_out = f"; {len(labels.missing):,} missing, {len(predictions.failed):,} failed"
    out.print(f"{agreement.n:,} images{left_out if labels.missing or predictions.failed else ''}")
    scoring = predictions.scoring
    out.print(f"Model {scoring.model_name} ({scoring.model_id}), recipe {scoring.recipe}")
