"""The journal of ratings, in the catalog: what a sidecar holds is kept here before another takes its place.

A run of ``rali rate`` is a row of the table ``runs``, as a cull is, and so has a number and a name among all runs.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from rali.catalog.catalog import Catalog
from rali.catalog.rows import now_text

MODE = "rate"
_HASH_BYTES = 16


class RatingState(StrEnum):
    """What a run's sidecars are going through; only the first two can be found after a kill."""

    RATING = "rating"
    UNRATING = "unrating"
    SETTLED = "settled"


class SidecarState(StrEnum):
    """What became of one sidecar; ``-ING`` states are written before the file is touched."""

    WRITING = "writing"
    WRITTEN = "written"
    RESTORING = "restoring"
    RESTORED = "restored"


@dataclass(frozen=True)
class RatingRun:
    """One run as the journal knows it.

    Attributes:
        roots: the folders and files that were asked for; none: all that the catalog knows.
        chosen: what was asked for, in words.
        files: sidecars that were written.
        restored: those of them that are as they were before.
    """

    id: int
    name: str
    started_at: str
    chosen: str
    model: str
    recipe: str
    state: RatingState
    roots: tuple[str, ...] = ()
    files: int = 0
    restored: int = 0

    @property
    def undone(self) -> bool:
        """Tell if every sidecar is as it was before."""
        return self.files > 0 and self.restored == self.files


@dataclass
class SidecarRecord:
    """One sidecar of a run; the journal gives it its id.

    Attributes:
        photo, path: absolute.
        old: what it held; None if there was none.
        old_mtime_ns, old_permissions: of that file.
        new_hash: of what it was to hold.
    """

    photo: str
    path: str
    old: bytes | None
    old_mtime_ns: int
    old_permissions: int
    new_hash: bytes
    id: int = 0
    state: SidecarState = SidecarState.WRITING


def content_hash(content: bytes | None) -> bytes | None:
    """Return what a sidecar's content is known by; None if there is none."""
    return None if content is None else blake2b(content, digest_size=_HASH_BYTES).digest()


