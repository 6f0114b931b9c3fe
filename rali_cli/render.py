"""How answers look: tables for people; JSON, CSV and NUL-ended paths for programs.

What is data goes to stdout, everything else to stderr. Paths come from strangers' cameras and downloads: in tables they
are escaped, never interpreted as markup; in JSON, bytes that are not UTF-8 are surrogates (``os.fsencode`` undoes it).
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rali.catalog.records import Scoring
from rali.errors import UsageError
from rali.listing import RankedPhoto
from rali.model.bundle import BundleInfo
from rali.photos.photo import display_path
from rali.rank import Bin

_BAR = "█"
_BAR_WIDTH = 40
_LISTED = 20
_UNFOLDED = 10_000  # cells
_NARROW = 80  # cells; below it a table of photos leaves out the time rather than fold everything else
# fmt: off
_CSV_FIELDS = [
    "path", "score", "percentile", "status", "error_kind", "error", "width", "height", "format", "captured_at",
    "camera", "size_bytes", "scored_at", "model", "model_id", "recipe", "why", "why_margin",
]
# fmt: on


class Output(Enum):
    """The form of an answer."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PATHS = "paths"


def choose_output(*, as_json: bool, as_csv: bool, as_paths: bool = False) -> Output:
    """Turn the three flags into one form.

    Raises:
        UsageError: more than one was given.
    """
    chosen = [
        output for output, given in ((Output.JSON, as_json), (Output.CSV, as_csv), (Output.PATHS, as_paths)) if given
    ]
    if len(chosen) > 1:
        raise UsageError("use one of --json, --csv and -0")
    return chosen[0] if chosen else Output.TABLE


def console() -> Console:
    """Make a console on stdout that interprets nothing in what it prints.

    In a file or a pipe no line is folded, unless COLUMNS asks for it: half of a name cannot be searched for.
    """
    folds = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(highlight=False, markup=False, emoji=False, width=None if folds else _UNFOLDED)


def notice(message: str) -> None:
    """Print a line for people on stderr."""
    print(message, file=sys.stderr)


def list_briefly(title: str, lines: Sequence[str], *, all_with: str = "--json") -> None:
    """Tell people the first 20 of ``lines``, and what names them all."""
    for line in lines[:_LISTED]:
        notice(f"{title}: {line}")
    if len(lines) > _LISTED:
        notice(f"{title}: ... and {len(lines) - _LISTED:,} more; {all_with} names them all")


def short_path(path: str | os.PathLike[str]) -> str:
    """Show a path relative to the current folder where it lies below it, safe to print."""
    absolute, here = os.fspath(path), os.getcwd().rstrip(os.sep) + os.sep
    return display_path(absolute.removeprefix(here))


def counted(count: int, noun: str) -> str:
    """Say how many: ``1 photo``, ``2,000 photos``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def format_size(size_bytes: int) -> str:
    """Show a size to three digits: ``24.3 MB``."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 999.5 or unit == "PB":
            break
    return f"{size:.0f} {unit}" if size >= 99.95 else f"{size:.1f} {unit}"


# --- for programs --------------------------------------------------------------------------------------------------


def model_json(scoring: Scoring) -> dict[str, Any]:
    """Describe what scores were made by."""
    return {
        "name": scoring.model_name,
        "id": scoring.model_id,
        "recipe": scoring.recipe,
        "score_low": scoring.score_low,
        "score_high": scoring.score_high,
    }


def info_json(info: BundleInfo) -> dict[str, Any]:
    """Describe a model."""
    return {
        "name": info.name,
        "title": info.title,
        "id": info.model_id,
        "encoder": dict(info.architecture["encoder"]),
        "head": dict(info.architecture["head"]),
        "parameters": info.parameters,
        "precision": info.precision,
        "preprocessing": info.preprocessing.to_json(),
        "size_bytes": info.size_bytes,
        "score_low": info.score_low,
        "score_high": info.score_high,
        "score_meaning": info.score_meaning,
        "licence": info.licence,
        "source": info.source,
        "training_data": info.training_data,
        "weights_sha256": info.weights_sha256,
        "path": os.fspath(info.path),
    }


