"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Paths = Annotated[list[Path], typer.Argument(help="Folders, and single photos.", show_default=False)]
SomePaths = Annotated[
    list[Path] | None, typer.Argument(help="Folders, and single photos; all that the catalog knows if none.")
]
Db = Annotated[Path | None, typer.Option("--db", help="The catalog's file. [env: RALI_DB]", show_default=False)]
Model = Annotated[
    str | None, typer.Option("--model", help="Model name, or path of a bundle. [env: RALI_MODEL]", show_default=False)
]
Recipe = Annotated[
    str | None,
    typer.Option("--recipe", help="exact: full decode, float32. fast: the default. [env: RALI_RECIPE]"),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda or mps. [env: RALI_DEVICE]", show_default=False)
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", help="auto, torch or openvino. [env: RALI_ENGINE]", show_default=False),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        help="Of the encoder: auto, float32, float16, bfloat16, int8. [env: RALI_PRECISION]",
        show_default=False,
    ),
]
Pairs = Annotated[
    str | None,
    typer.Option(
        "--pairs",
        help="together: a RAW and its JPEG are one shot (default). each: score every file. [env: RALI_PAIRS]",
    ),
]
Workers = Annotated[
    int | None, typer.Option("--workers", help="Decoding processes; 0: one a core. [env: RALI_WORKERS]")
]
ShownModel = Annotated[
    str | None,
    typer.Option("--model", help="Scores of this model; of the one used last if not given.", show_default=False),
]
ShownRecipe = Annotated[
    str | None,
    typer.Option("--recipe", help="Scores of this recipe, exact or fast; of the one used last if not given."),
]
Include = Annotated[list[str] | None, typer.Option("--include", help="Only photos that match this glob. Repeatable.")]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="Leave out what matches this glob. Repeatable.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Taken at this time or later: 2026, 2026-05, 2026-05-01T12:00.")
]
Until = Annotated[str | None, typer.Option("--until", help="Taken at this time or earlier; a day counts whole.")]
Stars = Annotated[
    str | None,
    typer.Option("--stars", metavar="N", help="With so many stars: 4, 4+, 3-4, 0 for unrated, -1 for rejected."),
]
Label = Annotated[str | None, typer.Option("--label", help="With this label; none: without one.")]
NoProtect = Annotated[
    list[str] | None,
    typer.Option(
        "--no-protect",
        metavar="RULE",
        help="Let go what a rule protects: keep, rating, label, pick, develop, unreadable, failed, group. Repeatable.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing, however much would go.")]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="The quarantine; otherwise one beside the folder.", show_default=False),
]
Copy = Annotated[bool, typer.Option("--copy", help="Copy; the originals stay where they are.")]
HardLink = Annotated[bool, typer.Option("--hardlink", help="Link instead of copying; the originals stay.")]
ToTrash = Annotated[bool, typer.Option("--to-trash", help="Then hand the run's folder to the system's bin.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
AsPaths = Annotated[bool, typer.Option("-0", "--print0", help="Print paths alone, each ended by a NUL byte.")]
