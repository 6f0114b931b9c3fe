"""``rali train``: a model of your own, from photos that you have rated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rali.config import load_settings
from rali_cli import options
from rali_cli.exit_codes import ExitCode
from rali_cli.progress import stop_on_signal, training_bar

if TYPE_CHECKING:
    from rali.agreement import Agreement
    from rali.evaluate import Labels
    from rali.training.train import Trained


def train(
    metas: Annotated[
        list[Path],
        typer.Argument(
            metavar="META.json",
            help="Lists of photos with human scores: image or img_path, and gt_score.",
            show_default=False,
        ),
    ],
    root: Annotated[Path, typer.Option("--root", help="The folder that the lists' names start from.")],
    output: Annotated[
        str, typer.Option("-o", "--output", help="The new model's name, or a path that ends in .safetensors.")
    ],
    model: options.Model = None,
    encoder: Annotated[
        bool, typer.Option("--encoder", help="Fine-tune the encoder too, not only the head. Takes much longer.")
    ] = False,
    epochs: Annotated[
        int, typer.Option("--epochs", min=1, max=1000, help="With --encoder: how often each photo is seen.")
    ] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides all that chance decides.")] = 0,
    recipe: options.Recipe = None,
    device: options.Device = None,
    workers: options.Workers = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the model that has this name.")] = False,
    even_if_worse: Annotated[
        bool, typer.Option("--even-if-worse", help="Store it even if it is worse than what it started from.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Make a model of your own: fine-tune one on photos that you have rated.

    A fifth of the photos is held out and tells what the new model is worth. Interrupted, it goes on where it stopped
    when it is run again.
    """
    from rali.evaluate import read_labels
    from rali.photos.photo import display_path
    from rali.training.bundles import target_of
    from rali.training.kept import Stopped
    from rali.training.rated import shown
    from rali.training.train import train as train_model
    from rali_cli import render

    settings = load_settings({"model": model, "recipe": recipe, "device": device, "workers": workers})
    target = target_of(output, force=force)
    labels = read_labels(metas, root)
    render.list_briefly("Missing", [display_path(image) for image in labels.missing])
    try:
        with stop_on_signal() as stop, training_bar() as on_step:
            trained = train_model(
                labels,
                target,
                settings,
                encoder=encoder,
                epochs=epochs,
                seed=seed,
                even_if_worse=even_if_worse,
                on_step=on_step,
                stop=stop,
            )
    except Stopped as stopped:
        render.notice("Interrupted: what was done is kept; run the same command again to go on.")
        raise typer.Exit(ExitCode.INTERRUPTED) from stopped
    render.list_briefly("Left out", shown(trained.failed))
    if as_json:
        _print_json(trained, labels)
    else:
        _print_table(trained)
    for notice in trained.notices:
        render.notice(notice)
    if trained.worse:
        stored = "it was stored all the same" if trained.info else "nothing was stored (--even-if-worse stores it)"
        render.notice(f"The new model ranks held-out photos worse than {trained.base.name} does: {stored}.")
    if trained.info is None:
        raise typer.Exit(ExitCode.ERROR)
    if trained.failed or labels.missing:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _print_json(trained: Trained, labels: Labels) -> None:
    from rali_cli import render

    failed = [
        {"image": image, "error_kind": failure.kind, "error": failure.message} for image, failure in trained.failed
    ]
    render.print_json(
        {
            "model": None if trained.info is None else render.info_json(trained.info),
            "base": render.info_json(trained.base),
            "photos": trained.photos,
            "held_out": trained.held_out,
            "before": _agreement_json(trained.before),
            "after": _agreement_json(trained.after),
            "worse": trained.worse,
            "notices": trained.notices,
            "log": str(trained.log),
            "missing": list(labels.missing),
            "failed": failed,
        }
    )


def _agreement_json(agreement: Agreement | None) -> dict[str, Any] | None:
    return None if agreement is None else {"srcc": asdict(agreement.srcc), "plcc": asdict(agreement.plcc)}


def _print_table(trained: Trained) -> None:
    from rich.table import Table

    from rali.photos.photo import display_path
    from rali_cli import render

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    sides = ((trained.base.name, trained.before), (trained.target.name, trained.after))
    for name, _ in sides:
        table.add_column(name, justify="right")
        table.add_column("95 % interval", style="dim")
    for measure in ("srcc", "plcc"):
        row: list[str] = []
        for _, agreement in sides:
            estimate = None if agreement is None else getattr(agreement, measure)
            row += (
                ["–", ""]
                if estimate is None
                else [f"{estimate.value:.3f}", f"{estimate.low:.3f} to {estimate.high:.3f}"]
            )
        table.add_row(measure.upper(), *row)
    out = render.console()
    out.print(table)
    out.print()
    out.print(f"On {trained.held_out:,} held-out photos; {trained.photos - trained.held_out:,} were learnt from")
    if trained.info is not None:
        out.print(f"{trained.info.name} ({trained.info.model_id}): {display_path(trained.info.path)}", soft_wrap=True)
    out.print(f"Every figure: {display_path(trained.log)}", soft_wrap=True)
    if trained.info is not None:
        found_by = trained.target.found_by
        always = f", or always: rali model default {found_by}" if found_by == trained.target.name else ""
        out.print(f"Use it with: rali score --model {display_path(found_by)} FOLDER{always}", soft_wrap=True)
