"""Which files of one folder belong together: a shot is the file that is scored, and its companions."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

from rali.photos.photo import HEIF_SUFFIXES, JPEG_SUFFIXES, PHOTO_SUFFIXES, RAW_SUFFIXES, SIDECAR_SUFFIXES

_APPLE_SUFFIXES = frozenset({".mov", ".aae"})


def shots_in(folder: str, *, also: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
    """List the shots that lie in a folder now, as :func:`group_shots` does; no file is looked at, and no name left out.

    Unlike a scan, it gives every name of a file that has several.

    Args:
        also: names that are photos whatever their suffix, if there is such a file.

    Raises:
        OSError: the folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        names = sorted(
            entry.name
            for entry in entries
            if (not entry.name.startswith(".") or entry.name in also) and entry.is_file(follow_symlinks=False)
        )
    photos, sidecars, raws = [], [], False
    for name in names:
        suffix = _suffix(name)
        if suffix in PHOTO_SUFFIXES or name in also:
            photos.append(name)
            raws = raws or suffix in RAW_SUFFIXES
        elif suffix in SIDECAR_SUFFIXES:
            sidecars.append(name)
    return group_shots(photos, sidecars) if raws or sidecars else dict.fromkeys(photos, ())


def group_shots(photos: Iterable[str], sidecars: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Group the names in one folder into shots: the name that is scored, and its companions.

    A RAW and a JPEG or HEIC of the same stem are one shot, led by the JPEG, else the HEIC, else the RAW. Without a
    RAW every picture is its own shot: a JPEG and a PNG of one name are two pictures. A sidecar belongs to the file
    that it names in full (``IMG.CR3.xmp``), else to the shot of its stem (``IMG.xmp``; ``IMG.CR3.xmp`` where the RAW
    is gone).
    """
    by_stem: dict[str, list[str]] = {}
    names = list(photos)
    for name in names:
        by_stem.setdefault(os.path.splitext(name)[0], []).append(name)
    companions: dict[str, list[str]] = {}
    leader_of: dict[str, str] = {}
    for group in by_stem.values():
        raws = [name for name in group if _is_raw(name)]
        partners = [name for name in group if _suffix(name) in JPEG_SUFFIXES]
        partners += [name for name in group if _suffix(name) in HEIF_SUFFIXES]
        shot = [*partners, *raws] if raws else []
        for name in group:
            leader_of[name] = shot[0] if name in shot else name
    for name in names:
        companions.setdefault(leader_of[name], [])
        if leader_of[name] != name:
            companions[leader_of[name]].append(name)
    for sidecar in sidecars:
        stem, suffix = os.path.splitext(sidecar)
        owner = leader_of.get(stem)
        if owner is None and stem not in by_stem and _suffix(stem) in PHOTO_SUFFIXES:
            stem = os.path.splitext(stem)[0]  # IMG.CR3.xmp, where the RAW was deleted and the JPEG kept
        if owner is None and stem in by_stem:
            # Of several pictures with one stem, a RAW's shot takes it first, then a JPEG, then the first by name; but
            # Apple's films and edits belong to the HEIC.
            rank = _apple_rank if suffix.lower() in _APPLE_SUFFIXES else _sidecar_rank
            owner = leader_of[min(by_stem[stem], key=rank)]
        if owner is not None:
            companions[owner].append(sidecar)
    return {leader: tuple(sorted(others)) for leader, others in companions.items()}


def _suffix(name: str) -> str:
    """Return the suffix in lower case, five times as fast as splitext: it counts in a million names."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def _is_raw(name: str) -> bool:
    return _suffix(name) in RAW_SUFFIXES


def _apple_rank(name: str) -> tuple[bool, tuple[bool, bool, str]]:
    return (_suffix(name) not in HEIF_SUFFIXES, _sidecar_rank(name))


def _sidecar_rank(name: str) -> tuple[bool, bool, str]:
    return (not _is_raw(name), _suffix(name) not in JPEG_SUFFIXES, name)