def photo_json(photo: RankedPhoto, status: str) -> dict[str, Any]:
    """Describe one photo; ``score`` and ``percentile`` are null for a failure, ``error`` for all others.

    ``why`` is null where the model has no words for the photo.
    """
    record = photo.record
    return {
        "path": os.fspath(record.path),
        "score": record.score if status != "failed" else None,
        "percentile": None if photo.percentile is None else round(photo.percentile, 3),
        "status": status,
        "error": record.failure_message,
        "error_kind": record.failure_kind,
        "width": record.width,
        "height": record.height,
        "format": record.format,
        "captured_at": record.captured_at,
        "camera": record.camera,
        "size_bytes": record.size_bytes,
        "companions": list(record.companions),
        "notes": record.notes,
        "scored_at": record.scored_at,
        "why": None if photo.why is None else photo.why.text,
        "why_margin": None if photo.why is None else round(photo.why.margin, 3),
    }


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document, in ASCII, so that any file name survives any pipe; of a list, an entry a line.

    A list may be an iterator: each entry is printed as soon as it is there.
    """
    # json's own indenting is done in Python, and takes three seconds for 50,000 photos.
    sys.stdout.write("{")
    for number, (key, value) in enumerate(document.items()):
        sys.stdout.write(f"{',' if number else ''}\n {json.dumps(key)}: ")
        if isinstance(value, list | Iterator):
            before = "["
            for entry in value:
                sys.stdout.write(f"{before}\n  {json.dumps(entry, allow_nan=False)}")
                before = ","
            sys.stdout.write("[]" if before == "[" else "\n ]")
        else:
            sys.stdout.write(json.dumps(value, allow_nan=False))
    sys.stdout.write("\n}\n")


def print_csv(photos: Iterable[dict[str, Any]], scoring: Scoring) -> None:
    """Print photos as RFC 4180 CSV with a header line."""
    # A name that is not UTF-8 keeps its bytes, and the csv module writes its own line ends.
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")  # type: ignore[union-attr]
    writer = csv.DictWriter(sys.stdout, _CSV_FIELDS, extrasaction="ignore")
    writer.writeheader()
    made_by = {"model": scoring.model_name, "model_id": scoring.model_id, "recipe": scoring.recipe}
    writer.writerows({**photo, **made_by} for photo in photos)


def print_paths(photos: Iterable[RankedPhoto]) -> None:
    """Print the paths of photos that are there, see :func:`print_path_bytes`."""
    print_path_bytes(photo.record.path for photo in photos)


def print_path_bytes(paths: Iterable[str | os.PathLike[str]]) -> None:
    """Print paths as raw bytes, each ended by NUL, for ``xargs -0``; what is not there any more is left out."""
    sys.stdout.flush()
    for path in paths:
        if os.path.lexists(path):  # what reads this is about to act on files
            sys.stdout.buffer.write(os.fsencode(path) + b"\0")
    sys.stdout.buffer.flush()


# --- for people ----------------------------------------------------------------------------------------------------


def titled_table(title: str) -> Table:
    """Make an empty table as all of rali's with a title are."""
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")


def rule_table(title: str, kept: Iterable[tuple[str, str, str]], *, why: str) -> Table:
    """Make a table of photos that a rule keeps as they are: rule, path and details of each.

    Args:
        why: heading of the details.
    """
    table = titled_table(title)
    table.add_column("rule", style="yellow", no_wrap=True)
    table.add_column("photo", overflow="fold")
    table.add_column(why, style="dim", overflow="fold")
    for rule, path, detail in kept:
        table.add_row(Text(display_path(rule)), Text(short_path(path)), Text(display_path(detail)))
    return table


def photo_table(photos: Sequence[RankedPhoto], scoring: Scoring, *, title: str) -> Table:
    """Make a table of scored photos, with a column for why if there is anything to say in it."""
    with_why = any(photo.why is not None for photo in photos)
    with_time = not with_why or console().width >= _NARROW
    table = titled_table(title)
    table.add_column("score", justify="right")
    table.add_column("pct", justify="right", style="dim")
    table.add_column("photo", overflow="fold")
    if with_time:
        table.add_column("taken", style="dim", no_wrap=True)
    if with_why:
        table.add_column("why", overflow="fold")
    for photo in photos:
        score = photo.record.score
        cells = [
            score_text(score, scoring),
            Text("–" if photo.percentile is None else f"{photo.percentile:.0f}"),
            Text(_with_companions(photo)),
        ]
        if with_time:
            cells.append(Text((photo.record.captured_at or "").replace("T", " ")[:16]))
        if with_why:
            cells.append(Text("" if photo.why is None else photo.why.text))
        table.add_row(*cells)
    return table


def failure_table(photos: Sequence[RankedPhoto], *, title: str) -> Table:
    """Make a table of failures with their reasons."""
    table = titled_table(title)
    table.add_column("why", style="red", no_wrap=True)
    table.add_column("photo", overflow="fold")
    table.add_column("what is wrong", style="dim", overflow="fold")
    for photo in photos:
        record = photo.record
        table.add_row(
            Text(record.failure_kind or ""), Text(short_path(record.path)), Text(record.failure_message or "")
        )
    return table


def histogram_lines(bins: Sequence[Bin], scoring: Scoring) -> list[Text]:
    """Draw a histogram, one line a bar, best on top."""
    most = max([bar.count for bar in bins], default=0) or 1
    lines = []
    for bar in reversed(bins):
        length = round(_BAR_WIDTH * bar.count / most)
        line = Text(f"{scoring.edge_text(bar.low):>6} to {scoring.edge_text(bar.high):<6} ", style="dim")
        line.append(_BAR * max(length, 1 if bar.count else 0), style=_score_style((bar.low + bar.high) / 2, scoring))
        line.append(f" {bar.count:,}" if bar.count else "", style="default")
        lines.append(line)
    return lines


def score_text(score: float | None, scoring: Scoring) -> Text:
    """Show a score in its colour, or a dash."""
    return Text("–" if score is None else scoring.text(score), style=_score_style(score, scoring))


def _score_style(score: float | None, scoring: Scoring) -> str:
    if score is None:
        return "dim"
    return ("red", "yellow", "green")[scoring.level(score)]


def _with_companions(photo: RankedPhoto) -> str:
    gone = "" if os.path.lexists(photo.record.path) else "  [not there now]"
    return with_companions(short_path(photo.record.path), photo.record.companions) + gone


def with_companions(shown: str, companions: Sequence[str]) -> str:
    """Say behind a photo's name what else its shot consists of, by suffix: ``IMG_1.JPG (+CR3 xmp)``."""
    suffixes = [os.path.splitext(name)[1].removeprefix(".") for name in companions]
    return shown + display_path(f" (+{' '.join(suffixes)})" if suffixes else "")
