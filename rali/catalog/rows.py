"""Values to rows and back; the functions that take a connection run inside a write transaction."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from rali.catalog.records import Outcome, PhotoRecord
from rali.errors import FailureKind
from rali.photos.decode import FileState
from rali.photos.exif import Exposure
from rali.photos.photo import Photo
from rali.prepare import Content

# A look later may find these gone, so they are reported and not remembered.
TRANSIENT_FAILURES = frozenset({FailureKind.VANISHED, FailureKind.UNREADABLE, FailureKind.CHANGED, FailureKind.KILLED})
_OUT_OF_REACH = TRANSIENT_FAILURES - {FailureKind.CHANGED}
_WORD = (1 << 64) - 1
_SIGN = 1 << 63
Value = TypeVar("Value")
IDS_AT_ONCE = 900  # below SQLite's limit of 999 variables in old builds, and a megabyte of vectors


def chunks(ids: Iterable[int]) -> Iterator[list[int]]:
    """Cut row ids, NumPy's too, into lists that one question can name; no more ids are taken than are asked for."""
    return cut(map(int, ids))


def cut(values: Iterable[Value]) -> Iterator[list[Value]]:
    """Cut anything into lists, of each of which one question can name all; no more is taken than is asked for."""
    rest = iter(values)
    while chunk := list(islice(rest, IDS_AT_ONCE)):
        yield chunk


def content_row(connection: sqlite3.Connection, content: Content) -> int:
    """Return the id of a content's row, made if there is none; note the user's work if none looked for it before."""
    user_work = json.dumps(dict(content.user_work), sort_keys=True)
    row = connection.execute("SELECT id, user_work FROM contents WHERE hash = ?", (content.hash,)).fetchone()
    if row is not None:
        content_id, known = row
        if known is None:
            connection.execute("UPDATE contents SET user_work = ? WHERE id = ?", (user_work, content_id))
        exposure_row(connection, content_id, content.shot.exposure)
        return int(content_id)
    cursor = connection.execute(
        """
        INSERT INTO contents (hash, format, width, height, orientation, captured_at, camera, difference_hash, notes,
            user_work)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (
            content.hash,
            content.format,
            content.width,
            content.height,
            content.shot.orientation,
            content.shot.captured_at,
            content.shot.camera,
            signed(content.difference_hash),
            "; ".join(content.notes),
            user_work,
        ),
    )
    content_id = int(cursor.lastrowid or 0)
    exposure_row(connection, content_id, content.shot.exposure)
    return content_id


def exposure_row(connection: sqlite3.Connection, content_id: int, exposure: Exposure) -> None:
    """Note how a content was exposed, in place of what was known before."""
    places = ", ".join("?" * len(fields(Exposure)))
    connection.execute(
        f"INSERT OR REPLACE INTO exposures VALUES (?, {places})",
        (content_id, *(getattr(exposure, column.name) for column in fields(Exposure))),
    )


def photo_row(connection: sqlite3.Connection, photo: Photo, state: FileState, content_id: int | None, now: str) -> int:
    """Bring a photo's row up to date, made if there is none; note what it held before. Return its id."""
    folder, name = os.path.split(photo.file)
    connection.execute("INSERT OR IGNORE INTO folders (path) VALUES (?)", (os.fsencode(folder),))
    (folder_id,) = connection.execute("SELECT id FROM folders WHERE path = ?", (os.fsencode(folder),)).fetchone()
    row = connection.execute(
        "SELECT id, content_id FROM photos WHERE folder_id = ? AND name = ?", (folder_id, os.fsencode(name))
    ).fetchone()
    values = (
        signed(state.device),
        signed(state.inode),
        state.size_bytes,
        state.mtime_ns,
        join_names(photo.companions),
        content_id,
    )
    if row is None:
        cursor = connection.execute(
            """
            INSERT INTO photos (device, inode, size_bytes, mtime_ns, companions, content_id, folder_id, name, listed)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)
            """,
            (*values, folder_id, os.fsencode(name)),
        )
        return int(cursor.lastrowid or 0)
    photo_id, old_content_id = row
    if old_content_id is not None and old_content_id != content_id:
        connection.execute("INSERT INTO history VALUES (?, ?, ?)", (photo_id, old_content_id, now))
    connection.execute(
        """
        UPDATE photos SET device = ?, inode = ?, size_bytes = ?, mtime_ns = ?, companions = ?, content_id = ?,
            listed = 1
        WHERE id = ?
        """,
        (*values, photo_id),
    )
    return int(photo_id)


def content_still_held(connection: sqlite3.Connection, outcome: Outcome) -> int | None:
    """Return the content that a file which could not be decoded still holds, as far as can be told.

    A drive that does not answer must not take the photo's earlier scores away, nor may a failure to decode, for one
    model, a file that another model has scored.
    """
    photo = outcome.photo
    folder, name = os.path.split(photo.file)
    row = connection.execute(
        """
        SELECT p.content_id, p.inode, p.size_bytes, p.mtime_ns FROM photos p JOIN folders f ON f.id = p.folder_id
        WHERE f.path = ? AND p.name = ?
        """,
        (os.fsencode(folder), os.fsencode(name)),
    ).fetchone()
    if row is None:
        return None
    content_id, *held = row
    out_of_reach = outcome.failure is not None and outcome.failure.kind in _OUT_OF_REACH
    return content_id if out_of_reach or held == [signed(photo.inode), photo.size_bytes, photo.mtime_ns] else None


def state_of(outcome: Outcome) -> FileState:
    """Return the state of the very file that was read, where one was: the scan's look was earlier."""
    state = outcome.prepared.state if outcome.prepared else scanned_state(outcome.photo)
    if outcome.failure is not None and outcome.failure.kind in TRANSIENT_FAILURES:
        return replace(state, mtime_ns=-1)  # equal to no file's: the next run looks again
    return state


def scanned_state(photo: Photo) -> FileState:
    """Return the state of a file as the scan saw it."""
    return FileState(photo.device, photo.inode, photo.size_bytes, photo.mtime_ns)


def record_of(row: tuple[Any, ...]) -> PhotoRecord:
    """Make a record of a row of :meth:`Catalog.records`."""
    photo_id, folder, name, score, size_bytes, companions, *content, scored_at, kind, message = row
    format_, width, height, captured_at, camera, notes = content
    return PhotoRecord(
        photo_id=photo_id,
        path=Path(os.fsdecode(os.path.join(folder, name))),
        score=score,
        size_bytes=size_bytes,
        companions=split_names(companions),
        format=format_,
        width=width,
        height=height,
        captured_at=captured_at,
        camera=camera,
        notes=notes,
        scored_at=scored_at,
        # A photo that has this score may have failed since, with another model or for the moment.
        failure_kind=FailureKind(kind) if kind is not None and score is None else None,
        failure_message=message if score is None else None,
    )


def join_names(names: Sequence[str]) -> bytes:
    """Put names of one folder, which cannot hold a slash, into one value."""
    return b"/".join(os.fsencode(name) for name in names)


def split_names(joined: bytes) -> tuple[str, ...]:
    """Undo :func:`join_names`."""
    return tuple(os.fsdecode(name) for name in joined.split(b"/")) if joined else ()


def signed(number: int) -> int:
    """Fit 64 bits (inodes of some file systems, difference hashes) into SQLite's signed integer."""
    number &= _WORD
    return number - (1 << 64) if number >= _SIGN else number


def unsigned(number: int) -> int:
    """Undo :func:`signed`."""
    return number & _WORD


def now_text() -> str:
    """Return the time, UTC, ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
