"""What the user says of groups: these are none, these are one after all, all of this one stays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rali.catalog.catalog import Catalog
from rali.catalog.frames import add_splits, drop_splits
from rali.grouping.bursts import Burst, BurstFrame
from rali.photos.photo import display_path, shell_word


class NotGrouped(NamedTuple):
    """A path of which nothing could be decided, and why: one line that says what to do."""

    path: str
    reason: str


@dataclass(frozen=True)
class Decided:
    """What became of the paths that were given.

    Attributes:
        parted: the groups that were split, each as the paths that are no longer together.
        refused: the other paths, as they were given.
    """

    parted: tuple[tuple[str, ...], ...]
    refused: tuple[NotGrouped, ...]


def split_groups(catalog: Catalog, bursts: Sequence[Burst], paths: Iterable[str | os.PathLike[str]]) -> Decided:
    """Note that photos are no group: those named of each group, or all of it where one alone is named.

    The decision is about pictures, so it is kept with the contents, through renames and rescans. The group's other
    frames go with the named one that they are most like.
    """
    places = _places(bursts)
    named: dict[int, dict[int, str]] = {}
    refused: list[NotGrouped] = []
    for path in paths:
        given, found = os.fspath(path), places.get(_photo_id(catalog, path))
        if found is None:
            refused.append(NotGrouped(given, _not_grouped(catalog, path)))
        else:
            number, place, file = found
            named.setdefault(number, {})[place] = file
    parted = []
    for number, chosen in named.items():
        frames = bursts[number].frames
        folder = os.path.dirname(next(iter(chosen.values())))
        places_named = sorted(chosen) if len(chosen) > 1 else range(len(frames))
        parted.append([(frames[place], chosen.get(place) or _in(folder, frames[place])) for place in places_named])
    if parted:
        add_splits(catalog, [[frame.frame.hash for frame, _ in frames] for frames in parted])
    return Decided(tuple(tuple(path for _, path in frames) for frames in parted), tuple(refused))


def forget_splits(catalog: Catalog, paths: Iterable[str | os.PathLike[str]]) -> tuple[int, list[NotGrouped]]:
    """Forget every decision of :func:`split_groups` that names one of these photos; return how many there were."""
    hashes: list[bytes] = []
    refused: list[NotGrouped] = []
    for path in paths:
        rows = catalog.rows(
            "SELECT c.hash FROM photos p JOIN contents c ON c.id = p.content_id WHERE p.id = ?",
            (_photo_id(catalog, path),),
        )
        if rows:
            hashes.append(rows[0][0])
        else:
            refused.append(NotGrouped(os.fspath(path), _not_grouped(catalog, path)))
    return drop_splits(catalog, hashes), refused


def whole_groups(catalog: Catalog, bursts: Sequence[Burst], paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Return the paths with all frames of the groups that they are in, each once; what is in no group stays alone."""
    places = _places(bursts)
    found: dict[str, None] = {}
    for path in paths:
        own = places.get(_photo_id(catalog, path))
        if own is None:
            found[os.fspath(path)] = None
        else:
            folder = os.path.dirname(own[2])
            found |= dict.fromkeys(_in(folder, frame) for frame in bursts[own[0]].frames)
    return list(found)


def _in(folder: str, frame: BurstFrame) -> str:
    """Return the path of a frame's copy in a folder, or of its first where none lies there."""
    return next((file.path for file in frame.frame.files if os.path.dirname(file.path) == folder), frame.path)


def _places(bursts: Sequence[Burst]) -> Mapping[int | None, tuple[int, int, str]]:
    """Return the number of the group, the place in it, and the path of each photo by its id."""
    return {
        file.photo_id: (number, place, file.path)
        for number, burst in enumerate(bursts)
        for place, frame in enumerate(burst.frames)
        for file in frame.frame.files
    }


def _photo_id(catalog: Catalog, path: str | os.PathLike[str]) -> int | None:
    """Return the id of the photo at a path, or of the one whose shot it belongs to; None if the catalog has neither."""
    file = os.path.realpath(os.path.expanduser(os.fspath(path)))
    leader = catalog.find_leader(file)
    return catalog.find(file) if leader is None else leader


def _not_grouped(catalog: Catalog, path: str | os.PathLike[str]) -> str:
    shown = display_path(path)
    if os.path.isdir(path):
        return f"{shown} is a folder: give photos of a group, as rali bursts shows them"
    if _photo_id(catalog, path) is None:
        return f"{shown} is not in the catalog; run: rali score {shell_word(os.fspath(path))}"
    return f"{shown} is in no group"
