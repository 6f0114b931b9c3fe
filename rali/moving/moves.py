"""The calls that change users' files, and the checks that belong to them: the ONE module that does so.

Nobody else in rali links, renames, unlinks or makes folders among the user's files (a test looks for it). What protects
the files, the order of the steps, is in :mod:`rali.moving.mover`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NamedTuple

from rali.photos.photo import display_path
from rali.photos.scan import JOURNAL_NAME

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

    def make_folder(self, path: str) -> None:
        """Make one folder."""
        os.mkdir(path)

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
        raise GoneError(f"{_name(path)} is gone")
    if not found.alike(identity):
        raise RefusalError(f"{_name(path)} has changed since it was culled")
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


def make_folders(fs: Fs, folder: str) -> None:
    """Make a folder, and those above it that are missing."""
    if os.path.isdir(folder):
        return
    make_folders(fs, os.path.dirname(folder))
    try:
        fs.make_folder(folder)
        fs.sync_folder(os.path.dirname(folder))
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def clear_run_folder(fs: Fs, folder: str) -> None:
    """Remove what is empty at and below a run's folder, and its journal and the quarantine if nothing else is left."""
    prune_folders(fs, folder)
    with suppress(OSError):
        if os.listdir(folder) == [JOURNAL_NAME]:
            fs.unlink(os.path.join(folder, JOURNAL_NAME))
            fs.remove_folder(folder)
            if os.path.basename(os.path.dirname(folder)) == QUARANTINE:
                fs.remove_folder(os.path.dirname(folder))


def prune_folders(fs: Fs, folder: str) -> None:
    """Remove the empty folders at and below ``folder``."""
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            fs.remove_folder(path)
        except OSError:  # not empty, or not ours to remove
            continue


@contextmanager
def locked_folders(folders: Iterable[str]) -> Iterator[None]:
    """Be the one rali that moves photos out of or into these folders, whatever its catalog; wait until that is so."""
    with ExitStack() as held:
        for folder in sorted(set(folders)):  # in one order, so that two never wait for each other
            with suppress(OSError):  # gone, or on a share that knows no locks
                file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
                held.callback(os.close, file)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _name(path: str) -> str:
    return display_path(os.path.basename(path))


def sync_folders(fs: Fs, folders: Iterable[str]) -> None:
    """Bring the names in several folders to the disk."""
    for folder in set(folders):
        fs.sync_folder(folder)
