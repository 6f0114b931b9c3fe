"""The journal of moves, in the catalog: what is about to be done to a file is written here before it is done."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from rali.catalog.catalog import Catalog
from rali.catalog.rows import cut, now_text, signed, unsigned

Mode = Literal["move", "copy", "hardlink"]


class RunState(StrEnum):
    """What a run's files are going through; only the first three can be found after a kill."""

    MOVING = "moving"
    UNDOING = "undoing"
    PURGING = "purging"
    SETTLED = "settled"
    TRASHED = "trashed"


class MoveState(StrEnum):
    """What became of one file; ``-ING`` states are written before the file is touched."""

    LEAVING = "leaving"
    AWAY = "away"
    STAYED = "stayed"
    RETURNING = "returning"
    BACK = "back"
    DELETING = "deleting"
    DELETED = "deleted"


class Place(NamedTuple):
    """Where a run puts what lies below one root: a folder of its own inside a quarantine."""

    id: int
    root: str
    folder: str


@dataclass(frozen=True)
class RunRecord:
    """One run as the journal knows it.

    Attributes:
        shots, files, size_bytes: of what left.
        away, away_bytes: files that are in the quarantine now, and their size.
        back: files that came back.
        deleted: files that were purged.
    """

    id: int
    name: str
    started_at: str
    mode: Mode
    chosen: str
    model: str
    recipe: str
    state: RunState
    places: tuple[Place, ...] = ()
    shots: int = 0
    files: int = 0
    size_bytes: int = 0
    away: int = 0
    away_bytes: int = 0
    back: int = 0
    deleted: int = 0

    @property
    def undone(self) -> bool:
        """Tell if everything that left is back."""
        return self.files > 0 and self.back == self.files


@dataclass
class MoveRecord:
    """One file of a run; the journal gives it its id.

    Attributes:
        shot: a number that the files of one shot share.
        source, destination: its own path, and the one in the quarantine.
        inode, size_bytes, mtime_ns: the file as the plan saw it.
        away: inode and time of the copy in the quarantine, where it is a copy.
        crossed: the quarantine was on another disk than the photo.
        back: the same of a copy that came back.
        reserved: its new name may be held by an empty file of ours.
    """

    place_id: int
    shot: int
    source: str
    destination: str
    inode: int
    size_bytes: int
    mtime_ns: int
    id: int = 0
    away: tuple[int, int] | None = None
    crossed: bool = False
    back: tuple[int, int] | None = None
    reserved: bool = False
    state: MoveState = MoveState.LEAVING
    reason: str | None = None


