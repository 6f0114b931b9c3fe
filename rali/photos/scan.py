"""Folders to photos: each file once, companions grouped, nothing opened."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from rali.config import Pairs
from rali.errors import PathError
from rali.photos.photo import PHOTO_SUFFIXES, RAW_SUFFIXES, SIDECAR_SUFFIXES, Photo, display_path
from rali.photos.shots import group_shots, shots_in

# Folders that systems and NAS boxes fill with thumbnails and deleted files. Dot names are skipped anyway.
SKIPPED_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX"}
)
# How names of photos that are no RAWs end as cameras write them: most names are told by one look into a set.
_USUAL_SUFFIXES = frozenset(spelt for suffix in PHOTO_SUFFIXES - RAW_SUFFIXES for spelt in (suffix, suffix.upper()))
# Lies in every folder that a cull moved photos into: what is culled is neither scored nor culled again.
JOURNAL_NAME = ".rali-journal.jsonl"


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
                with _listing(folder) as entries:
                    if JOURNAL_NAME in entries:
                        continue
                    self.listed.add(folder)
                    if folder == root:  # only now: what the system mounts on demand has its device once it was listed
                        self.devices[root] = _stat(root).st_dev
                    found = self._sort_out(root, folder, entries)
                    photos = self._photos(root, folder, found)
            except OSError as error:
                self.unreadable[folder] = error.strerror or str(error)
                continue
            pending += reversed(found.subfolders)
            yield folder, photos

    def _sort_out(self, root: str, folder: str, entries: dict[str, os.DirEntry[str]]) -> _Listing:
        """Tell photos, sidecars and folders apart. Once for every file: no function is called that need not be."""
        prefix = _prefix(folder)
        found = _Listing()
        photos, usual = found.photos, _USUAL_SUFFIXES
        for name in sorted(entries):
            entry = entries.pop(name)
            if name[0] == ".":
                continue
            try:
                # Links, FIFOs, sockets and devices are no photos, whatever they are called.
                if entry.is_file(follow_symlinks=False):
                    if name[name.rfind(".") :] in usual:
                        photos[name] = entry
                        continue
                    suffix = name[name.rfind(".") :].lower() if "." in name else ""
                    if suffix in PHOTO_SUFFIXES:
                        photos[name] = entry
                        found.raws = found.raws or suffix in RAW_SUFFIXES
                    elif suffix in SIDECAR_SUFFIXES:
                        found.sidecars.append(name)
                    else:
                        self.ignored[suffix] += 1
                elif entry.is_dir(follow_symlinks=False) and self._goes_into(root, prefix + name):
                    info = entry.stat(follow_symlinks=False)
                    found.subfolders.append((prefix + name, (info.st_dev, info.st_ino)))
            except OSError as error:  # gone or unreachable between the listing and the look
                self.unreadable[prefix + name] = error.strerror or str(error)
        return found

    def _goes_into(self, root: str, folder: str) -> bool:
        return (
            self.deep
            and os.path.basename(folder) not in SKIPPED_FOLDERS
            and not any(matches_glob(folder, root, glob) for glob in self.exclude)
        )

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

    def _shots(self, root: str, folder: str, found: _Listing) -> dict[str, tuple[str, ...]]:
        """Return the shots that lie in a folder and are let through."""
        shots: dict[str, tuple[str, ...]]
        # Most folders hold neither RAWs nor sidecars; then each photo is a shot of its own.
        if self.pairs == "together" and (found.raws or found.sidecars):
            shots = group_shots(found.photos, found.sidecars)
            while self._drop_gone(folder, found, shots):
                shots = group_shots(found.photos, found.sidecars)  # the RAW of a JPEG that is gone is a shot of its own
        else:
            shots = dict.fromkeys(found.photos, ())
        if not self.include and not self.exclude:
            return shots
        prefix = _prefix(folder)
        return {
            name: companions
            for name, companions in shots.items()
            if lets_through(prefix + name, companions, root, include=self.include, exclude=self.exclude)
        }

    def _drop_gone(self, folder: str, found: _Listing, names: Iterable[str]) -> bool:
        """Take photos that are gone by now out of what was found; tell if there were any. An entry keeps its look."""
        gone = False
        for name in names:
            try:
                found.photos[name].stat(follow_symlinks=False)
            except OSError as error:
                self.unreadable[_prefix(folder) + name] = error.strerror or str(error)
                del found.photos[name]
                gone = True
        return gone

    def _photos(self, root: str, folder: str, found: _Listing) -> dict[str, Photo]:
        """Look at the leader of each shot, once."""
        prefix, photos, unique = _prefix(folder), dict[str, Photo](), not self._files_seen
        new = tuple.__new__
        for name, companions in self._shots(root, folder, found).items():
            try:
                # The entry goes with its look, as the next one comes into the same memory: that saves a sixth.
                info = found.photos.pop(name).stat(follow_symlinks=False)
            except OSError as error:  # gone or unreachable between the listing and the look
                self.unreadable[prefix + name] = error.strerror or str(error)
                continue
            # Nearly every file has one name; only the others have to be looked up.
            if (info.st_nlink == 1 and unique) or not self._already_seen(info):
                # What Photo(...) comes to, without the call of a function in Python.
                photos[name] = new(
                    Photo,
                    (prefix + name, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, companions),
                )
        return photos

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


@dataclass
class _Listing:
    """What lies in one folder: its photos by name, and what else matters."""

    photos: dict[str, os.DirEntry[str]] = field(default_factory=dict)
    sidecars: list[str] = field(default_factory=list)
    subfolders: list[tuple[str, tuple[int, int]]] = field(default_factory=list)
    raws: bool = False


@contextmanager
def _listing(folder: str) -> Iterator[dict[str, os.DirEntry[str]]]:
    """List a folder by name; while the body runs, its files can be looked at without walking their whole path again.

    Of 100,000 looks at files five folders deep that saves a seventh.
    """
    if os.scandir not in os.supports_fd:  # Windows
        with os.scandir(folder) as entries:
            listing = {entry.name: entry for entry in entries}
        yield listing
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(descriptor) as entries:
            listing = {entry.name: entry for entry in entries}
        yield listing
    finally:
        os.close(descriptor)


def _prefix(folder: str) -> str:
    return folder if folder.endswith(os.sep) else folder + os.sep


def _photo(file: str, info: os.stat_result, companions: tuple[str, ...]) -> Photo:
    return Photo(file, info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, companions)
