"""Opening the catalog's file safely, and saying in one line what is wrong with it.

Facts behind the choices (docs/safety.md): SQLite before 3.51.3 can corrupt a WAL database that two connections reset,
so the journal is a rollback journal; a deferred BEGIN that reads and then writes fails at once when another process
wrote between, so every write begins IMMEDIATE.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rali.catalog import migrations
from rali.catalog.migrations import APPLICATION_ID
from rali.errors import (
    CatalogBusyError,
    CatalogDamagedError,
    CatalogError,
    CatalogForeignError,
    CatalogTooNewError,
    CatalogWriteError,
)
from rali.photos.photo import display_path

BUSY_TIMEOUT_S = 30.0
_MAGIC = b"SQLite format 3\0"
_REPAIR = "; run: rali doctor --repair, which sets it aside"


def connect(
    path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, rebuild: bool = True
) -> tuple[sqlite3.Connection, Path | None]:
    """Open the catalog at ``path``; create it, and bring its tables up to date, where needed.

    With ``rebuild``, a catalog that SQLite calls malformed is set aside as ``<name>.corrupt-<time>`` and a new one
    begun; without, it is an error, because a new and empty one answers no question.

    Returns:
        The open database, and the path of a damaged catalog that had to be set aside for it.

    Raises:
        CatalogError: see the subclasses.
    """
    with explained(path):
        try:
            return _connect(path, busy_timeout_s), None
        except (CatalogDamagedError, sqlite3.DatabaseError) as error:
            if not rebuild or not _is_damage(error):
                raise
        return _rebuilt(path, busy_timeout_s)


def _rebuilt(path: Path, busy_timeout_s: float) -> tuple[sqlite3.Connection, Path | None]:
    """Set a damaged catalog aside and begin a new one, unless another process has done so meanwhile."""
    from filelock import FileLock  # here, because hardly a command comes by

    lock = path.with_name(f"{path.name}.repair-lock")
    with FileLock(lock, timeout=busy_timeout_s):
        try:
            return _connect(path, busy_timeout_s), None
        except (CatalogDamagedError, sqlite3.DatabaseError) as error:
            if not _is_damage(error):
                raise
        aside = set_aside(path)
        return _connect(path, busy_timeout_s), aside


def set_aside(path: Path) -> Path:
    """Rename a damaged catalog, with its journal, so that nothing of it is lost; return its new name."""
    aside = first = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}")
    number = 1
    while aside.exists():
        aside = first.with_name(f"{first.name}-{number}")
        number += 1
    path.rename(aside)
    journal = path.with_name(path.name + "-journal")
    if journal.exists():
        journal.rename(aside.with_name(aside.name + "-journal"))
    return aside


@contextmanager
def writing(connection: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """Run the body as one write transaction: all of it is kept, or none."""
    with explained(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def reading(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Answer all questions of the body from one state of the catalog; within another transaction, from that one's.

    Until it ends no other process can commit, so the body only asks. A write in it would be refused.
    """
    within = connection.in_transaction
    with explained(path):
        if not within:
            connection.execute("BEGIN")
        try:
            yield
        finally:
            if not within and connection.in_transaction:
                connection.execute("ROLLBACK")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, each with what to do about it."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        shown = display_path(path)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise CatalogBusyError(
                f"the catalog {shown} is locked by another program; wait until it is done, or use another --db"
            ) from error
        if code == sqlite3.SQLITE_FULL:
            raise CatalogWriteError(
                f"no room to write the catalog {shown}: free some space and run again; what was stored is safe"
            ) from error
        if code in (
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_IOERR,
            sqlite3.SQLITE_PERM,
        ):
            raise CatalogWriteError(
                f"the catalog {shown} cannot be written ({error}); check its folder, or use --db in another place"
            ) from error
        if _is_damage(error):
            raise CatalogDamagedError(f"the catalog {shown} is damaged ({error}){_REPAIR}") from error
        raise CatalogError(f"the catalog {shown} failed: {error}; run: rali doctor") from error


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return isinstance(error, CatalogDamagedError) or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    _check_file(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogWriteError(
            f"the folder {display_path(path.parent)} cannot be made ({error.strerror}); use --db in another place"
        ) from error
    # Statements run outside of transactions except where writing() begins one.
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    try:
        _check_tables(connection, path)  # before anything that writes: setting the journal mode does
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -65536")
        if migrations.known() - migrations.applied(connection):
            with writing(connection, path):
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                migrations.apply(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_file(path: Path) -> None:
    """Look at the file before SQLite does, which would ask no questions."""
    try:
        with path.open("rb") as file:
            head = file.read(100)
            size_bytes = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return
    except IsADirectoryError as error:
        raise CatalogForeignError(f"{display_path(path)} is a folder; --db wants a file") from error
    except OSError as error:
        raise CatalogWriteError(
            f"the catalog {display_path(path)} cannot be read ({error.strerror}); check it, or use another --db"
        ) from error
    if not head:
        return
    if not head.startswith(_MAGIC):
        if not any(head):  # a zeroed first page: what is left of a catalog after a crash of the disk
            raise CatalogDamagedError(f"the catalog {display_path(path)} begins with zeros{_REPAIR}")
        raise CatalogForeignError(
            f"{display_path(path)} is not a rali catalog, so it was left alone; use --db with another file"
        )
    # Told from the header alone: to open a database of another program can write its log back into it.
    schema_version, application_id = (int.from_bytes(head[at : at + 4], "big") for at in (40, 68))
    if schema_version and len(head) >= 72 and application_id != APPLICATION_ID:
        raise _foreign(path)
    page_bytes = int.from_bytes(head[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    pages = int.from_bytes(head[28:32], "big")
    # A journal means that a killed process left work half done, which SQLite repairs by itself.
    if size_bytes < page_bytes * pages and not path.with_name(path.name + "-journal").exists():
        raise CatalogDamagedError(f"the catalog {display_path(path)} is truncated{_REPAIR}")


def _check_tables(connection: sqlite3.Connection, path: Path) -> None:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
    if application_id != APPLICATION_ID and tables:
        raise _foreign(path)
    if migrations.applied(connection) - migrations.known():
        raise CatalogTooNewError(
            f"the catalog {display_path(path)} was written by a later rali; update rali, or use another --db"
        )


def _foreign(path: Path) -> CatalogForeignError:
    return CatalogForeignError(
        f"{display_path(path)} is another program's database, so it was left alone; use --db with another file"
    )
