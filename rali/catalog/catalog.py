"""The catalog: which photos there are, what they scored, why some did not."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rali.catalog.connection import BUSY_TIMEOUT_S, connect, explained, reading, writing
from rali.catalog.records import Candidate, HeldContent, KnownPhoto, Mark, Outcome, PhotoRecord, Scope, Scoring
from rali.catalog.rows import (
    chunks,
    content_row,
    content_still_held,
    join_names,
    now_text,
    photo_row,
    record_of,
    scanned_state,
    signed,
    split_names,
    state_of,
    unsigned,
)
from rali.catalog.scope import below, in_scope, scope_lets_through
from rali.errors import CatalogError, FailureKind
from rali.model.bundle import BundleInfo
from rali.photos.decode import DECODE_VERSION
from rali.photos.photo import Photo, display_path, is_gone

# A failure of the decoder concerns every scoring, one of the model that model alone.
_CONCERNS = "(x.scoring_id IS NULL OR x.scoring_id = ?)"


class Catalog:
    """An open catalog; use it as a context manager. One thread, any number of processes.

    With ``create=False`` a catalog that is not there yet, or is damaged, is an error; otherwise a new one is begun.

    Every method may raise :class:`~rali.errors.CatalogError`. Methods that write do so in one transaction.

    Attributes:
        path: of the database file.
        set_aside: where a damaged catalog that lay at ``path`` went, if there was one.
    """

    def __init__(self, path: Path, *, create: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        if not create and not path.exists():
            raise CatalogError(f"there is no catalog at {display_path(path)} yet; run: rali score FOLDER")
        self.path = path
        self._db, self.set_aside = connect(path, busy_timeout_s=busy_timeout_s, rebuild=create)

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    # --- what a scan asks -----------------------------------------------------------------------------------

    def scoring(self, info: BundleInfo, recipe: str) -> Scoring:
        """Note that a model is used with a recipe, and return what the catalog calls that."""
        same = "WHERE model_id = ? AND recipe = ?"
        used_last = f"{same} AND model_name = ? AND last_use = (SELECT max(last_use) FROM scorings)"
        if found := self._scorings(used_last, (info.model_id, recipe, info.name)):
            return found[0]  # nothing to write: a rescan of an unchanged library waits for no disk
        with writing(self._db, self.path) as connection:
            connection.execute(
                """
                INSERT INTO scorings (model_id, recipe, model_name, score_low, score_high, last_use)
                VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(last_use), 0) + 1 FROM scorings))
                ON CONFLICT (model_id, recipe) DO UPDATE SET
                    model_name = excluded.model_name, last_use = excluded.last_use
                """,
                (info.model_id, recipe, info.name, info.score_low, info.score_high),
            )
        return self._scorings(same, (info.model_id, recipe))[0]

    def known_in(self, folder: str, scoring: Scoring) -> dict[str, KnownPhoto]:
        """Return what is remembered of the files in ``folder`` itself, by name."""
        rows = self._rows(
            f"""
            SELECT p.name, p.id, p.inode, p.size_bytes, p.mtime_ns, p.companions, p.listed,
                s.content_id IS NOT NULL, x.photo_id IS NOT NULL
            FROM folders f
            JOIN photos p ON p.folder_id = f.id
            LEFT JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
            LEFT JOIN failures x ON x.photo_id = p.id AND x.decoder = ? AND {_CONCERNS}
            WHERE f.path = ?
            """,
            (scoring.id, DECODE_VERSION, scoring.id, os.fsencode(folder)),
        )
        # Once for every file of an unchanged library: no function is called that need not be.
        encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
        return {
            name.decode(encoding, errors): KnownPhoto(
                photo_id,
                inode if inode >= 0 else unsigned(inode),
                size_bytes,
                mtime_ns,
                split_names(companions) if companions else (),
                listed == 1,
                scored == 1,
                failed == 1,
            )
            for name, photo_id, inode, size_bytes, mtime_ns, companions, listed, scored, failed in rows
        }

    def folders_below(self, root: str) -> list[str]:
        """Return the folders at and below ``root`` in which listed photos are remembered."""
        condition, values = below(root)
        rows = self._rows(
            f"""
            SELECT f.path FROM folders f WHERE {condition}
            AND EXISTS (SELECT 1 FROM photos p WHERE p.folder_id = f.id AND p.listed)
            """,
            values,
        )
        return [os.fsdecode(path) for (path,) in rows]

    def lists_any(self, root: str) -> bool:
        """Tell if listed photos are remembered at or below ``root``; unlike a count, at once."""
        condition, values = below(root)
        listed = "EXISTS (SELECT 1 FROM photos p WHERE p.folder_id = f.id AND p.listed)"
        return bool(self._rows(f"SELECT 1 FROM folders f WHERE {condition} AND {listed} LIMIT 1", values))

    def score_of(self, content_hash: bytes, scoring: Scoring) -> float | None:
        """Return the score of a content, whatever file it came from; None if there is none yet."""
        rows = self._rows(
            "SELECT s.score FROM contents c JOIN scores s ON s.content_id = c.id WHERE c.hash = ? AND scoring_id = ?",
            (content_hash, scoring.id),
        )
        return rows[0][0] if rows else None

    def adopt(self, photos: Iterable[Photo]) -> int:
        """Give renamed files the content they had, without opening them; return how many there were.

        The old name is taken out of rankings. A file is known again by device, inode, size and time of change: a rename
        touches none of them.
        """
        known: list[tuple[Photo, int, int | None]] = []
        for photo in photos:
            rows = self._rows(
                """
                SELECT p.content_id, p.id, f.path, p.name FROM photos p JOIN folders f ON f.id = p.folder_id
                WHERE inode = ? AND size_bytes = ? AND mtime_ns = ? AND device = ? AND content_id IS NOT NULL
                """,
                (signed(photo.inode), photo.size_bytes, photo.mtime_ns, signed(photo.device)),
            )
            for content_id, photo_id, folder, name in rows[:1]:
                moved = is_gone(os.fsdecode(os.path.join(folder, name)))
                known.append((photo, content_id, photo_id if moved else None))
        if known:
            with writing(self._db, self.path) as connection:
                for photo, content_id, old_photo_id in known:
                    if old_photo_id is not None:
                        connection.execute("UPDATE photos SET listed = 0 WHERE id = ?", (old_photo_id,))
                    photo_row(connection, photo, scanned_state(photo), content_id, now_text())
        return len(known)

    def names_of(self, photo: Photo) -> list[str]:
        """Return the paths under which the very file of ``photo`` is listed: same device and inode."""
        rows = self._rows(
            """
            SELECT f.path, p.name FROM photos p JOIN folders f ON f.id = p.folder_id
            WHERE p.inode = ? AND p.device = ? AND p.listed
            """,
            (signed(photo.inode), signed(photo.device)),
        )
        return [os.fsdecode(os.path.join(folder, name)) for folder, name in rows]

    def devices_in(self, folder: str) -> set[int]:
        """Return the devices that the listed photos in ``folder`` itself lay on when they were last looked at."""
        rows = self._rows(
            """
            SELECT DISTINCT p.device FROM folders f JOIN photos p ON p.folder_id = f.id WHERE f.path = ? AND p.listed
            """,
            (os.fsencode(folder),),
        )
        return {unsigned(device) for (device,) in rows}

    def device_of_each(self, folder: str) -> dict[int, int]:
        """Return the device that each listed photo in ``folder`` itself lay on when it was last looked at, by id."""
        rows = self._rows(
            "SELECT p.id, p.device FROM folders f JOIN photos p ON p.folder_id = f.id WHERE f.path = ? AND p.listed",
            (os.fsencode(folder),),
        )
        return {photo_id: unsigned(device) for photo_id, device in rows}

    # --- what a run writes ----------------------------------------------------------------------------------

    def store(self, outcomes: Sequence[Outcome], scoring: Scoring) -> None:
        """Store what became of some photos: all of them, or on an error none."""
        now = now_text()
        with writing(self._db, self.path) as connection:
            for outcome in outcomes:
                content_id = (
                    content_row(connection, outcome.prepared.content)
                    if outcome.prepared is not None
                    else content_still_held(connection, outcome)
                )
                photo_id = photo_row(connection, outcome.photo, state_of(outcome), content_id, now)
                connection.execute("DELETE FROM failures WHERE photo_id = ?", (photo_id,))
                if outcome.score is not None:
                    connection.execute(
                        "INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)",
                        (scoring.id, content_id, outcome.score, now),
                    )
                    connection.execute(
                        "INSERT OR REPLACE INTO embeddings VALUES (?, ?, ?)",
                        (scoring.id, content_id, outcome.embedding),
                    )
                if outcome.failure is not None:
                    by_model = scoring.id if outcome.failure.kind is FailureKind.NOT_FINITE else None
                    connection.execute(
                        "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?)",
                        (photo_id, outcome.failure.kind, outcome.failure.message, DECODE_VERSION, by_model, now),
                    )

    def relist(self, photos: Sequence[tuple[KnownPhoto, Photo]]) -> None:
        """Note what changed around files that are themselves unchanged: companions, device, being there."""
        with writing(self._db, self.path) as connection:
            connection.executemany(
                "UPDATE photos SET listed = 1, companions = ?, device = ? WHERE id = ?",
                [(join_names(photo.companions), signed(photo.device), known.photo_id) for known, photo in photos],
            )

    def unlist(self, photo_ids: Iterable[int]) -> None:
        """Take photos out of rankings without forgetting anything: they are gone, or part of another's shot."""
        with writing(self._db, self.path) as connection:
            connection.executemany("UPDATE photos SET listed = 0 WHERE id = ?", [(i,) for i in photo_ids])

    def forget(self, scope: Scope) -> int:
        """Take the photos of a scope out of rankings, until a scan finds them again; return how many there were."""
        source, conditions, values = in_scope(scope)
        ids = [
            photo_id for (photo_id,) in self._rows(f"SELECT p.id FROM {source} WHERE p.listed AND {conditions}", values)
        ]
        self.unlist(ids)
        return len(ids)

    # --- what people ask ------------------------------------------------------------------------------------

    def scorings(self, *, model: str | None = None, recipe: str | None = None) -> list[Scoring]:
        """Return the scorings that have scores, latest used first; of one model (name or id) and recipe if given."""
        conditions, values = ["EXISTS (SELECT 1 FROM scores s WHERE s.scoring_id = scorings.id)"], []
        if model is not None:
            conditions.append("(model_name = ? OR model_id = ?)")
            values += [model, model]
        if recipe is not None:
            conditions.append("recipe GLOB ?")
            values.append(f"{recipe}-*")
        return self._scorings(f"WHERE {' AND '.join(conditions)} ORDER BY last_use DESC", values)

    def ranking(self, scoring: Scoring, scope: Scope) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the listed photos in ``scope`` that have a score: ids [N] and scores [N], worst first."""
        source, conditions, values = in_scope(scope)
        rows = self._each(
            f"""
            SELECT p.id, s.score FROM {source} CROSS JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
            WHERE p.listed AND {conditions}
            """,
            [scoring.id, *values],
        )
        # Row by row: a million of them as Python's values would take 200 MB.
        found = np.fromiter(rows, dtype=[("id", np.int64), ("score", np.float64)])
        if scope.include or scope.exclude:
            found = found[np.isin(found["id"], self._let_through(found["id"], scope))]
        order = np.lexsort((found["id"], found["score"]))
        return found["id"][order], found["score"][order]

    def failed(self, scoring: Scoring, scope: Scope) -> list[int]:
        """Return the ids of listed photos in ``scope`` that have no score by ``scoring`` because they failed."""
        source, conditions, values = in_scope(scope)
        rows = self._rows(
            f"""
            SELECT x.photo_id FROM failures x CROSS JOIN {source}
            LEFT JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
            WHERE p.id = x.photo_id AND {_CONCERNS} AND p.listed AND s.score IS NULL AND {conditions}
            ORDER BY x.photo_id
            """,
            [scoring.id, scoring.id, *values],
        )
        return self._let_through([photo_id for (photo_id,) in rows], scope)

    def count_listed(self, scope: Scope) -> int:
        """Return how many photos of ``scope`` the catalog lists, with or without a score."""
        source, conditions, values = in_scope(scope)
        ((count,),) = self._rows(f"SELECT count(*) FROM {source} WHERE p.listed AND {conditions}", values)
        return int(count)

    def records(self, photo_ids: Iterable[int], scoring: Scoring) -> Iterator[PhotoRecord]:
        """Yield the records of photos, in the order of ``photo_ids``."""
        for chunk in chunks(photo_ids):
            rows = self._rows(
                f"""
                SELECT p.id, f.path, p.name, s.score, p.size_bytes, p.companions, c.format, c.width, c.height,
                    c.captured_at, c.camera, coalesce(c.notes, ''), s.scored_at, x.kind, x.message
                FROM photos p
                JOIN folders f ON f.id = p.folder_id
                LEFT JOIN contents c ON c.id = p.content_id
                LEFT JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
                LEFT JOIN failures x ON x.photo_id = p.id AND {_CONCERNS}
                WHERE p.id IN ({", ".join("?" * len(chunk))})
                """,
                [scoring.id, scoring.id, *chunk],
            )
            found = {row[0]: record_of(row) for row in rows}
            yield from (found[photo_id] for photo_id in chunk if photo_id in found)

    def find(self, file: str) -> int | None:
        """Return the id of the photo at an absolute path; None if the catalog has never seen it."""
        folder, name = os.path.split(file)
        rows = self._rows(
            "SELECT p.id FROM photos p JOIN folders f ON f.id = p.folder_id WHERE f.path = ? AND p.name = ?",
            (os.fsencode(folder), os.fsencode(name)),
        )
        return rows[0][0] if rows else None

    def find_leader(self, file: str) -> int | None:
        """Return the id of the photo that a file at an absolute path is a companion of; None if there is none."""
        folder, name = os.path.split(file)
        rows = self._rows(
            """
            SELECT p.id, p.companions FROM photos p JOIN folders f ON f.id = p.folder_id
            WHERE f.path = ? AND p.listed AND p.companions != x''
            """,
            (os.fsencode(folder),),
        )
        return next((photo_id for photo_id, companions in rows if name in split_names(companions)), None)

    # --- what a cull asks, and what the user decided --------------------------------------------------------

    def candidates(self, scoring: Scoring, scope: Scope) -> list[Candidate]:
        """Return all listed photos in ``scope``, with a score by ``scoring`` or without, in no particular order."""
        source, conditions, values = in_scope(scope)
        if " contents c " not in source:
            source += " LEFT JOIN contents c ON c.id = p.content_id"
        rows = self._rows(
            f"""
            SELECT p.folder_id, p.id, p.name, p.inode, p.size_bytes, p.mtime_ns, p.companions, c.user_work,
                s.score, x.kind, m.mark
            FROM {source}
            LEFT JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
            LEFT JOIN failures x ON x.photo_id = p.id AND {_CONCERNS} AND s.score IS NULL
            LEFT JOIN marks m ON m.hash = c.hash
            WHERE p.listed AND {conditions}
            """,
            [scoring.id, scoring.id, *values],
        )
        # Once for every photo: no function is called that need not be.
        encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
        folders = {number: os.fsdecode(path) for number, path in self._rows("SELECT id, path FROM folders")}
        found = [
            Candidate(
                photo_id,
                folders[folder_id],
                name.decode(encoding, errors),
                inode if inode >= 0 else unsigned(inode),
                size_bytes,
                mtime_ns,
                companions,
                user_work,
                score,
                failure,
                mark,
            )
            for (
                folder_id, photo_id, name, inode, size_bytes, mtime_ns, companions, user_work, score, failure, mark
            ) in rows
        ]  # fmt: skip
        if scope.include or scope.exclude:
            found = [photo for photo in found if scope_lets_through(scope, photo.path, photo.companions)]
        return found

    def listed_in(self, folder: str) -> set[str]:
        """Return the names of the listed photos in ``folder`` itself."""
        rows = self._rows(
            "SELECT p.name FROM folders f JOIN photos p ON p.folder_id = f.id WHERE f.path = ? AND p.listed",
            (os.fsencode(folder),),
        )
        encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
        return {name.decode(encoding, errors) for (name,) in rows}

    def contents_in(self, folder: str) -> dict[str, HeldContent]:
        """Return which content each file name in ``folder`` itself held when it was last read."""
        rows = self._rows(
            """
            SELECT p.name, p.inode, p.size_bytes, p.mtime_ns, p.companions, p.listed, c.hash
            FROM folders f JOIN photos p ON p.folder_id = f.id LEFT JOIN contents c ON c.id = p.content_id
            WHERE f.path = ?
            """,
            (os.fsencode(folder),),
        )
        return {
            os.fsdecode(name): HeldContent(unsigned(inode), size, mtime_ns, split_names(companions), listed == 1, held)
            for name, inode, size, mtime_ns, companions, listed, held in rows
        }

    def mark(self, hashes: Iterable[bytes], mark: Mark | None) -> None:
        """Note what the user decided about contents, in place of what was decided before; None takes it back."""
        with writing(self._db, self.path) as connection:
            if mark is None:
                connection.executemany("DELETE FROM marks WHERE hash = ?", [(content,) for content in hashes])
                return
            now = now_text()
            connection.executemany(
                "INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", [(content, mark, now) for content in hashes]
            )

    def marked(self, mark: Mark) -> set[str]:
        """Return the paths of all photos that hold, or held when they were last seen, a content marked so."""
        rows = self._rows(
            """
            SELECT f.path, p.name FROM marks m JOIN contents c ON c.hash = m.hash
            JOIN photos p ON p.content_id = c.id JOIN folders f ON f.id = p.folder_id WHERE m.mark = ?
            """,
            (mark,),
        )
        return {os.fsdecode(os.path.join(folder, name)) for folder, name in rows}

    def past_scores(self, photo_id: int, scoring: Scoring) -> list[tuple[str, float]]:
        """Return when a photo's earlier contents were replaced, and what they had scored, oldest first."""
        rows = self._rows(
            """
            SELECT h.replaced_at, s.score FROM history h
            JOIN scores s ON s.scoring_id = ? AND s.content_id = h.content_id
            WHERE h.photo_id = ? ORDER BY h.rowid
            """,
            (scoring.id, photo_id),
        )
        return [(replaced_at, score) for replaced_at, score in rows]

    def counts(self) -> dict[str, int]:
        """Return how many photos, contents, scores and failures the catalog holds."""
        tables = ("photos", "contents", "scores", "failures")
        return {table: self._rows(f"SELECT count(*) FROM {table}")[0][0] for table in tables}

    def check(self) -> str | None:
        """Have SQLite read through the whole catalog; return what is wrong with it, or None."""
        with explained(self.path):
            (answer,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        return None if answer == "ok" else str(answer)

    # --- for rali/catalog/journal.py ------------------------------------------------------------------------

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Begin a write transaction; all of it is kept, or none."""
        return writing(self._db, self.path)

    def reading(self) -> AbstractContextManager[None]:
        """Answer all questions of the body from one state of the catalog; others wait to write until it ends."""
        return reading(self._db, self.path)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Ask a question in SQL."""
        return self._rows(sql, values)

    # ---------------------------------------------------------------------------------------------------------

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        with explained(self.path):
            return self._db.execute(sql, values).fetchall()

    def _each(self, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        with explained(self.path):
            yield from self._db.execute(sql, values)

    def _scorings(self, tail: str, values: Sequence[object]) -> list[Scoring]:
        columns = "id, model_id, recipe, model_name, score_low, score_high"
        return [Scoring(*row) for row in self._rows(f"SELECT {columns} FROM scorings {tail}", values)]

    def _let_through(self, photo_ids: Sequence[int] | NDArray[np.int64], scope: Scope) -> list[int]:
        """Return those of ``photo_ids`` whose path the scope's globs let through, in order."""
        if not scope.include and not scope.exclude:
            return list(photo_ids)
        kept: list[int] = []
        for chunk in chunks(photo_ids):
            rows = self._rows(
                f"""
                SELECT p.id, f.path, p.name, p.companions FROM photos p JOIN folders f ON f.id = p.folder_id
                WHERE p.id IN ({", ".join("?" * len(chunk))}) ORDER BY p.id
                """,
                chunk,
            )
            kept += [
                photo_id
                for photo_id, folder, name, companions in rows
                if scope_lets_through(scope, os.fsdecode(os.path.join(folder, name)), companions)
            ]
        return sorted(kept)
