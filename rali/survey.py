"""What is on disk against what is remembered: which photos have to be read, which were renamed, which are gone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rali.catalog.catalog import Catalog
from rali.catalog.records import KnownPhoto, Scope, Scoring
from rali.catalog.unchanged import Looks, lists_exactly
from rali.drives import Drives, emptied, is_empty
from rali.errors import UnsafeError
from rali.photos.photo import Photo, display_path, is_gone, shell_word
from rali.photos.scan import Scan


class FolderSurvey(NamedTuple):
    """What a look at one folder brought to light, which may be nothing; the catalog knows it by now.

    Attributes:
        photos: that lie in it, by name; empty for a folder that is gone.
        waiting: those that have to be read.
        renamed: names of those that were known under another name, and so need not be read.
        gone: names that rankings showed and that are no longer there, or belong to another photo's shot now.
        cached: how many have a score.
        failed: how many failed before, and would fail again.
    """

    folder: str
    photos: dict[str, Photo]
    waiting: list[Photo]
    renamed: list[str]
    gone: list[str]
    cached: int = 0
    failed: int = 0


def survey(
    scan: Scan,
    catalog: Catalog,
    scoring: Scoring,
    *,
    retry_failed: bool = False,
    one_name: bool = False,
    on_notice: Callable[[str], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[FolderSurvey]:
    """Walk a scan, and yield what came to light, folder by folder; folders that are gone come last, root by root.

    Folders without photos are yielded, too: whoever asks for the next has a say between any two.

    Args:
        retry_failed, one_name: see :func:`survey_folder`.
        on_notice: told of folders whose drive is missing, or that are empty as if it were; what is remembered of them
            stays.
        stop: asked before each folder; once it is true, nothing more is looked at.

    Raises:
        PathError: a root is gone.
        UnsafeError: a root that held photos holds none, as an unmounted drive does. Of that root nothing was unlisted.
        DriveLostError: a root went away during the walk. What was not there any more was not unlisted.
    """
    visited: set[str] = set()
    drives = Drives(catalog, scan.devices, on_notice)
    looks = Looks(catalog)
    for folder, photos in scan.folders():
        if stop():
            return
        if not photos:
            yield FolderSurvey(folder, {}, [], [], [])
            continue
        visited.add(folder)
        yield survey_folder(
            catalog,
            scoring,
            folder,
            photos,
            drives,
            listed=folder in scan.listed,
            retry_failed=retry_failed,
            one_name=one_name,
            looks=looks,
        )
    for root in scan.roots:
        if stop():
            return
        below = root.rstrip(os.sep) + os.sep
        if not any(folder == root or folder.startswith(below) for folder in visited):
            _refuse_emptied(root, catalog, scan)
            continue
        # Folders that are there but were not walked (excluded, unreadable) keep what is remembered of them.
        for folder in catalog.folders_below(root):
            if stop():
                return
            if folder in visited or not (folder in scan.listed or is_gone(folder)):
                continue
            if folder in scan.listed and is_empty(folder):
                drives.check(folder)
                if not drives.keeps(folder):
                    on_notice(emptied(folder))
            else:
                yield survey_folder(catalog, scoring, folder, {}, drives, listed=True)
    looks.store()  # last: a catalog that is locked keeps it waiting, and no check on emptied roots with it


def survey_folder(
    catalog: Catalog,
    scoring: Scoring,
    folder: str,
    photos: dict[str, Photo],
    drives: Drives,
    *,
    listed: bool,
    retry_failed: bool = False,
    one_name: bool = False,
    looks: Looks | None = None,
) -> FolderSurvey:
    """Compare the photos that lie in one folder with what is remembered of it, and bring the catalog up to date.

    Args:
        photos: by name, from a :class:`~rali.photos.scan.Scan`.
        listed: they are all that lie there; then what is remembered beside them, and is gone, is unlisted.
        retry_failed: photos that failed before are waiting, too.
        one_name: pass over a new name of a file that the catalog lists under another: a whole scan tells the names of
            one file apart by itself, a look at a single folder cannot.
        looks: see :func:`~rali.catalog.unchanged.lists_exactly`.

    Raises:
        DriveLostError: something seems to be gone, and so is the root.
    """
    # Nearly every folder of a library is as it was; for those, nothing below would find anything to do.
    if photos and lists_exactly(catalog, folder, photos, scoring, looks):
        return FolderSurvey(folder, photos, [], [], [], cached=len(photos))
    known = catalog.known_in(folder, scoring)
    new = [photo for name, photo in photos.items() if name not in known]
    if one_name and new and (links := _links(catalog, new)):
        photos = {name: photo for name, photo in photos.items() if photo.file not in links}
        new = [photo for photo in new if photo.file not in links]
    renamed: list[str] = []
    if catalog.adopt(new):
        known = catalog.known_in(folder, scoring)
        renamed = [name for photo in new if (name := os.path.basename(photo.file)) in known]
    waiting: list[Photo] = []
    moved: list[tuple[KnownPhoto, Photo]] = []
    cached = failed = 0
    renumbered = bool(known and photos) and drives.numbers_changed(folder, photos.values())
    for name, photo in photos.items():
        before = known.get(name)
        if (
            before is None
            or before.size_bytes != photo.size_bytes
            or before.mtime_ns != photo.mtime_ns
            or before.inode != photo.inode
        ):
            waiting.append(photo)
            continue
        if renumbered or not before.listed or before.companions != photo.companions:
            moved.append((before, photo))
        if before.scored:
            cached += 1
        elif before.failed and not retry_failed:
            failed += 1
        else:
            waiting.append(photo)
    if moved:
        if renumbered:
            drives.renumbered(folder, moved[0][1])
        catalog.relist(moved)
    gone = _unlist_gone(catalog, folder, known, photos, drives) if listed else []
    return FolderSurvey(folder, photos, waiting, renamed, gone, cached, failed)


def _links(catalog: Catalog, photos: list[Photo]) -> set[str]:
    """Return those of the photos that are another name of a file which is listed, and still there, under its own."""
    found: set[str] = set()
    for photo in photos:
        for other in catalog.names_of(photo):
            try:
                info = os.lstat(other)
            except OSError:
                continue
            if (info.st_dev, info.st_ino) == (photo.device, photo.inode):
                found.add(photo.file)
    return found


def _unlist_gone(
    catalog: Catalog, folder: str, known: dict[str, KnownPhoto], photos: dict[str, Photo], drives: Drives
) -> list[str]:
    """Take out of rankings what is no longer on disk, or has become part of another photo's shot; return the names."""
    companions = {name for photo in photos.values() for name in photo.companions}
    gone = {
        name: before.photo_id
        for name, before in known.items()
        if before.listed and name not in photos and (name in companions or is_gone(os.path.join(folder, name)))
    }
    # The folder may be the bare mount point of a missing drive, and what lies in it stray.
    kept = drives.keeps(folder, {photo_id for name, photo_id in gone.items() if name not in companions}) if gone else ()
    gone = {name: photo_id for name, photo_id in gone.items() if photo_id not in kept}
    if gone:
        drives.check(folder)
        catalog.unlist(gone.values())
    return list(gone)


def _refuse_emptied(root: str, catalog: Catalog, scan: Scan) -> None:
    """Refuse a folder that held photos and holds none: more likely a missing drive than ten thousand deletions."""
    remembered = catalog.count_listed(Scope([root]))
    if remembered and os.path.isdir(root) and not (scan.include or scan.exclude or scan.unreadable):
        raise UnsafeError(
            f"{display_path(root)} holds no photos, but {remembered:,} photos are remembered in it: connect its drive "
            f"and try again. Nothing was changed. If they are gone: rali forget {shell_word(root)}"
        )
