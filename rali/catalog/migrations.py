"""The catalog's tables, as sqlite-utils migrations: each runs in one transaction with the record that it ran.

folders    one row a folder, with a count of the changes below it
photos     one row a file name: its state on disk, and which content it holds
contents   one row a content, whatever its name: what the file says of itself
scorings   one row a (model, recipe): what a score was made by
scores     content x scoring -> score
embeddings content x scoring -> float16 vector; apart from scores, so that ranking reads no vectors
failures   why a photo has no score
history    which contents a photo held before: its past scores are theirs
marks      what the user decided by hand, by content: it survives a rename and a rescan
looks      folders that were found as they are listed, see rali/catalog/unchanged.py
exposures  how each content was exposed, by which body: no row where nobody has looked
splits     contents of which the user said that they are no group: one row a content and a decision
runs       one row a cull, or a run of rali rate
places     where a run's files went: one row a scanned root
moves      the journal: one row a file, written before the file is touched (see rali/catalog/journal.py)
sidecars   the same for ratings: what an XMP sidecar held before (see rali/catalog/rating_journal.py)
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

# "RALI" in ASCII: how SQLite files of ours are told from other programs'.
APPLICATION_ID = 0x52414C49
_SET = "rali"


def create_photos_and_scores(db: Database) -> None:
    """Create the first tables."""
    # Written as SQL: sqlite-utils' create() has no WITHOUT ROWID and no partial index.
    for statement in (
        "CREATE TABLE folders (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE)",
        """
        CREATE TABLE contents (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            format TEXT NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            orientation INTEGER NOT NULL,
            captured_at TEXT,
            camera TEXT,
            difference_hash INTEGER NOT NULL, -- 64 bits as SQLite's signed integer
            notes TEXT NOT NULL DEFAULT ''
        )
        """,
        """
        CREATE TABLE photos (
            id INTEGER PRIMARY KEY,
            folder_id INTEGER NOT NULL REFERENCES folders (id),
            name BLOB NOT NULL,
            device INTEGER NOT NULL,
            inode INTEGER NOT NULL,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            companions BLOB NOT NULL, -- names in the same folder, separated by '/'
            listed INTEGER NOT NULL,  -- 1: on disk at the last scan, and the one of its shot that is scored
            content_id INTEGER REFERENCES contents (id), -- NULL: never decoded, see failures
            UNIQUE (folder_id, name)
        )
        """,
        "CREATE INDEX photos_by_content ON photos (content_id, listed)",
        "CREATE INDEX photos_by_inode ON photos (inode, size_bytes)",
        """
        CREATE TABLE scorings (
            id INTEGER PRIMARY KEY,
            model_id TEXT NOT NULL,
            recipe TEXT NOT NULL,
            model_name TEXT NOT NULL,
            score_low REAL NOT NULL,
            score_high REAL NOT NULL,
            last_use INTEGER NOT NULL, -- counts runs: a clock can go back
            UNIQUE (model_id, recipe)
        )
        """,
        """
        CREATE TABLE scores (
            scoring_id INTEGER NOT NULL REFERENCES scorings (id),
            content_id INTEGER NOT NULL REFERENCES contents (id),
            score REAL NOT NULL,
            scored_at TEXT NOT NULL,
            PRIMARY KEY (scoring_id, content_id)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE embeddings (
            scoring_id INTEGER NOT NULL REFERENCES scorings (id),
            content_id INTEGER NOT NULL REFERENCES contents (id),
            vector BLOB NOT NULL, -- little-endian float16
            PRIMARY KEY (scoring_id, content_id)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE failures (
            photo_id INTEGER PRIMARY KEY REFERENCES photos (id),
            kind TEXT NOT NULL,
            message TEXT NOT NULL,
            decoder INTEGER NOT NULL, -- DECODE_VERSION: a later decoder may do better, and is tried
            scoring_id INTEGER,       -- set where the model failed rather than the decoder
            failed_at TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE history (
            photo_id INTEGER NOT NULL REFERENCES photos (id),
            content_id INTEGER NOT NULL REFERENCES contents (id),
            replaced_at TEXT NOT NULL
        )
        """,
        "CREATE INDEX history_by_photo ON history (photo_id)",
    ):
        db.conn.execute(statement)


def create_marks_and_runs(db: Database) -> None:
    """Create what culling needs."""
    for statement in (
        # JSON of photos/user_work.py; NULL: scored by a rali that did not look for it.
        "ALTER TABLE contents ADD COLUMN user_work TEXT",
        "CREATE TABLE marks (hash BLOB PRIMARY KEY, mark TEXT NOT NULL, marked_at TEXT NOT NULL) WITHOUT ROWID",
        """
        CREATE TABLE runs (
            id INTEGER PRIMARY KEY, -- runs are ordered by it: a clock can go back
            name TEXT NOT NULL UNIQUE,
            started_at TEXT NOT NULL,
            mode TEXT NOT NULL,     -- move, copy or hardlink
            chosen TEXT NOT NULL,   -- in words
            model TEXT NOT NULL,    -- name and id
            recipe TEXT NOT NULL,
            state TEXT NOT NULL     -- moving, undoing or purging while a process is at it; else settled or trashed
        )
        """,
        """
        CREATE TABLE places (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            root BLOB NOT NULL,
            folder BLOB NOT NULL -- the run's own, inside a quarantine
        )
        """,
        """
        CREATE TABLE moves (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            place_id INTEGER NOT NULL REFERENCES places (id),
            shot INTEGER NOT NULL,        -- files of one shot move together
            source BLOB NOT NULL,         -- the photo's own path
            destination BLOB NOT NULL,    -- its path in the quarantine
            inode INTEGER NOT NULL,       -- the file as the plan saw it, at its own path
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            away_inode INTEGER,           -- the file in the quarantine, where it is a copy
            away_mtime_ns INTEGER,
            crossed INTEGER NOT NULL DEFAULT 0,  -- the quarantine was on another disk
            back_inode INTEGER,           -- the file that came back, where it is a copy
            back_mtime_ns INTEGER,
            reserved INTEGER NOT NULL DEFAULT 0, -- its new name may be held by an empty file of ours
            listed INTEGER NOT NULL DEFAULT 0,   -- rankings showed it before it went
            state TEXT NOT NULL,          -- leaving, away, stayed, returning, back, deleting, deleted
            reason TEXT                   -- why it stayed, or did not come back
        )
        """,
        "CREATE INDEX moves_by_run ON moves (run_id, shot)",
    ):
        db.conn.execute(statement)


def index_scores(db: Database) -> None:
    """Let the few worst and best be read off, and those with one score be counted, without ranking everything."""
    db.conn.execute("CREATE INDEX scores_by_score ON scores (scoring_id, score)")


def create_sidecars(db: Database) -> None:
    """Create the journal of ratings."""
    for statement in (
        """
        CREATE TABLE sidecars (
            id INTEGER PRIMARY KEY,
            run_id INTEGER NOT NULL REFERENCES runs (id),
            photo BLOB NOT NULL,          -- whose stars they are
            path BLOB NOT NULL,
            old BLOB,                     -- what it held, deflated; NULL: there was none, or it is restored
            old_mtime_ns INTEGER NOT NULL,
            old_permissions INTEGER NOT NULL,
            new_hash BLOB NOT NULL,       -- of what it was to hold: what is not that has been changed by others
            state TEXT NOT NULL           -- writing, written, restoring, restored
        )
        """,
        "CREATE INDEX sidecars_by_run ON sidecars (run_id, id)",
        "CREATE INDEX sidecars_by_path ON sidecars (path)",
    ):
        db.conn.execute(statement)


def create_exposures_and_splits(db: Database) -> None:
    """Create what grouping needs."""
    for statement in (
        """
        CREATE TABLE exposures (
            content_id INTEGER PRIMARY KEY REFERENCES contents (id),
            body TEXT,         -- serial number
            burst TEXT,        -- what the camera calls it
            drive TEXT,        -- single, continuous or bracket
            exposure_s REAL,
            bias_ev REAL,
            f_number REAL,
            iso REAL,
            focal_mm REAL,
            distance_m REAL
        )
        """,
        """
        CREATE TABLE splits (
            split INTEGER NOT NULL, -- the decision; contents of one are never in one group
            hash BLOB NOT NULL,
            split_at TEXT NOT NULL,
            PRIMARY KEY (split, hash)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX splits_by_hash ON splits (hash)",
    ):
        db.conn.execute(statement)


def create_looks(db: Database) -> None:
    """Create what tells unchanged folders at once; triggers count, so that no statement can forget to."""
    for statement in (
        "ALTER TABLE folders ADD COLUMN revision INTEGER NOT NULL DEFAULT 0",
        """
        CREATE TABLE looks (
            folder_id INTEGER NOT NULL REFERENCES folders (id),
            scoring_id INTEGER NOT NULL REFERENCES scorings (id),
            revision INTEGER NOT NULL, -- of the folder then: what was seen at an earlier one says nothing
            digest BLOB NOT NULL,      -- of its photos as they were listed, each with a score
            scores BLOB NOT NULL,      -- of all of them, ascending, little-endian float64
            PRIMARY KEY (folder_id, scoring_id)
        )
        """,
    ):
        db.conn.execute(statement)
    holders = "SELECT folder_id FROM photos WHERE content_id = "
    for table, of_row in (("photos", "{}.folder_id"), ("scores", f"{holders}{{}}.content_id")):
        for change, rows in (("INSERT", ["new"]), ("UPDATE", ["old", "new"]), ("DELETE", ["old"])):
            for row in rows:
                db.conn.execute(
                    f"""
                    CREATE TRIGGER {table}_{change.lower()}_{row} AFTER {change} ON {table} BEGIN
                        UPDATE folders SET revision = revision + 1 WHERE id IN ({of_row.format(row)});
                    END
                    """
                )


# In this order; a catalog notes the names of those that it has been through.
STEPS: list[Callable[[Database], None]] = [
    create_photos_and_scores,
    create_marks_and_runs,
    index_scores,
    create_sidecars,
    create_exposures_and_splits,
    create_looks,
]


def applied(connection: sqlite3.Connection) -> set[str]:
    """Return the names of the migrations that a catalog has been through; of a new one, none.

    Asked in plain SQL, because every command asks it: importing sqlite-utils takes longer than most of them.
    """
    noted = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlite_migrations'"
    if connection.execute(noted).fetchone() is None:
        return set()
    rows = connection.execute("SELECT name FROM _sqlite_migrations WHERE migration_set = ?", (_SET,))
    return {name for (name,) in rows}


def known() -> set[str]:
    """Return the names of all migrations that this version of rali has."""
    return {step.__name__ for step in STEPS}


def apply(connection: sqlite3.Connection) -> None:
    """Run the migrations that a catalog has not been through; call it inside a transaction."""
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    migrations = Migrations(_SET)
    for step in STEPS:
        migrations()(step)
    migrations.apply(Database(connection))
