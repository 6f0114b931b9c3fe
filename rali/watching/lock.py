"""One watcher a root: a lock that the system frees when its holder dies, and a note of who that is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from rali.errors import CatalogBusyError, CatalogWriteError, UnsafeError
from rali.photos.photo import display_path

_PATIENCE_S = 10.0


class RootLock:
    """Holds roots for this process; a context manager.

    The locks lie beside the catalog, because what two watchers would do twice is to write the same catalog.

    Raises:
        UnsafeError: another watcher has one of the roots, or a folder above or below it; the message names it.
        CatalogBusyError: another one is about to begin, and takes long.
        CatalogWriteError: the locks cannot be written.
    """

    def __init__(self, db: Path, roots: Sequence[str], *, patience_s: float = _PATIENCE_S) -> None:
        self._db, self._roots, self._patience_s = db, roots, patience_s
        self._held: list[tuple[FileLock, Path]] = []

    def __enter__(self) -> RootLock:
        try:
            self._db.parent.mkdir(parents=True, exist_ok=True)
            # Held while looking around, so that of two that start at once only one finds nobody.
            with FileLock(self._path("lock"), timeout=self._patience_s):
                self._hold_all()
        except Timeout as error:  # which is an OSError, too
            raise CatalogBusyError(
                "another rali watch is just beginning with this catalog; try again in a moment"
            ) from error
        except OSError as error:
            raise CatalogWriteError(
                f"the locks of a watch cannot be written in {display_path(self._db.parent)} "
                f"({error.strerror or error}); check that folder, or use --db in another place"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def _hold_all(self) -> None:
        try:
            self._refuse_neighbours()
            for root in self._roots:
                self._hold(root)
        except BaseException:
            self._release()
            raise

    def _path(self, rest: str) -> Path:
        return self._db.with_name(f"{self._db.name}.watch-{rest}")

    def _refuse_neighbours(self) -> None:
        for note in self._db.parent.glob(f"{self._db.name}.watch-*.json"):
            try:
                found = json.loads(note.read_text(encoding="utf-8"))
                other, pid, since = os.fsdecode(bytes.fromhex(found["root"])), int(found["pid"]), str(found["since"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # half written by one that was killed; its lock, if any, still counts
            if not any(_related(root, other) for root in self._roots):
                continue
            try:
                with FileLock(note.with_suffix(".lock"), timeout=0):
                    note.unlink(missing_ok=True)  # left by one that was killed
            except Timeout as error:
                raise _taken(other, f"process {pid}, since {since}") from error

    def _hold(self, root: str) -> None:
        key = blake2b(os.fsencode(root), digest_size=12).hexdigest()
        lock, note = FileLock(self._path(f"{key}.lock"), timeout=0), self._path(f"{key}.json")
        try:
            lock.acquire()
        except Timeout as error:
            raise _taken(root, "another process") from error
        self._held.append((lock, note))
        who = {"root": os.fsencode(root).hex(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        note.write_text(json.dumps(who), encoding="utf-8")

    def _release(self) -> None:
        while self._held:
            lock, note = self._held.pop()
            with suppress(OSError):  # a note without its lock is nobody's
                note.unlink(missing_ok=True)
            lock.release()


def _related(one: str, other: str) -> bool:
    return one == other or any(
        inner.startswith(outer.rstrip(os.sep) + os.sep) for inner, outer in ((one, other), (other, one))
    )


def _taken(root: str, who: str) -> UnsafeError:
    return UnsafeError(f"{display_path(root)} is being watched already ({who}): stop that one first")
