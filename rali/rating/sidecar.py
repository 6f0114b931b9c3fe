"""One sidecar on disk: another content in its place in one step, or its former one again, or none.

The new content is written beside it under a name of its own, brought to the disk, and only then takes the sidecar's
name; a sidecar that is not what it is expected to be by then is left alone. A process that is killed leaves the old
content or the new one, and perhaps the file beside it, which :func:`clear` removes.
"""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress

from rali.catalog.rating_journal import SidecarRecord, SidecarState, content_hash
from rali.moving.mover import NO_LINKS
from rali.moving.moves import Fs, RefusalError, look, shown_name
from rali.photos.xmp_meaning import UnmergeableError
from rali.rating.plan import look_at_sidecar


def write(fs: Fs, run: str, sidecar: SidecarRecord, content: bytes) -> None:
    """Give a sidecar its new content; it keeps its permissions, and its time becomes now, so that programs notice.

    Raises:
        RefusalError: another program has changed it meanwhile.
        OSError: it is as it was.
    """
    mtime_ns = None if sidecar.old is None else time.time_ns()
    _put(fs, run, sidecar, content, expected=content_hash(sidecar.old), mtime_ns=mtime_ns)


def restore(fs: Fs, run: str, sidecar: SidecarRecord) -> None:
    """Give a sidecar its former content, permissions and time, or remove it if there was none.

    Raises:
        RefusalError: another program has changed it since it was written.
        OSError: it is as it was.
    """
    if sidecar.old is not None:
        _put(fs, run, sidecar, sidecar.old, expected=sidecar.new_hash, mtime_ns=sidecar.old_mtime_ns)
        return
    _check(sidecar.path, sidecar.new_hash)
    fs.unlink(sidecar.path)


def hash_now(path: str) -> bytes | None:
    """Return what a sidecar is known by as it is now; None if there is none.

    Raises:
        RefusalError: it is write-protected, or a symbolic link.
        OSError: it cannot be read.
    """
    try:
        return content_hash(look_at_sidecar(path).content)
    except UnmergeableError as error:
        raise RefusalError(str(error)) from None


def clear(fs: Fs, run: str, sidecar: SidecarRecord) -> None:
    """Remove what a killed process left beside a sidecar, or as its empty place. Raises OSError."""
    partial = _partial(run, sidecar)
    if look(partial) is not None:
        fs.unlink(partial)
    found = look(sidecar.path)
    reserves = sidecar.state is SidecarState.WRITING and sidecar.old is None
    if reserves and found is not None and stat.S_ISREG(found.st_mode) and not found.st_size:
        fs.unlink(sidecar.path)  # an empty file that _take_name had made


def _put(
    fs: Fs, run: str, sidecar: SidecarRecord, content: bytes, *, expected: bytes | None, mtime_ns: int | None
) -> None:
    partial = _partial(run, sidecar)
    try:
        file = fs.create(partial)
        try:
            fs.write(file, memoryview(content))
            if expected is not None:
                fs.copy_attributes(sidecar.path, partial)
            fs.set_permissions(partial, sidecar.old_permissions)
            if mtime_ns is not None:
                fs.set_time(partial, mtime_ns)
            fs.sync(file)
        finally:
            os.close(file)
        _check(sidecar.path, expected)
        if expected is None:
            _take_name(fs, partial, sidecar.path)
        else:
            fs.replace(partial, sidecar.path)
    finally:
        if look(partial) is not None:
            with suppress(OSError):  # what remains has a name that no program looks for
                fs.unlink(partial)


def _take_name(fs: Fs, partial: str, path: str) -> None:
    """Give a file a name that is free, and stays another's if it is not; ``partial`` may remain."""
    try:
        fs.link(partial, path)
    except FileExistsError:
        raise RefusalError(_changed(path)) from None
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            os.close(fs.create(path))
        except FileExistsError:
            raise RefusalError(_changed(path)) from None
        fs.replace(partial, path)


def _check(path: str, expected: bytes | None) -> None:
    if hash_now(path) != expected:
        raise RefusalError(_changed(path))


def _changed(path: str) -> str:
    return f"{shown_name(path)} was changed by another program meanwhile, and is left as it is"


def _partial(run: str, sidecar: SidecarRecord) -> str:
    return os.path.join(os.path.dirname(sidecar.path), f".rali-partial-{run}-{sidecar.id}")
