"""Moves that overwrite nothing and lose nothing, each shot whole.

A move is two steps, each of which the file system does whole or not at all: give the file its new name (a hard link,
which fails where the name is taken), then take the old name away. Killed between them, the file has both names. Across
devices the file is copied under a name of ours first, brought to the disk, read back and compared; where there are no
hard links (FAT, exFAT, many shares) an empty file reserves the new name and is replaced. The caller writes down what is
about to be done before it asks for it (see :mod:`rali.moving.carrier`); from that, and from the inodes on disk,
:meth:`Mover.recover` finishes or takes back what a killed process left.

The calls themselves are in :mod:`rali.moving.moves`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

from rali.moving.moves import (
    Fs,
    GoneError,
    Identity,
    RefusalError,
    TakenError,
    identity_of,
    look,
    make_folders,
    shown_name,
)

# What link() says where a file system has no hard links: FAT, exFAT, SMB, some FUSE; EMLINK where it has no more.
NO_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EACCES}
)
_CHUNK_BYTES = 1 << 20


class Step(Enum):
    """How far a file has come."""

    WAITING = "has its old name alone"
    RESERVED = "has its old name, and an empty file holds the new one"
    PLACED = "has both names, or a copy under the new one"
    MOVED = "has its new name alone"


@dataclass
class Transfer:
    """One file on its way.

    Attributes:
        number: the journal's; part of the name of an unfinished copy.
        source, target: absolute paths.
        identity: of the file at ``source``, as it was when the move was decided.
        copied: of the copy at ``target``, where a link could not be made; noted before the copy gets that name.
        reserved: an empty file of ours may hold ``target``; noted before it is made.
        mtime_ns: the time that a copy gets; a disk that keeps only every second one forgets the original's.
        placeholder: inode of that empty file.
    """

    number: int
    source: str
    target: str
    identity: Identity
    copied: Identity | None = None
    reserved: bool = False
    mtime_ns: int | None = None
    placeholder: int | None = field(default=None, init=False)
    step: Step = field(default=Step.WAITING, init=False)


@dataclass
class Mover:
    """Moves shots; one for each run.

    Attributes:
        run: the run's name, part of the names of unfinished copies.
        note: writes down, durably, what a transfer says of ``copied`` and ``reserved``.
        keeps_source: the old name stays, too (a copy or a second link is made, nothing else).
        copies: never link.
    """

    fs: Fs
    run: str
    note: Callable[[Transfer], None]
    keeps_source: bool = False
    copies: bool = False

    def place(self, shot: Sequence[Transfer]) -> None:
        """Give every file of a shot its new name as well.

        Raises:
            RefusalError: a file is not what it was, or a name is taken; nothing was changed.
            OSError: nothing was changed, or :meth:`put_back` has to be called again later.
        """
        try:
            for transfer in shot:
                if transfer.step is Step.WAITING:
                    self._place(transfer)
        except BaseException:
            self.put_back(shot)
            raise

    def finish(self, shot: Sequence[Transfer]) -> None:
        """Take the old names of a placed shot away. Raises as :meth:`place` does."""
        try:
            for transfer in shot:
                if not self.keeps_source:
                    self._finish(transfer)
        except BaseException:
            self.put_back(shot)
            raise

    def put_back(self, shot: Sequence[Transfer]) -> None:
        """Take back what was done to a shot, as far as it goes.

        A file that has left, and whose old name is another file's by now, stays where it is: its step says so.

        Raises:
            OSError: a file could not be brought to either side; try again later.
        """
        errors: list[OSError] = []
        for transfer in reversed(shot):
            try:
                self._put_back(transfer)
            except OSError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def recover(self, shot: Sequence[Transfer]) -> None:
        """Bring a shot that a killed process may have left half-way to one side; its steps tell to which.

        If any of its files has left, the others follow; else what was begun is taken back.

        Raises:
            OSError: try again later.
        """
        for transfer in shot:
            self._examine(transfer)
        if self.keeps_source and all(transfer.step is Step.PLACED for transfer in shot):
            return
        if not any(transfer.step is Step.MOVED for transfer in shot):
            self.put_back(shot)
            return
        for transfer in shot:  # what cannot follow stays; what has left is never taken back, it may be in use again
            with suppress(RefusalError):
                self.place([transfer])
                self.finish([transfer])

    # --- one file -------------------------------------------------------------------------------------------

    def _place(self, transfer: Transfer) -> None:
        """Give one file its new name, by the first way that works."""
        self._check(transfer)
        make_folders(self.fs, os.path.dirname(transfer.target))
        if self.copies:
            self._copy(transfer)
            return
        try:
            self.fs.link(transfer.source, transfer.target)
        except OSError as error:
            if _same_file(transfer.source, transfer.target):  # a share may do it and then say that it failed
                transfer.step = Step.PLACED
                if isinstance(error, FileExistsError):
                    return
                raise
            if isinstance(error, FileExistsError):
                raise TakenError(_taken(transfer.target)) from error
            crosses = error.errno == errno.EXDEV or (
                error.errno in NO_LINKS and crosses_devices(transfer.source, transfer.target)
            )
            if not crosses and error.errno not in NO_LINKS:
                raise
            if self.keeps_source:
                raise RefusalError("there can be no hard link; use --copy") from error
            if crosses:
                self._copy(transfer)
            else:
                self._reserve(transfer)
            return
        transfer.step = Step.PLACED
        linked = identity_of(transfer.target)
        if linked is None or linked.inode != transfer.identity.inode:  # swapped between the look and the link
            raise RefusalError(f"{shown_name(transfer.source)} was replaced just now")

    def _copy(self, transfer: Transfer) -> None:
        """Copy one file to another device: nothing is trusted until it was read back from the disk."""
        partial = self._partial(os.path.dirname(transfer.target), transfer)
        self._remove_leftover(partial)
        with _reading(transfer) as source:
            copy = self.fs.create(partial)
            try:
                digest = self._copy_content(source, copy)
                self.fs.copy_attributes(transfer.source, partial)
                if transfer.mtime_ns is not None:
                    self.fs.set_time(partial, transfer.mtime_ns)
                self.fs.sync(copy)
                if digest != _digest(copy):
                    raise OSError(errno.EIO, "the copy differs from the original", partial)
                self._check(transfer)
                transfer.copied = Identity.of(os.fstat(copy))
            except BaseException:
                self.fs.unlink(partial)
                raise
            finally:
                os.close(copy)
        self.note(transfer)
        try:
            self.fs.link(partial, transfer.target)
        except FileExistsError as error:
            if not _same_file(partial, transfer.target):
                self.fs.unlink(partial)
                raise TakenError(_taken(transfer.target)) from error
        except OSError as error:
            if _same_file(partial, transfer.target):
                transfer.step = Step.PLACED
            elif error.errno in NO_LINKS:
                self._reserve(transfer)
                self._take_reserved_name(transfer, partial)
                transfer.step = Step.PLACED
                return
            self.fs.unlink(partial)
            raise
        transfer.step = Step.PLACED
        self.fs.unlink(partial)

    def _copy_content(self, source: int, copy: int) -> bytes:
        digest = blake2b()
        while chunk := os.read(source, _CHUNK_BYTES):
            digest.update(chunk)
            self.fs.write(copy, memoryview(chunk))
        return digest.digest()

    def _reserve(self, transfer: Transfer) -> None:
        """Hold a name with an empty file, which the file itself will replace."""
        transfer.reserved = True
        self.note(transfer)
        try:
            placeholder = self.fs.create(transfer.target)
        except FileExistsError as error:
            raise TakenError(_taken(transfer.target)) from error
        transfer.placeholder = os.fstat(placeholder).st_ino
        os.close(placeholder)
        transfer.step = Step.RESERVED

    def _take_reserved_name(self, transfer: Transfer, file: str) -> None:
        """Replace the empty file by ``file``, if it is still ours and empty."""
        there = look(transfer.target)
        if there is None or there.st_size or there.st_ino != transfer.placeholder:
            raise TakenError(_taken(transfer.target))
        self.fs.rename(file, transfer.target)

    def _finish(self, transfer: Transfer) -> None:
        """Take one file's old name away, if it is still that file's, and the new name is, too."""
        if transfer.step is Step.RESERVED:
            self._check(transfer)
            self._take_reserved_name(transfer, transfer.source)
        elif transfer.step is Step.PLACED:
            self._check_new_name(transfer)
            try:
                self._check(transfer)
                self._take_away(transfer)
            except (GoneError, FileNotFoundError) as error:
                if look(transfer.source) is not None or look(self._aside(transfer, transfer.source)) is not None:
                    raise
                # Somebody else took the old name away. If another name holds the file, ours would double it.
                if transfer.copied is None and os.lstat(transfer.target).st_nlink > 1:
                    self.fs.unlink(transfer.target)
                    transfer.step = Step.WAITING
                    raise RefusalError(
                        f"{shown_name(transfer.source)} was moved by another program just now"
                    ) from error
        transfer.step = Step.MOVED

    def _check_new_name(self, transfer: Transfer) -> None:
        """Refuse to take away what may be the last name: while it was placed, others may have had their way."""
        there = identity_of(transfer.target)
        if there is None or (
            there != transfer.copied if transfer.copied is not None else there.inode != transfer.identity.inode
        ):
            transfer.step = Step.WAITING  # what is there by now is not ours
            raise RefusalError(f"{shown_name(transfer.target)} was changed or removed where it had just been put")

    def _take_away(self, transfer: Transfer) -> None:
        """Take the old name away: move what has it aside at one instant, then look what that was."""
        aside = self._aside(transfer, transfer.source)
        self.fs.rename(transfer.source, aside)
        if identity_of(aside) == transfer.identity:
            self.fs.unlink(aside)
            return
        self._return_aside(transfer, transfer.source)  # a program saved its own version a moment ago
        raise RefusalError(f"{shown_name(transfer.source)} has changed")

    def _return_aside(self, transfer: Transfer, name: str) -> None:
        """Give what was moved aside its name back; if that is taken by now, it stays for the next recovery."""
        aside = self._aside(transfer, name)
        if look(aside) is None:
            return
        try:
            self.fs.link(aside, name)
        except OSError as error:
            if error.errno in NO_LINKS and look(name) is None:
                self.fs.rename(aside, name)
                return
            if not _same_file(aside, name):
                raise
        self.fs.unlink(aside)

    def _put_back(self, transfer: Transfer) -> None:
        self._return_aside(transfer, transfer.source)
        self._remove_leftover(self._partial(os.path.dirname(transfer.target), transfer))
        if transfer.step is Step.WAITING:
            return
        if transfer.step is Step.MOVED:
            identity = transfer.copied or transfer.identity
            back = Transfer(
                transfer.number, transfer.target, transfer.source, identity, mtime_ns=transfer.identity.mtime_ns
            )
            with suppress(RefusalError):
                self._place(back)
                self.fs.sync_folder(os.path.dirname(back.target))
                self._finish(back)
                transfer.step = Step.WAITING
            return
        here, there = look(transfer.source), look(transfer.target)
        if transfer.step is Step.PLACED and there is not None and self._has_left(transfer, here, there):
            transfer.step = Step.MOVED  # what we hold may be all there is of it
            return
        if there is not None and self._is_ours(transfer, here, there):
            self.fs.unlink(transfer.target)
        transfer.step = Step.WAITING

    def _has_left(self, transfer: Transfer, here: os.stat_result | None, there: os.stat_result) -> bool:
        """Tell if the old name is nobody's or another file's by now, and the new one holds ours."""
        ours = Identity.of(there) == transfer.copied or there.st_ino == transfer.identity.inode
        return ours and (here is None or here.st_ino != transfer.identity.inode)

    def _is_ours(self, transfer: Transfer, here: os.stat_result | None, there: os.stat_result) -> bool:
        """Tell if what has the new name was certainly put there by us, so that it can be taken away again."""
        if transfer.step is Step.RESERVED:
            return there.st_size == 0 and there.st_ino != transfer.identity.inode
        return here is not None and (os.path.samestat(here, there) or Identity.of(there) == transfer.copied)

    def _examine(self, transfer: Transfer) -> None:
        """Find out from the disk alone how far a file has come; inodes decide, never contents."""
        self._return_aside(transfer, transfer.source)
        self._return_aside(transfer, transfer.target)
        for folder in {os.path.dirname(transfer.target), os.path.dirname(transfer.source)}:
            self._remove_leftover(self._partial(folder, transfer))
        here, there = look(transfer.source), look(transfer.target)
        transfer.step = Step.WAITING
        if there is None:
            return
        held = Identity.of(there)
        if here is not None and os.path.samestat(here, there):
            transfer.step = Step.PLACED
        elif held == transfer.copied:
            # If the old name holds another file by now, that is the user's, and the one that was meant has left.
            still_here = here is not None and Identity.of(here) == transfer.identity
            transfer.step = Step.PLACED if still_here else Step.MOVED
        elif transfer.reserved and held.size_bytes == 0 and held.inode != transfer.identity.inode:
            transfer.step, transfer.placeholder = Step.RESERVED, held.inode
        elif transfer.copied is None and held.inode == transfer.identity.inode:
            transfer.step = Step.MOVED  # here, too, the old name may hold what another program has saved since
        elif here is None:
            transfer.step = Step.MOVED  # on a disk without lasting inodes; or it arrived, and was edited since

    def _check(self, transfer: Transfer) -> None:
        """Refuse a file that is not the one which was decided on."""
        found = look(transfer.source)
        if found is None:
            raise GoneError(f"{shown_name(transfer.source)} is gone")
        if not stat.S_ISREG(found.st_mode):
            raise RefusalError(f"{shown_name(transfer.source)} is no regular file any more")
        if Identity.of(found) != transfer.identity:
            raise RefusalError(f"{shown_name(transfer.source)} has changed")

    def _partial(self, folder: str, transfer: Transfer) -> str:
        return os.path.join(folder, f".rali-partial-{self.run}-{transfer.number}")

    def _aside(self, transfer: Transfer, name: str) -> str:
        return os.path.join(os.path.dirname(name), f".rali-aside-{self.run}-{transfer.number}")

    def _remove_leftover(self, partial: str) -> None:
        if look(partial) is not None:
            self.fs.unlink(partial)


def crosses_devices(source: str, target: str) -> bool:
    """Tell if a file would go to another disk."""
    return os.lstat(source).st_dev != os.stat(os.path.dirname(target)).st_dev


def _same_file(one: str, other: str) -> bool:
    here, there = look(one), look(other)
    return here is not None and there is not None and os.path.samestat(here, there)


def _taken(path: str) -> str:
    return f"there is another {shown_name(path)} by now"


@contextmanager
def _reading(transfer: Transfer) -> Iterator[int]:
    """Open a transfer's source for reading; RefusalError if it is not the file that was decided on."""
    file = os.open(transfer.source, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if Identity.of(os.fstat(file)) != transfer.identity:
            raise RefusalError(f"{shown_name(transfer.source)} has changed")
        yield file
    finally:
        os.close(file)


def _digest(file: int) -> bytes:
    """Read a whole file back, from the disk where the system lets us say so."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(file, 0, os.SEEK_SET)
    digest = blake2b()
    while chunk := os.read(file, _CHUNK_BYTES):
        digest.update(chunk)
    return digest.digest()
