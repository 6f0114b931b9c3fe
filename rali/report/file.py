"""The report's file: written whole or not at all, and never over anything that is not a report."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from rali.errors import PathError, UsageError
from rali.photos.photo import PHOTO_SUFFIXES, display_path
from rali.photos.sniff import sniff
from rali.report.html import START

_SNIFFED_BYTES = 64 * 1024


def save_report(html: str, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a report: all of the file, or nothing of it.

    Args:
        force: take the place of a file that is no report of rali's; of a photo never.

    Raises:
        UsageError: there is something else at ``path``.
        PathError: it cannot be written.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name[:200]}.{os.getpid()}.partial")
    try:
        check_target(target, force=force)
        try:
            with partial.open("x", encoding="utf-8", newline="\n") as file:
                file.write(html)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
    except OSError as error:
        raise PathError(f"the report {display_path(target)} cannot be written: {error.strerror or error}") from error


def check_target(target: Path, *, force: bool) -> None:
    """Make sure that a report may be written to ``target``.

    Raises:
        UsageError: what is there would be lost, or it has a photo's name.
        PathError: there is no folder to write it into, or what is there cannot be read.
    """
    shown = display_path(target)
    if target.suffix.lower() in PHOTO_SUFFIXES:
        raise UsageError(f"{shown} is a photo's name; give the report another, say report.html")
    if target.is_dir():
        raise UsageError(f"{shown} is a folder; name a file in it, say {display_path(target / 'report.html')}")
    if not target.parent.is_dir():
        raise PathError(f"there is no folder {display_path(target.parent)}; make it first")
    if not os.path.lexists(target):
        return
    try:
        with target.open("rb") as file:
            start = file.read(_SNIFFED_BYTES)
    except OSError as error:
        raise PathError(f"{shown} is there and cannot be read: {error.strerror or error}; give another name") from error
    if start.startswith(START.encode()):
        return
    if sniff(start) is not None:
        raise UsageError(f"{shown} is a photo, which rali never writes over; give another name")
    if not force:
        raise UsageError(f"{shown} is no report of rali's, so it was left alone; give another name, or --force")
