"""``rali model``: which models there are, getting one, knowing one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from rali.config import StoredPrecision, load_settings
from rali.errors import DamagedModelError, UsageError
from rali_cli import options
from rali_cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from rali.model.gate import Measured

app = typer.Typer(help="Get, list, check and choose models.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="A model's name, a bundle, or a release folder.", show_default=False)]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="Of the weights on disk: float16, bfloat16 or float32.")
]


@app.command("list")
def list_models(as_json: options.AsJson = False) -> None:
    """List the models that can be used by name."""
    from rali.config import default_model
    from rali.model.bundle import read_info
    from rali.model.registry import available_models
    from rali_cli import render

    infos, damaged = {}, {}
    for name, path in available_models().items():
        try:
            infos[name] = read_info(path)
        except DamagedModelError as error:
            damaged[name] = str(error)
    if as_json:
        render.print_json(
            {
                "default": default_model(),
                "models": [render.info_json(info) | {"name": n} for n, info in infos.items()],
                "damaged": damaged,
            }
        )
        return
    out = render.console()
    for name, info in infos.items():
        mark = "*" if name == default_model() else " "
        out.print(f"{mark} {name:<16} {info.size_bytes / 1e6:>8.1f} MB  {info.title}", soft_wrap=True)
    for name, reason in damaged.items():
        out.print(f"  {name:<16} damaged: {reason}", soft_wrap=True)
    out.print("* is used where no --model is given; choose with: rali model default NAME")


@app.command("info")
def info(name: Name, as_json: options.AsJson = False) -> None:
    """Show what a model is: architecture, size, score scale, licence, source."""
    from rali.model.registry import find_model
    from rali_cli import render

    found = render.info_json(find_model(name))
    if as_json:
        render.print_json(found)
        return
    out = render.console()
    for key, value in found.items():
        words = ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, dict) else value
        out.print(f"{key:<16} {words}", soft_wrap=True)


@app.command("verify")
def verify(
    name: Annotated[str | None, typer.Argument(help="The default model if none.")] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            "--photos", metavar="DIR", help="On up to 500 photos below this, instead of pictures made in code."
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Score the same pictures in every way this machine can; show how far off and how fast each is.

    The fastest that is good enough is used from then on.
    """
    from rali.model.choice import best_way, remembered
    from rali.model.registry import find_model
    from rali.model.verify import is_sound, verify_model
    from rali.model.ways import asked_way
    from rali.sample import sample_pixels
    from rali_cli import render

    settings = load_settings()
    found = find_model(name or settings.model)
    pixels = None if photos is None else sample_pixels(photos, found, settings)
    results: list[Measured] = []
    out = render.console()
    if not as_json:
        out.print(f"{found.name} ({found.model_id}), scores {found.score_low:g} to {found.score_high:g}")
        out.print("engine    device  precision  photos  photos/s  points off  % of scale   SRCC")
    for result in verify_model(found, pixels):
        results.append(result)
        if not as_json:
            out.print(_verified_line(result, "BAD" if not is_sound(result) else result.verdict), soft_wrap=True)
    if as_json:
        render.print_json({"results": [_verified_json(result) for result in results]})
    elif asked_way(settings) is None:
        out.print(f"Taken from now on: {best_way(found, settings, remembered(found))}")
    if not all(map(is_sound, results)):
        render.notice("rali: float32 is wrong on this machine: do not trust its scores; run: rali doctor")
        raise typer.Exit(ExitCode.ERROR)


def _verified_line(result: Measured, verdict: str) -> str:
    way = result.way
    start = f"{way.engine:<9} {way.device:<7} {way.precision:<10}"
    if result.problem:
        return f"{start} {result.problem}"
    srcc = "-" if result.srcc is None else f"{result.srcc:.5f}"
    return (
        f"{start} {result.photos:>6}  {result.photos_per_s:>8.1f}  {result.largest_change:>10.5f}"
        f"  {100 * result.largest_share:>10.4f}  {srcc:>7}  {verdict}"
    )


def _verified_json(result: Measured) -> dict[str, Any]:
    finite = math.isfinite(result.largest_change)
    return {
        "engine": result.way.engine,
        "device": result.way.device,
        "precision": result.way.precision,
        "photos": result.photos,
        "photos_per_second": round(result.photos_per_s, 2),
        "largest_change": result.largest_change if finite else None,
        "largest_share": result.largest_share if finite else None,
        "srcc": result.srcc,
        "passed": result.passed,
        "problem": result.problem or None,
    }


@app.command("default")
def default(name: Annotated[str | None, typer.Argument(help="A name; shows the present one if none.")] = None) -> None:
    """Choose the model that is used where no --model is given."""
    from rali.config import default_model, set_default_model
    from rali.errors import UnknownModelError
    from rali.model.registry import available_models
    from rali_cli import render

    if name is not None:
        if name not in available_models():
            raise UnknownModelError(f"there is no model {name!r}; see: rali model list")
        set_default_model(name)
    render.console().print(default_model())


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="An imported model.", show_default=False)]) -> None:
    """Delete an imported model's files; scores by it stay in the catalog."""
    from rali.model.importer import remove_model
    from rali_cli import render

    remove_model(name)
    render.console().print(f"Removed {name}.")


@app.command("import")
def import_folder(
    folder: Annotated[Path, typer.Argument(help="ckpt.pt, pca.pkl, basis.npz and best/.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; the folder's name if not given.")] = None,
    precision: PrecisionOption = "float16",
) -> None:
    """Turn a release folder into one file that loads fast and runs without the folder."""
    from rali.model.importer import import_checkpoint
    from rali_cli import render

    bundle = import_checkpoint(folder, name=name, precision=_precision(precision))
    out = render.console()
    out.print(
        f"Imported {bundle.name} ({bundle.model_id}), {bundle.size_bytes / 1e6:,.1f} MB: {bundle.path}", soft_wrap=True
    )
    out.print(f"Use it with: rali score --model {bundle.name} FOLDER, or always: rali model default {bundle.name}")


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(help="rali: the authors' release, about 3.4 GB.")] = "rali",
    precision: PrecisionOption = "float16",
    revision: Annotated[
        str | None, typer.Option("--revision", help="A commit or tag of the hub's; else the latest.")
    ] = None,
) -> None:
    """Fetch a released model from the Hugging Face hub, check it, import it, and make it the default.

    Interrupted, it goes on where it stopped when it is run again.
    """
    from rali.model.pull import pull_release
    from rali_cli import render
    from rali_cli.progress import pull_bar

    with pull_bar() as on_progress:
        bundle = pull_release(name=name, precision=_precision(precision), revision=revision, on_progress=on_progress)
    out = render.console()
    out.print(f"{bundle.name} ({bundle.model_id}) is ready, and the default: {bundle.path}", soft_wrap=True)
    out.print(bundle.source, soft_wrap=True)


def _precision(text: str) -> StoredPrecision:
    for precision in get_args(StoredPrecision):
        if text == precision:
            return precision  # type: ignore[no-any-return]
    raise UsageError(f"--precision: {text!r} is none; use {', '.join(get_args(StoredPrecision))}")
