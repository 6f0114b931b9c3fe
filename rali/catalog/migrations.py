"""The catalog's tables, as sqlite-utils migrations: each runs in one transaction with the record that it ran.

folders    one row a folder
photos     one row a file name: its state on disk, and which content it holds
contents   one row a content, whatever its name: what the file says of itself
scorings   one row a (model, recipe): what a score was made by
scores     content x scoring -> score
embeddings content x scoring -> float16 vector; apart from scores, so that ranking reads no vectors
failures   why a photo has no score
history    which contents a photo held before: its past scores are theirs
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

# "RALI" in ASCII: how SQLite files of ours are told from other programs'.
APPLICATION_ID = 0x52414C49

migrations = Migrations("rali")


@migrations()
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