class Journal:
    """The tables runs, places and moves of an open catalog. Methods that write do so in one durable transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    # --- runs -----------------------------------------------------------------------------------------------

    def begin(self, run: RunRecord) -> RunRecord:
        """Write a run down, whose name must be new, before its first folder is made; return it with its ids."""
        with self._writing() as connection:
            cursor = connection.execute(
                "INSERT INTO runs (name, started_at, mode, chosen, model, recipe, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run.name, run.started_at, run.mode, run.chosen, run.model, run.recipe, run.state),
            )
            run_id = int(cursor.lastrowid or 0)
            places = []
            for place in run.places:
                cursor = connection.execute(
                    "INSERT INTO places (run_id, root, folder) VALUES (?, ?, ?)",
                    (run_id, os.fsencode(place.root), os.fsencode(place.folder)),
                )
                places.append(place._replace(id=int(cursor.lastrowid or 0)))
        return replace(run, id=run_id, places=tuple(places))

    def set_state(self, run: RunRecord, state: RunState) -> None:
        """Write down what a process is about to do with a run, or that it is done."""
        with self._writing() as connection:
            connection.execute("UPDATE runs SET state = ? WHERE id = ?", (state, run.id))

    def drop(self, run: RunRecord) -> None:
        """Forget a run that has moved nothing."""
        with self._writing() as connection:
            connection.execute("DELETE FROM moves WHERE run_id = ?", (run.id,))
            connection.execute("DELETE FROM places WHERE run_id = ?", (run.id,))
            connection.execute("DELETE FROM runs WHERE id = ?", (run.id,))

    def unfinished(self) -> list[RunRecord]:
        """Return the runs that a process is at, or was at when it was killed."""
        return self._runs("WHERE state IN ('moving', 'undoing', 'purging')")

    def runs(self) -> list[RunRecord]:
        """Return all runs, the last one first."""
        return self._runs("ORDER BY id DESC")

    def find(self, name: str) -> RunRecord | None:
        """Return the run of a name."""
        return next(iter(self._runs("WHERE name = ?", (name,))), None)

    # --- moves ----------------------------------------------------------------------------------------------

    def add(self, run: RunRecord, moves: Sequence[MoveRecord]) -> None:
        """Write down what is about to be moved; gives each its id."""
        with self._writing() as connection:
            (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM moves").fetchone()
            for number, move in enumerate(moves, start=last + 1):
                move.id = number
            connection.executemany(
                """
                INSERT INTO moves (id, run_id, place_id, shot, source, destination, inode, size_bytes, mtime_ns,
                    away_inode, away_mtime_ns, crossed, state, reason)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                [
                    (
                        move.id,
                        run.id,
                        move.place_id,
                        move.shot,
                        os.fsencode(move.source),
                        os.fsencode(move.destination),
                        signed(move.inode),
                        move.size_bytes,
                        move.mtime_ns,
                        *_pair(move.away),
                        move.crossed,
                        move.state,
                        move.reason,
                    )
                    for move in moves
                ],
            )

    def note(self, move: MoveRecord) -> None:
        """Write down which inode a copy has, or that a name is about to be reserved."""
        with self._writing() as connection:
            connection.execute(
                """
                UPDATE moves SET
                    away_inode = ?, away_mtime_ns = ?, crossed = ?, back_inode = ?, back_mtime_ns = ?, reserved = ?
                WHERE id = ?
                """,
                (*_pair(move.away), move.crossed, *_pair(move.back), move.reserved, move.id),
            )

    def rename(self, moves: Sequence[MoveRecord]) -> None:
        """Write down other destinations, before they are used."""
        for move in moves:
            move.reserved = False
        with self._writing() as connection:
            connection.executemany(
                "UPDATE moves SET destination = ?, reserved = 0 WHERE id = ?",
                [(os.fsencode(move.destination), move.id) for move in moves],
            )

    def announce(self, moves: Sequence[MoveRecord], state: MoveState) -> None:
        """Write down what is about to be done to files; what an earlier attempt noted of it no longer holds."""
        for move in moves:
            move.state, move.back, move.reserved = state, None, False
        with self._writing() as connection:
            connection.executemany(
                "UPDATE moves SET state = ?, back_inode = NULL, back_mtime_ns = NULL, reserved = 0 WHERE id = ?",
                [(state, move.id) for move in moves],
            )

    def settle(self, run: RunRecord, moves: Sequence[MoveRecord]) -> None:
        """Write down what became of files, and bring rankings in line: what left is out of them, what is back is in."""
        with self._writing() as connection:
            connection.executemany(
                "UPDATE moves SET state = ?, reason = ? WHERE id = ?",
                [(move.state, move.reason, move.id) for move in moves],
            )
            for move in moves:
                if move.state is MoveState.AWAY and run.mode == "move":
                    _unlist(connection, move)
                elif move.state is MoveState.BACK:
                    _relist(connection, move)

    def moves(self, run: RunRecord, *states: MoveState) -> list[list[MoveRecord]]:
        """Return the files of a run that are in one of ``states``, shot by shot."""
        shots: dict[int, list[MoveRecord]] = {}
        for row in self._rows(
            f"""
            SELECT place_id, shot, source, destination, inode, size_bytes, mtime_ns, id, away_inode, away_mtime_ns,
                crossed, back_inode, back_mtime_ns, reserved, state, reason
            FROM moves WHERE run_id = ? AND state IN ({", ".join("?" * len(states))}) ORDER BY shot, id
            """,
            (run.id, *states),
        ):
            place_id, shot, source, destination, inode, size_bytes, mtime_ns, move_id, *rest = row
            away_inode, away_mtime_ns, crossed, back_inode, back_mtime_ns, reserved, state, reason = rest
            move = MoveRecord(
                place_id,
                shot,
                os.fsdecode(source),
                os.fsdecode(destination),
                unsigned(inode),
                size_bytes,
                mtime_ns,
                move_id,
                None if away_inode is None else (unsigned(away_inode), away_mtime_ns),
                bool(crossed),
                None if back_inode is None else (unsigned(back_inode), back_mtime_ns),
                bool(reserved),
                MoveState(state),
                reason,
            )
            shots.setdefault(shot, []).append(move)
        return list(shots.values())

    def away(self, paths: Iterable[str]) -> dict[str, tuple[str, str]]:
        """Return, of those paths whose file a run has in its quarantine, the run's name and where the file lies."""
        found: dict[str, tuple[str, str]] = {}
        for chunk in cut(map(os.fsencode, paths)):
            rows = self._rows(
                f"""
                SELECT m.source, r.name, m.destination FROM moves m JOIN runs r ON r.id = m.run_id
                WHERE m.source IN ({", ".join("?" * len(chunk))}) AND m.state = 'away' AND r.mode = 'move' ORDER BY m.id
                """,
                chunk,
            )
            found |= {os.fsdecode(source): (run, os.fsdecode(destination)) for source, run, destination in rows}
        return found

    # ---------------------------------------------------------------------------------------------------------

    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._catalog.writing()

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._catalog.rows(sql, values)

    def _runs(self, tail: str, values: Sequence[object] = ()) -> list[RunRecord]:
        found = []
        for row in self._rows(
            # Runs of rali rate are in rali/catalog/rating_journal.py.
            f"""
            SELECT id, name, started_at, mode, chosen, model, recipe, state
            FROM (SELECT * FROM runs WHERE mode != 'rate') {tail}
            """,
            values,
        ):
            run_id, name, started_at, mode, chosen, model, recipe, state = row
            places = self._rows("SELECT id, root, folder FROM places WHERE run_id = ? ORDER BY id", (run_id,))
            ((shots, files, size_bytes, away, away_bytes, back, deleted),) = self._rows(
                """
                SELECT
                    count(DISTINCT shot), count(*), coalesce(sum(size_bytes), 0),
                    coalesce(sum(state IN ('away', 'returning', 'deleting')), 0),
                    coalesce(sum(CASE WHEN state IN ('away', 'returning', 'deleting') THEN size_bytes END), 0),
                    coalesce(sum(state = 'back'), 0), coalesce(sum(state = 'deleted'), 0)
                FROM moves WHERE run_id = ? AND state != 'stayed'
                """,
                (run_id,),
            )
            found.append(
                RunRecord(
                    run_id,
                    name,
                    started_at,
                    mode,
                    chosen,
                    model,
                    recipe,
                    RunState(state),
                    tuple(Place(i, os.fsdecode(root), os.fsdecode(folder)) for i, root, folder in places),
                    shots=shots,
                    files=files,
                    size_bytes=size_bytes,
                    away=away,
                    away_bytes=away_bytes,
                    back=back,
                    deleted=deleted,
                )
            )
        return found


