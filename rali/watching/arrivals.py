"""Which photos come while folders are watched, and which lay there before: those are for ``rali cull``."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rali.photos.photo import Photo


class Arrivals:
    """Remembers photos that were found unread and had not come while they were watched, until they have a score.

    All that lies on a disk was there before until a look at the whole root has been over it: at the start of a watch,
    when a share is back, and when a drive is connected at or below a folder that was empty. Photos that came during
    such a look, or while nobody watched, cannot be told from the others.
    """

    def __init__(self) -> None:
        self._known: dict[str, set[int]] = {}  # root -> devices that a whole look has been over
        self._looking: dict[str, set[int]] = {}
        self._there: dict[str, tuple[int, int]] = {}  # path -> (device, inode): it may be renamed, or saved anew
        self._path_of: dict[tuple[int, int], str] = {}

    def found(self, root: str, folder: str, unread: Iterable[Photo], *, in_walk: bool) -> None:
        """Note the photos of a folder that wait to be read.

        Args:
            in_walk: a look at the whole root came to them.
        """
        device = _device_of(folder)
        if in_walk and device is not None:
            self._looking.setdefault(root, set()).add(device)
        if device is None or device not in self._known.get(root, ()):
            for photo in unread:
                file = (photo.device, photo.inode)
                self._there[photo.file], self._path_of[file] = file, photo.file

    def looked_at_all(self, root: str) -> None:
        """Note that a look at a whole root is over: what is new on the same disks from now on has come."""
        device = _device_of(root)
        self._known[root] = self._looking.pop(root, set()) | ({device} if device is not None else set())

    def lost(self, root: str) -> None:
        """Note that a root is away; what it holds once it is back was not seen coming."""
        self._known.pop(root, None)
        self._looking.pop(root, None)

    def was_there(self, photo: Photo) -> bool:
        """Tell if a photo, by this name or under another, was there before."""
        return photo.file in self._there or (photo.device, photo.inode) in self._path_of

    def forget(self, photo: Photo) -> None:
        """Forget a photo that has its score: from now on the catalog knows that it is an old one."""
        path = self._path_of.pop((photo.device, photo.inode), photo.file)
        for name in {path, photo.file}:
            if file := self._there.pop(name, None):
                self._path_of.pop(file, None)


def _device_of(folder: str) -> int | None:
    try:
        return os.stat(folder).st_dev
    except OSError:
        return None
