"""If what is missing was deleted, or lies on a drive that is not there: only what was deleted may leave rankings.

A drive or share that is mounted somewhere below what is looked at leaves its mount point when it goes: a folder of the
parent's device, empty but for what strays into it, or no folder at all. So what counts is the device of the nearest
folder that is there: photos that lay on another one were not deleted from it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Mapping

from rali.catalog.catalog import Catalog
from rali.errors import DriveLostError
from rali.photos.photo import Photo, display_path, shell_word


class Drives:
    """What one look at some roots learns of the drives below them.

    Args:
        devices: of each root, as the look found it; it may be filled while the look goes on.
        on_notice: told, once for each place, where photos stay in rankings because their drive is missing.
    """

    def __init__(self, catalog: Catalog, devices: Mapping[str, int], on_notice: Callable[[str], None]) -> None:
        self._catalog, self._devices, self._on_notice = catalog, devices, on_notice
        self._renumbered: set[tuple[int, int]] = set()
        self._told: set[str] = set()

    def numbers_changed(self, folder: str, photos: Collection[Photo]) -> bool:
        """Tell if photos lie on a device that no photo of their folder lay on: shares get a new number at each mount.

        Say :meth:`renumbered` if one of them proves to be the photo that was remembered.
        """
        return not {photo.device for photo in photos} <= self._catalog.devices_in(folder)

    def renumbered(self, folder: str, photo: Photo) -> None:
        """Note that a photo, and so the drive of its folder, is there under another number; before it is stored."""
        self._renumbered |= {(before, photo.device) for before in self._catalog.devices_in(folder)}

    def keeps(self, folder: str, photo_ids: Collection[int] | None = None) -> set[int]:
        """Return which photos of a folder, of those with these ids or of all, lay on a drive that is not there.

        None of them is on disk. People are told.
        """
        place, device = _nearest(folder)
        there = {device} | {before for before, now in self._renumbered if now == device}
        kept = {
            photo_id
            for photo_id, before in self._catalog.device_of_each(folder).items()
            if before not in there and (photo_ids is None or photo_id in photo_ids)
        }
        if kept and place not in self._told:
            self._told.add(place)
            self._on_notice(_missing(place))
        return kept

    def check(self, folder: str) -> None:
        """Make sure that the root of a folder is still what it was: asked after something was found gone.

        Raises:
            DriveLostError: it went away, or another drive lies there now; what is gone says nothing.
        """
        for root, device in self._devices.items():
            inside = folder == root or folder.startswith(root.rstrip(os.sep) + os.sep)
            if inside and not _is_there(root, device):
                raise DriveLostError(
                    f"{display_path(root)} went away in the middle of the scan: connect its drive and try again"
                )


def is_empty(folder: str) -> bool:
    """Tell if a folder can be listed and holds nothing at all."""
    try:
        with os.scandir(folder) as entries:
            return not any(entries)
    except OSError:
        return False


def emptied(folder: str) -> str:
    """Say, for people, what an empty folder in which photos are remembered may mean."""
    return (
        f"{display_path(folder)} is empty, as a missing drive is: its photos stay in rankings. If they are gone: "
        f"rali forget {shell_word(folder)}"
    )


def _missing(place: str) -> str:
    return (
        f"the drive of {display_path(place)} is missing: its photos stay in rankings. If they are gone: "
        f"rali forget {shell_word(place)}"
    )


def _nearest(folder: str) -> tuple[str, int | None]:
    """Return where the drive of a folder seems to be missing, and the device of the nearest folder that is there.

    The place is the topmost folder that is missing, or the one that is there and empty: to name more of it would be to
    have people forget what is there. No device: the drive is there and does not answer.
    """
    there, missing = folder, folder
    while True:
        try:
            info = os.lstat(there)
        except (FileNotFoundError, NotADirectoryError):
            there, missing = os.path.dirname(there), there
            continue
        except OSError:
            return missing, None
        if stat.S_ISDIR(info.st_mode):
            return there if is_empty(there) else missing, info.st_dev
        there, missing = os.path.dirname(there), there


def _is_there(root: str, device: int) -> bool:
    """Tell if a root can be listed, is not empty, and lies on its device: a drive that was pulled out fails somehow."""
    try:
        with os.scandir(root) as entries:
            return any(True for _ in entries) and os.stat(root).st_dev == device
    except OSError:
        return False
