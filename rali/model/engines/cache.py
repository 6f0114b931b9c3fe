"""Encoders that an engine has converted, on disk: made once, found by what they were made from.

An entry is a folder with the engine's files and ``entry.json``, their sizes and SHA-256. It is filled under another
name and appears by one rename, so it is whole or not there; of two processes that make it at once, the first wins.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rali.config import cache_folder
from rali.errors import DeviceError

# A ViT-L/14 takes 600 MB: keep what somebody who tries models goes back and forth between.
MOST_ENTRIES = 4
UNUSED_DAYS = 60
_LEFTOVER_DAYS = 1
_NOTE = "entry.json"


def entries_folder() -> Path:
    """Folder that holds the entries."""
    return cache_folder() / "engines"


def cached(key: str) -> Path | None:
    """Return the entry's folder if it is there and every byte is what was written; note that it was used."""
    folder = entries_folder() / key
    try:
        noted = json.loads((folder / _NOTE).read_bytes())
        sound = bool(noted) and all(_sha256(folder / name) == sha256 for name, sha256 in noted.items())
    except (OSError, ValueError, AttributeError):
        return None
    if not sound:
        return None
    _note_use(folder)
    return folder


def is_there(key: str) -> bool:
    """Tell if there is an entry, without reading it."""
    return (entries_folder() / key / _NOTE).is_file()


def cached_or_made(key: str, make: Callable[[Path], None]) -> Path:
    """Return the entry's folder; where it is missing or damaged, have ``make`` fill a new one.

    Args:
        key: of what the entry is made; letters, digits, ``-`` and ``.``.
        make: writes the entry's files into the folder that it is given.

    Raises:
        DeviceError: the cache cannot be written.
    """
    found = cached(key)
    if found is not None:
        return found
    target = entries_folder() / key
    partial = target.with_name(f"{key}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        make(partial)
        noted = {path.name: _sha256(path) for path in sorted(partial.iterdir())}
        (partial / _NOTE).write_text(json.dumps(noted), encoding="utf-8")
        _publish(partial, target)
    except OSError as error:
        raise DeviceError(
            f"{target.parent} cannot be written ({error.strerror or error}): free some space, set RALI_CACHE to "
            "another folder, or use --engine torch"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _prune(keep=target)
    return target


def _publish(partial: Path, target: Path) -> None:
    """Give a finished entry its name, unless another process was faster; a damaged one makes way."""
    damaged = target.with_name(f"{target.name}.{os.getpid()}.damaged")
    try:
        partial.rename(target)
    except OSError:
        if cached(target.name) is not None:
            return
        with suppress(FileNotFoundError):  # another process moves it too
            target.rename(damaged)
        try:
            partial.rename(target)
        except OSError:
            if cached(target.name) is None:
                raise
        finally:
            shutil.rmtree(damaged, ignore_errors=True)


def _prune(*, keep: Path) -> None:
    """Drop what has not been used for long, what is beyond the number that is kept, and what killed processes left."""
    now_s = time.time()
    entries: list[tuple[float, Path]] = []
    for folder in entries_folder().iterdir():
        try:
            unused_days = (now_s - (folder / _NOTE if is_there(folder.name) else folder).stat().st_mtime) / 86_400
        except OSError:  # another process was faster
            continue
        if folder.suffix in (".partial", ".damaged"):
            if unused_days > _LEFTOVER_DAYS:
                shutil.rmtree(folder, ignore_errors=True)
        elif folder != keep:
            entries.append((unused_days, folder))
    for rank, (unused_days, folder) in enumerate(sorted(entries), start=2):  # the one that was just made is the first
        if rank > MOST_ENTRIES or unused_days > UNUSED_DAYS:
            shutil.rmtree(folder, ignore_errors=True)


def _note_use(folder: Path) -> None:
    with suppress(OSError):  # a cache that cannot be written can still be read
        os.utime(folder / _NOTE)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
