"""The calls that change users' files, and the checks that belong to them: the ONE module that does so.

Nobody else in rali links, renames, unlinks or makes folders among the user's files (a test looks for it). What protects
the files, the order of the steps, is in :mod:`rali.moving.mover`.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from rali.errors import CatalogBusyError
from rali.photos.photo import display_path
from rali.photos.scan import JOURNAL_NAME

if sys.platform != "win32":
    import fcntl

_LOCK_TIMEOUT_S = 60.0
_LOCK_CHECK_S = 0.01
# What concerns every file that comes after, too.
ENDS_A_RUN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
# The folder that quarantined photos lie in; a dot name, so that no scan enters it.
QUARANTINE = ".rali-quarantine"


class Fs:
    """The calls that change files; handed in, so that tests can fail or kill at each of them. All raise OSError."""

    def link(self, old: str, new: str) -> None:
        """Give a file a second name; FileExistsError if the name is taken, even by a link to nowhere."""
        os.link(old, new, follow_symlinks=False)

    def unlink(self, path: str) -> None:
        """Take a name away."""
        os.unlink(path)

    def rename(self, old: str, new: str) -> None:
        """Move a file onto an empty one of ours."""
        os.rename(old, new)

    def replace(self, old: str, new: str) -> None:
        """Put a file of ours in the place of another, in one step."""
        os.replace(old, new)

    def create(self, path: str) -> int:
        """Open a new file for writing and reading back; FileExistsError if the name is taken."""
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)

    def write(self, file: int, data: memoryview) -> None:
        """Write all of ``data``."""
        while data:
            data = data[os.write(file, data) :]

    def copy_attributes(self, old: str, new: str) -> None:
        """Give a copy the original's times, permissions and extended attributes."""
        shutil.copystat(old, new, follow_symlinks=False)

    def set_time(self, path: str, mtime_ns: int) -> None:
        """Set a copy's time of change."""
        os.utime(path, ns=(os.stat(path).st_atime_ns, mtime_ns))

    def set_permissions(self, path: str, permissions: int) -> None:
        """Say who may read and write a file of ours."""
        os.chmod(path, permissions)

    def sync(self, file: int) -> None:
        """Bring a file's content to the disk."""
        os.fsync(file)

    def sync_folder(self, path: str) -> None:
        """Bring a folder's names to the disk."""
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some shares cannot, and need not
                raise
        finally:
            os.close(folder)

    def make_folder(self, path: str, mode: int = 0o777) -> None:
        """Make one folder."""
        os.mkdir(path, mode)

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder; OSError if it is not empty."""
        os.rmdir(path)


class Identity(NamedTuple):
    """What tells one state of one file from every other. No device: that number changes when a disk is plugged in."""

    inode: int
    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, info: os.stat_result) -> Identity:
        """Return what ``lstat`` or ``fstat`` says."""
        return cls(info.st_ino, info.st_size, info.st_mtime_ns)

    def alike(self, other: Identity) -> bool:
        """Tell if size and time agree, which is all that is left after a restore, or on a disk without inodes."""
        return self[1:] == other[1:]


class RefusalError(Exception):
    """A shot must not be moved; ``str()`` says why."""


class GoneError(RefusalError):
    """There is nothing of that name."""


class TakenError(RefusalError):
    """The new name is another file's."""


# --- deleting, for rali quarantine purge alone -------------------------------------------------------------------


def delete(fs: Fs, path: str, identity: Identity) -> None:
    """Delete a file for good, if it is the one that is meant.

    Raises:
        RefusalError: it is another, or gone.
        OSError: it is still there.
    """
    found = identity_of(path)
    if found is None:
        raise GoneError(f"{shown_name(path)} is gone")
    if not found.alike(identity):
        raise RefusalError(f"{shown_name(path)} has changed since it was culled")
    fs.unlink(path)


def to_trash(folder: str) -> None:
    """Hand a run's whole folder to the system's bin, as one thing that can be restored as one. Raises OSError."""
    from send2trash import send2trash

    send2trash(folder)


# --- names and folders -------------------------------------------------------------------------------------------


def look(path: str) -> os.stat_result | None:
    """Return what ``lstat`` says; None if there is nothing of this name."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def identity_of(path: str) -> Identity | None:
    """Return what is at ``path``; None if there is nothing of this name."""
    found = look(path)
    return None if found is None else Identity.of(found)


def make_folders(fs: Fs, folder: str, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing."""
    if os.path.isdir(folder):
        return
    make_folders(fs, os.path.dirname(folder), mode)
    try:
        fs.make_folder(folder, mode)
        fs.sync_folder(os.path.dirname(folder))
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def clear_run_folder(fs: Fs, folder: str, used: Iterable[str]) -> None:
    """Remove those of the folders ``used`` in a run's folder that are empty; then, if nothing else is left, itself.

    With it go its journal and an empty quarantine, and nothing that a run did not make.
    """
    for path in sorted(set(used), key=len, reverse=True):
        while path.startswith(folder + os.sep):
            if not _removed_if_empty(fs, path):
                break
            path = os.path.dirname(path)
    with suppress(OSError):
        if os.listdir(folder) == [JOURNAL_NAME]:
            fs.unlink(os.path.join(folder, JOURNAL_NAME))
    if _removed_if_empty(fs, folder) and os.path.basename(os.path.dirname(folder)) == QUARANTINE:
        _removed_if_empty(fs, os.path.dirname(folder))


def _removed_if_empty(fs: Fs, folder: str) -> bool:
    try:
        fs.remove_folder(folder)
    except OSError:
        return not os.path.lexists(folder)
    return True


@contextmanager
def locked_folders(folders: Iterable[str], stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Be the one rali that moves photos out of or into these folders, whatever its catalog.

    Raises:
        CatalogBusyError: another was not done in time, or ``stop`` was asked for meanwhile.
    """
    with ExitStack() as held:
        locked: set[tuple[int, int]] = set()
        for folder in sorted({os.path.realpath(folder) for folder in folders}):  # so that two never wait in a circle
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                held.callback(os.close, file)
                info = os.fstat(file)
                if (info.st_dev, info.st_ino) not in locked:  # one folder can have two paths
                    _lock(file, stop)
                    locked.add((info.st_dev, info.st_ino))
        yield


def _lock(file: int, stop: Callable[[], bool]) -> None:
    if sys.platform == "win32":
        return
    end_s = time.monotonic() + _LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if stop() or time.monotonic() > end_s:
                raise CatalogBusyError("another rali is moving these photos; wait until it is done") from error
            time.sleep(_LOCK_CHECK_S)
        except OSError:  # a share that knows no locks
            return
        else:
            return


def shown_name(path: str) -> str:
    """Return a path's last part, safe to print."""
    return display_path(os.path.basename(path))


def sync_folders(fs: Fs, folders: Iterable[str]) -> None:
    """Bring the names in several folders to the disk."""
    for folder in set(folders):
        fs.sync_folder(folder)