class RatingJournal:
    """The table sidecars of an open catalog. Methods that write do so in one durable transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def begin(self, run: RatingRun) -> RatingRun:
        """Write a run down, whose name must be new; return it with its id."""
        with self._catalog.writing() as connection:
            cursor = connection.execute(
                "INSERT INTO runs (name, started_at, mode, chosen, model, recipe, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run.name, run.started_at, MODE, run.chosen, run.model, run.recipe, run.state),
            )
            run_id = int(cursor.lastrowid or 0)
            connection.executemany(
                "INSERT INTO places (run_id, root, folder) VALUES (?, ?, x'')",
                [(run_id, os.fsencode(root)) for root in run.roots],
            )
        return replace(run, id=run_id)

    def set_state(self, run: RatingRun, state: RatingState) -> None:
        """Write down what a process is about to do with a run, or that it is done."""
        with self._catalog.writing() as connection:
            connection.execute("UPDATE runs SET state = ? WHERE id = ?", (state, run.id))

    def drop(self, run: RatingRun) -> None:
        """Forget a run that has written nothing."""
        with self._catalog.writing() as connection:
            for table in ("sidecars", "places"):
                connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run.id,))
            connection.execute("DELETE FROM runs WHERE id = ?", (run.id,))

    def unfinished(self) -> list[RatingRun]:
        """Return the runs that a process is at, or was at when it was killed."""
        return self._runs("AND state IN (?, ?)", (RatingState.RATING, RatingState.UNRATING))

    def runs(self) -> list[RatingRun]:
        """Return all runs, the last one first."""
        return self._runs("ORDER BY id DESC")

    def find(self, name: str) -> RatingRun | None:
        """Return the run of a name."""
        return next(iter(self._runs("AND name = ?", (name,))), None)

    def add(self, run: RatingRun, sidecars: Sequence[SidecarRecord]) -> None:
        """Write down what is about to be written; gives each its id."""
        with self._catalog.writing() as connection:
            for sidecar in sidecars:
                cursor = connection.execute(
                    """
                    INSERT INTO sidecars (run_id, photo, path, old, old_mtime_ns, old_permissions, new_hash, state)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                    (
                        run.id,
                        os.fsencode(sidecar.photo),
                        os.fsencode(sidecar.path),
                        None if sidecar.old is None else zlib.compress(sidecar.old),
                        sidecar.old_mtime_ns,
                        sidecar.old_permissions,
                        sidecar.new_hash,
                        sidecar.state,
                    ),
                )
                sidecar.id = int(cursor.lastrowid or 0)

    def announce(self, sidecars: Sequence[SidecarRecord]) -> None:
        """Write down that sidecars are about to be restored."""
        self.settle([], changed=[(sidecar, SidecarState.RESTORING) for sidecar in sidecars])

    def settle(
        self, never_written: Sequence[SidecarRecord], *, changed: Sequence[tuple[SidecarRecord, SidecarState]]
    ) -> None:
        """Write down what became of sidecars; of those never written, and of contents restored, nothing is kept."""
        with self._catalog.writing() as connection:
            connection.executemany("DELETE FROM sidecars WHERE id = ?", [(sidecar.id,) for sidecar in never_written])
            for sidecar, state in changed:
                sidecar.state = state
                forget = ", old = NULL" if state is SidecarState.RESTORED else ""
                connection.execute(f"UPDATE sidecars SET state = ?{forget} WHERE id = ?", (state, sidecar.id))

    def sidecars(self, run: RatingRun, *states: SidecarState, after: int = 0, limit: int = -1) -> list[SidecarRecord]:
        """Return sidecars of a run that are in one of ``states``, in order, from the one after number ``after`` on."""
        rows = self._catalog.rows(
            f"""
            SELECT photo, path, old, old_mtime_ns, old_permissions, new_hash, id, state FROM sidecars
            WHERE run_id = ? AND id > ? AND state IN ({", ".join("?" * len(states))}) ORDER BY id LIMIT ?
            """,
            (run.id, after, *states, limit),
        )
        return [_record_of(row) for row in rows]

    def later_run(self, run: RatingRun, path: str) -> str | None:
        """Return the name of a later run that wrote the same sidecar and was not undone."""
        rows = self._catalog.rows(
            """
            SELECT r.name FROM sidecars s JOIN runs r ON r.id = s.run_id
            WHERE s.path = ? AND s.run_id > ? AND s.state = ? ORDER BY s.run_id DESC LIMIT 1
            """,
            (os.fsencode(path), run.id, SidecarState.WRITTEN),
        )
        return rows[0][0] if rows else None

    def _runs(self, tail: str, values: Sequence[object] = ()) -> list[RatingRun]:
        rows = self._catalog.rows(
            f"""
            SELECT id, name, started_at, chosen, model, recipe, state,
                (SELECT count(*) FROM sidecars s WHERE s.run_id = runs.id),
                (SELECT count(*) FROM sidecars s WHERE s.run_id = runs.id AND s.state = 'restored')
            FROM runs WHERE mode = '{MODE}' {tail}
            """,
            values,
        )
        return [
            RatingRun(number, name, started, chosen, model, recipe, RatingState(state), self._roots(number), *counts)
            for number, name, started, chosen, model, recipe, state, *counts in rows
        ]

    def _roots(self, run_id: int) -> tuple[str, ...]:
        rows = self._catalog.rows("SELECT root FROM places WHERE run_id = ? ORDER BY id", (run_id,))
        return tuple(os.fsdecode(root) for (root,) in rows)


def new_rating_run(name: str, *, chosen: str, model: str, recipe: str, roots: Sequence[str]) -> RatingRun:
    """Make the record of a run that begins now."""
    return RatingRun(0, name, now_text(), chosen, model, recipe, RatingState.RATING, tuple(roots))


def _record_of(row: tuple[Any, ...]) -> SidecarRecord:
    photo, path, old, mtime_ns, permissions, new_hash, number, state = row
    content = None if old is None else zlib.decompress(old)
    paths = os.fsdecode(photo), os.fsdecode(path)
    return SidecarRecord(*paths, content, mtime_ns, permissions, new_hash, number, SidecarState(state))
