"""What the user decides about photos by hand: keep, reject, or nothing any more."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from rali.catalog.catalog import Catalog
from rali.catalog.records import HeldContent, Mark
from rali.photos.photo import PHOTO_SUFFIXES, display_path, shell_word


class Refusal(NamedTuple):
    """A path that was not marked, and why: one line that says what to do."""

    path: str
    reason: str


@dataclass(frozen=True)
class MarkResult:
    """What became of the paths that were to be marked.

    Attributes:
        marked: absolute paths of the photos, each once: for a companion the photo that is scored for its shot.
        refused: the other paths, as they were given.
    """

    marked: tuple[str, ...]
    refused: tuple[Refusal, ...]


def mark_photos(catalog: Catalog, paths: Iterable[str | os.PathLike[str]], mark: Mark | None) -> MarkResult:
    """Mark photos ``keep`` or ``reject``, or take their marks back (None); the last mark wins.

    A mark is a decision about a picture, so it is kept with the content: it stays when the file is renamed, holds for
    every copy of it, and is not given to a file that is no longer the one in the catalog. A companion (a RAW beside
    its JPEG, a sidecar) stands for the photo of its shot.
    """
    contents: dict[str, bytes] = {}
    refused: list[Refusal] = []
    known: dict[str, dict[str, HeldContent]] = {}
    leaders: dict[str, dict[str, str]] = {}
    for path in paths:
        given = os.fspath(path)
        folder, name = os.path.split(os.path.realpath(os.path.expanduser(given)))
        if folder not in known:
            known[folder] = catalog.contents_in(folder)
            leaders[folder] = {
                companion: leader
                for leader, held in known[folder].items()
                if held.listed
                for companion in held.companions
            }
        own = known[folder].get(name)
        leader = name if own is not None and own.listed else leaders[folder].get(name, name)
        photo = os.path.join(folder, leader)
        found = _content_of(photo, known[folder].get(leader))
        if isinstance(found, bytes):
            contents[photo] = found
        else:
            refused.append(Refusal(given, found))
    if contents:
        catalog.mark(contents.values(), mark)
    return MarkResult(tuple(contents), tuple(refused))


def _content_of(photo: str, held: HeldContent | None) -> bytes | str:
    """Return the hash of what a photo holds, or why it cannot be told: only a file as it was read is sure to be it."""
    shown, word = display_path(photo), shell_word(photo)
    try:
        info = os.lstat(photo)
    except OSError as error:
        return f"{shown}: {error.strerror or error}. Check the spelling, and that the drive is connected"
    if stat.S_ISDIR(info.st_mode):
        return f"{shown} is a folder: give the photos in it"
    if held is None or not held.listed:
        if os.path.splitext(photo)[1].lower() not in PHOTO_SUFFIXES:
            return f"{shown} belongs to no photo that was scored: give the photo itself"
        return (
            f"{shown} has not been scored, so it is not in the catalog: wait until rali watch has scored it, "
            f"or run: rali score {word}"
        )
    if held.hash is None:
        return f"{shown} could not be decoded, so there is no picture to mark; run: rali score --retry-failed {word}"
    if not stat.S_ISREG(info.st_mode) or (info.st_ino, info.st_size, info.st_mtime_ns) != held[:3]:
        return f"{shown} has changed since it was scored; run: rali score {word}"
    return held.hash
