"""One watched root: if it is there at all, what lies in it, and what a look at one of its folders finds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scoring
from rali.config import Pairs
from rali.drives import Drives
from rali.errors import PathError
from rali.photos.photo import PHOTO_SUFFIXES, Photo, is_gone
from rali.photos.scan import JOURNAL_NAME, SKIPPED_FOLDERS, Scan, lets_through, matches_glob
from rali.survey import FolderSurvey, survey, survey_folder
from rali.watching.settle import Stamp


@dataclass
class Root:
    """A folder that is watched, with all below it.

    Attributes:
        path: absolute, free of symbolic links.
        include, exclude, pairs: as in :class:`~rali.photos.scan.Scan`.
        polled: why not all of its events come; None if they do.
        away: it is gone, or as empty as a missing drive is.
        check_s: when to look if it is still there, or else if it is back.
        next_look_s: when to look at all of it again.
        walk: the look at all of it that goes on now.
        told, telling: what people were told of it by the last look at all of it, and since.
        identity: device and inode of the folder that is watched under this path; None if there was none.
        mounted: something was mounted at the path.
    """

    path: str
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    pairs: Pairs = "together"
    polled: str | None = None
    away: bool = False
    check_s: float = 0.0
    next_look_s: float = 0.0
    walk: Iterator[FolderSurvey] | None = None
    told: set[str] = field(default_factory=set)
    telling: set[str] = field(default_factory=set)
    walk_cost_s: float = 0.0
    walks: int = 0
    identity: tuple[int, int] | None = field(default=None, init=False)
    mounted: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.remember()

    def remember(self) -> None:
        """Note which folder lies under the path now, as the one that is watched from now on."""
        self.identity, self.mounted = _identity(self.path), self.mounted or os.path.ismount(self.path)

    def is_replaced(self) -> bool:
        """Tell if another folder, or another drive, lies under the path now."""
        now = _identity(self.path)
        if now is None or now == self.identity:
            return False
        # Where nothing holds on to a folder, some file systems give it another inode number now and then.
        return self.identity is None or self.polled is None or now[0] != self.identity[0]

    def is_away(self, catalog: Catalog) -> bool:
        """Tell if it cannot be read, is no longer mounted, or is empty although photos are remembered in it."""
        if self.mounted and not os.path.ismount(self.path):
            return True
        try:
            with os.scandir(self.path) as entries:
                if any(True for _ in entries):
                    return False
        except OSError:
            return True
        return catalog.lists_any(self.path)

    def holds(self, folder: str) -> bool:
        """Tell if a folder is this one or lies below it."""
        return folder == self.path or folder.startswith(self.path.rstrip(os.sep) + os.sep)

    def survey(
        self, catalog: Catalog, scoring: Scoring, on_notice: Callable[[str], None], stop: Callable[[], bool]
    ) -> Iterator[FolderSurvey]:
        """Look at all of it. Raises as :func:`rali.survey.survey` does."""
        scan = Scan([self.path], self.include, self.exclude, self.pairs)
        return survey(scan, catalog, scoring, one_name=True, on_notice=on_notice, stop=stop)

    def survey_below(
        self, catalog: Catalog, scoring: Scoring, folder: str, *, deep: bool, on_notice: Callable[[str], None]
    ) -> Iterator[FolderSurvey]:
        """Look at one folder of it; with ``deep``, at all folders below that one, too.

        A folder that is empty now has lost its photos, not its drive, if it lies on the device that they lay on.

        Raises:
            DriveLostError: something seems to be gone, and so is the root.
        """
        if not self._is_walked(folder):
            return
        visited: set[str] = set()
        drives = Drives(catalog, {self.path: self.identity[0]} if self.identity else {}, on_notice)
        scan = Scan([folder], pairs=self.pairs, deep=deep)
        with suppress(PathError):  # gone by now
            if os.path.isdir(folder):
                for found, photos in scan.folders():
                    if found != folder and not self._is_walked(found):
                        continue
                    if not photos:
                        yield FolderSurvey(found, {}, [], [], [])
                        continue
                    visited.add(found)
                    chosen = {name: photo for name, photo in photos.items() if self._lets_through(photo)}
                    yield survey_folder(
                        catalog, scoring, found, chosen, drives, listed=found in scan.listed, one_name=True
                    )
        for remembered in catalog.folders_below(folder) if deep else [folder]:
            if remembered in visited:
                continue
            if remembered in scan.listed or is_gone(remembered):
                yield survey_folder(catalog, scoring, remembered, {}, drives, listed=True)

    def _is_walked(self, folder: str) -> bool:
        """Tell if a walk over the root comes to a folder, as far as names tell."""
        while folder != self.path:
            parent, name = os.path.split(folder)
            if (
                name.startswith(".")
                or name in SKIPPED_FOLDERS
                or os.path.islink(folder)
                or os.path.lexists(os.path.join(folder, JOURNAL_NAME))
                or any(matches_glob(folder, self.path, glob) for glob in self.exclude)
                or parent == folder
            ):
                return False
            folder = parent
        return True

    def _lets_through(self, photo: Photo) -> bool:
        if not self.include and not self.exclude:
            return True
        return lets_through(photo.file, photo.companions, self.path, include=self.include, exclude=self.exclude)


def _identity(path: str) -> tuple[int, int] | None:
    """Return device and inode of a folder; None if there is none, or if it does not answer."""
    try:
        with os.scandir(path):  # what the system mounts on demand is there only now
            info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def stamp_of(photo: Photo, *, fresh: bool) -> Stamp | None:
    """Return the state of each photo file of a shot; None if the one that is scored is gone.

    Args:
        fresh: look at the leader, too; otherwise it is as the scan has just seen it.

    Raises:
        OSError: the drive does not answer.
    """
    stamp = [(photo.size_bytes, photo.mtime_ns, photo.inode)]
    if fresh:
        try:
            stamp = [_stamp(photo.file)]
        except (FileNotFoundError, NotADirectoryError):
            return None
    for name in photo.companions:
        if os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES:
            # One that is gone makes another shot of it, which the next look at the folder finds out.
            with suppress(FileNotFoundError, NotADirectoryError):
                stamp.append(_stamp(os.path.join(os.path.dirname(photo.file), name)))
    return tuple(stamp)


def quiet_s(photo: Photo) -> float:
    """Return for how many seconds no photo file of a shot has changed, by the later of its two times of change.

    Copying programs set the one of the content (mtime) to whatever the original had; the other nobody can set.
    """
    latest_s = 0.0
    folder = os.path.dirname(photo.file)
    for name in (os.path.basename(photo.file), *photo.companions):
        if os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES:
            with suppress(FileNotFoundError, NotADirectoryError):
                info = os.lstat(os.path.join(folder, name))
                latest_s = max(latest_s, info.st_mtime, info.st_ctime)
    return max(0.0, time.time() - latest_s)


def _stamp(file: str) -> tuple[int, int, int]:
    info = os.lstat(file)
    return info.st_size, info.st_mtime_ns, info.st_ino
