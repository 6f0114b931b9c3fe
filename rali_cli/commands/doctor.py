"""``rali doctor``: what is installed, what it can use, whether the model and the catalog are sound."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from rali.config import load_settings
from rali_cli import options
from rali_cli.answering import open_catalog
from rali_cli.exit_codes import ExitCode


def doctor(
    repair: Annotated[
        bool, typer.Option("--repair", help="Set a damaged catalog aside, under another name, and begin a new one.")
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure which engine and precision is the fastest, and remember it.")
    ] = False,
    db: options.Db = None,
    model: options.Model = None,
    recipe: options.Recipe = None,
    device: options.Device = None,
    engine: options.Engine = None,
    precision: options.Precision = None,
    as_json: options.AsJson = False,
) -> None:
    """Check versions, devices, model, engine and catalog; exit with 1 if something is wrong."""
    from rali.errors import CatalogError
    from rali.health import examine
    from rali_cli import render

    settings = load_settings(
        {"db": db, "model": model, "recipe": recipe, "device": device, "engine": engine, "precision": precision}
    )
    # What is wrong with the catalog itself is a finding, below.
    with suppress(CatalogError), open_catalog(settings.db):
        pass
    findings = examine(settings, repair=repair, measure=measure)
    if as_json:
        render.print_json({"findings": [vars(finding) for finding in findings]})
    else:
        out = render.console()
        for finding in findings:
            mark = "ok  " if finding.ok else "BAD "
            out.print(f"{mark}{finding.subject:<14} {finding.detail}", soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(ExitCode.ERROR)
