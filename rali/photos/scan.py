"""Folders to photos: each file once, companions grouped, nothing opened."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from rali.config import Pairs
from rali.errors import PathError
from rali.photos.photo import (
    HEIF_SUFFIXES,
    JPEG_SUFFIXES,
    PHOTO_SUFFIXES,
    RAW_SUFFIXES,
    SIDECAR_SUFFIXES,
    Photo,
    display_path,
)

# Folders that systems and NAS boxes fill with thumbnails and deleted files. Dot names are skipped anyway.
SKIPPED_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX"}
)
# Lies in every folder that a cull moved photos into: what is culled is neither scored nor culled again.
JOURNAL_NAME = ".rali-journal.jsonl"

_APPLE_SUFFIXES = frozenset({".mov", ".aae"})


@dataclass
class Scan:
    """A walk over folders; iterate it once, then read what it noticed.

    Attributes:
        roots: folders and files, as :func:`resolve_roots` returns them.
        include: if given, only photos that match one of these globs.
        exclude: photos and folders that match one of these globs are left out.
        pairs: ``together``: a RAW, its JPEG and their sidecars are one shot. ``each``: every photo file is its own.
        deep: with the folders below; otherwise only what lies in the roots themselves.
        ignored: after the walk, how many other files there were, by suffix.
        unreadable: after the walk, folders that could not be listed, with the reason.
        listed: after the walk, the folders that were listed.
        devices: of each root that is a folder and was listed.

    A glob without a slash matches the name of the file or of any folder above it, below the root; one with a slash
    matches the path from the root. ``*`` also matches slashes. Case counts. See :func:`lets_through`.
    """

    roots: Sequence[str]
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    pairs: Pairs = "together"
    deep: bool = True
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: dict[str, str] = field(default_factory=dict)
    listed: set[str] = field(default_factory=set)
    devices: dict[str, int] = field(default_factory=dict)
    _folders_seen: set[tuple[int, int]] = field(default_factory=set, repr=False)
    _files_seen: set[tuple[int, int]] = field(default_factory=set, repr=False)

    def __iter__(self) -> Iterator[Photo]:
        """Yield each photo once, folder by folder, in the order of names."""
        for _, photos in self.folders():
            yield from photos.values()

    def folders(self) -> Iterator[tuple[str, dict[str, Photo]]]:
        """Yield each folder that was listed, with the photos in it by name; those that hold none are a chance to stop.

        A folder comes twice if single files lie in it.

        Raises:
            PathError: a root is gone.
        """
        described = [(root, _stat(root)) for root in self.roots]
        # Single files first: then only they and files with several links need to be remembered, not a million names.
        single: dict[str, dict[str, os.stat_result]] = {}
        for root, info in described:
            if not stat.S_ISDIR(info.st_mode) and not self._already_seen(info, remember=True):
                single.setdefault(os.path.dirname(root), {})[os.path.basename(root)] = info
        for folder, found in single.items():
            if photos := self._single_files(folder, found):
                yield folder, photos
        for root, info in described:
            if stat.S_ISDIR(info.st_mode):
                yield from self._walk(root, info)

    def _walk(self, root: str, root_info: os.stat_result) -> Iterator[tuple[str, dict[str, Photo]]]:
        pending = [(root, (root_info.st_dev, root_info.st_ino))]
        while pending:
            folder, identity = pending.pop()
            if identity in self._folders_seen:
                continue
            self._folders_seen.add(identity)
            try:
                with os.scandir(folder) as entries:
                    listing = sorted(entries, key=_name)
            except OSError as error:
                self.unreadable[folder] = error.strerror or str(error)
                continue
            at = bisect_left(listing, JOURNAL_NAME, key=_name)
            if at < len(listing) and listing[at].name == JOURNAL_NAME:
                continue
            self.listed.add(folder)
            if folder == root:  # only now: a folder that the system mounts on demand has its device once it was listed
                self.devices[root] = _stat(root).st_dev
            subfolders: list[tuple[str, tuple[int, int]]] = []
            photos: dict[str, os.stat_result] = {}
            sidecars: list[str] = []
            raws = False
            for entry in listing:
                name = entry.name
                if name.startswith("."):
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if (
                            self.deep
                            and name not in SKIPPED_FOLDERS
                            and not any(matches_glob(entry.path, root, glob) for glob in self.exclude)
                        ):
                            info = entry.stat(follow_symlinks=False)
                            subfolders.append((entry.path, (info.st_dev, info.st_ino)))
                        continue
                    # Links, FIFOs, sockets and devices are no photos, whatever they are called.
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    suffix = _suffix(name)
                    if suffix in PHOTO_SUFFIXES:
                        photos[name] = entry.stat(follow_symlinks=False)
                        raws = raws or suffix in RAW_SUFFIXES
                    elif suffix in SIDECAR_SUFFIXES:
                        sidecars.append(name)
                    else:
                        self.ignored[suffix] += 1
                except OSError as error:  # gone or unreachable between the listing and the look
                    self.unreadable[entry.path] = error.strerror or str(error)
            pending += reversed(subfolders)
            paired = self.pairs == "together" and (raws or bool(sidecars))
            yield folder, self._shots(root, folder, photos, sidecars, paired=paired) if photos else {}

    def _single_files(self, folder: str, found: dict[str, os.stat_result]) -> dict[str, Photo]:
        """Return files that the user named: photos whatever their suffix, with their companions if they lead a shot."""
        shots: dict[str, tuple[str, ...]] = {}
        if self.pairs == "together":
            try:
                shots = shots_in(folder, also=found)
            except OSError:  # a file can be readable in a folder that cannot be listed
                shots = group_shots(sorted(found), ())
        chosen = {name: _photo(os.path.join(folder, name), info, shots.get(name, ())) for name, info in found.items()}
        if not self.include and not self.exclude:
            return chosen
        return {
            name: photo
            for name, photo in chosen.items()
            if lets_through(photo.file, photo.companions, photo.file, include=self.include, exclude=self.exclude)
        }

    def _shots(
        self, root: str, folder: str, found: dict[str, os.stat_result], sidecars: Sequence[str], *, paired: bool
    ) -> dict[str, Photo]:
        prefix = folder if folder.endswith(os.sep) else folder + os.sep
        # Most folders hold neither RAWs nor sidecars; then each photo is a shot of its own.
        shots = group_shots(found, sidecars) if paired else dict.fromkeys(found, ())
        if self.include or self.exclude:
            shots = {
                name: companions
                for name, companions in shots.items()
                if lets_through(prefix + name, companions, root, include=self.include, exclude=self.exclude)
            }
        # Nearly every file has one name; only the others have to be looked up.
        unique = not self._files_seen
        return {
            name: _photo(prefix + name, found[name], companions)
            for name, companions in shots.items()
            if (unique and found[name].st_nlink == 1) or not self._already_seen(found[name])
        }

    def _already_seen(self, info: os.stat_result, *, remember: bool = False) -> bool:
        """Tell if this file came up before: as a hard link, or as a file that was named and lies in a folder too."""
        identity = (info.st_dev, info.st_ino)
        if identity in self._files_seen:
            return True
        # Folders are walked once each, so a file with one name can only come back if it was named by itself.
        if remember or info.st_nlink > 1:
            self._files_seen.add(identity)
        return False


def resolve_roots(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Make paths absolute and free of symbolic links, drop repeats, and check that each can be used.

    Raises:
        PathError: a path is missing, is neither a folder nor a file, or cannot be read.
    """
    roots: dict[str, None] = {}
    for path in paths:
        expanded = os.path.expanduser(os.fspath(path))
        root = os.path.realpath(expanded)
        shown = display_path(expanded)
        try:
            mode = os.stat(root).st_mode
        except OSError as error:
            raise PathError(
                f"{shown}: {error.strerror or error}. Check the spelling, and that the drive is connected"
            ) from error
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise PathError(f"{shown} is neither a folder nor a file: give a folder of photos")
        if not os.access(root, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
            raise PathError(f"{shown} cannot be read: permission denied. Run rali as a user who may read it")
        roots[root] = None
    return list(roots)


def _stat(root: str) -> os.stat_result:
    try:
        return os.stat(root)
    except OSError as error:
        raise PathError(f"{display_path(root)}: {error.strerror or error}. Is its drive still connected?") from error


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


def lets_through(
    path: str, companions: Iterable[str], root: str, *, include: Sequence[str], exclude: Sequence[str]
) -> bool:
    """Tell if globs let a shot through: any of its files may be what is included, only its leader is excluded.

    A shot is never taken apart: a glob for its RAW finds all of it, and one against its RAW leaves it whole.
    """
    if any(matches_glob(path, root, pattern) for pattern in exclude):
        return False
    folder = os.path.dirname(path)
    members = [path, *(os.path.join(folder, name) for name in companions)]
    return not include or any(matches_glob(member, root, pattern) for member in members for pattern in include)


def matches_glob(path: str, root: str, pattern: str) -> bool:
    """Tell if ``pattern`` matches ``path`` or, without a slash in it, one of the names below ``root``."""
    below = root.rstrip(os.sep) + os.sep
    relative = path[len(below) :] if path.startswith(below) else os.path.basename(path)
    if "/" in pattern:
        return fnmatchcase(relative, pattern.removeprefix("./").rstrip("/"))
    return any(fnmatchcase(part, pattern) for part in relative.split("/"))


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _photo(file: str, info: os.stat_result, companions: tuple[str, ...]) -> Photo:
    return Photo(file, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, companions)


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