def new_run(
    name: str, *, mode: Mode, chosen: str, model: str, recipe: str, places: Iterable[tuple[str, str]]
) -> RunRecord:
    """Make the record of a run that begins now; ``places`` are roots and folders."""
    return RunRecord(
        0, name, now_text(), mode, chosen, model, recipe, RunState.MOVING, tuple(Place(0, *place) for place in places)
    )


def _pair(pair: tuple[int, int] | None) -> tuple[int | None, int | None]:
    return (None, None) if pair is None else (signed(pair[0]), pair[1])


_AT_PATH = "name = ? AND folder_id = (SELECT id FROM folders WHERE path = ?)"


def _unlist(connection: sqlite3.Connection, move: MoveRecord) -> None:
    folder, name = map(os.fsencode, os.path.split(move.source))
    changed = connection.execute(f"UPDATE photos SET listed = 0 WHERE listed AND {_AT_PATH}", (name, folder))
    if changed.rowcount:
        connection.execute("UPDATE moves SET listed = 1 WHERE id = ?", (move.id,))


def _relist(connection: sqlite3.Connection, move: MoveRecord) -> None:
    """Show a photo again that rankings showed before; a copy has come back with another inode."""
    folder, name = map(os.fsencode, os.path.split(move.source))
    inode, mtime_ns = move.back or (move.inode, move.mtime_ns)
    connection.execute(
        f"""
        UPDATE photos SET listed = 1, inode = ?, mtime_ns = ?
        WHERE {_AT_PATH} AND inode = ? AND mtime_ns = ? AND (SELECT listed FROM moves WHERE id = ?)
        """,
        (signed(inode), mtime_ns, name, folder, signed(move.inode), move.mtime_ns, move.id),
    )
