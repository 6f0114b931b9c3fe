"""Opening the catalog's file: whose it is, what is wrong with it, and that nothing is ever lost."""

from __future__ import annotations

import os
import sqlite3
import stat
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from rali.catalog.catalog import Catalog
from rali.catalog.connection import connect, set_aside, writing
from rali.catalog.migrations import APPLICATION_ID
from rali.errors import (
    CatalogBusyError,
    CatalogDamagedError,
    CatalogError,
    CatalogForeignError,
    CatalogWriteError,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def filled(path: Path) -> Path:
    """Return a catalog of many pages, closed."""
    Catalog(path).__exit__()
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO folders (path) VALUES (?)", [(b"/photos/%06d" % n,) for n in range(5000)])
        connection.commit()
    return path


def foreign_database(path: Path, *, journal_mode: str = "DELETE", application_id: int = 0) -> bytes:
    """Write another program's database and return its bytes."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute(f"PRAGMA application_id = {application_id}")
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.executemany("INSERT INTO bookmarks VALUES (?)", [("https://example.org/" * 20,)] * 500)
        connection.commit()
    return path.read_bytes()


def corrupt_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(path.name + ".corrupt-*"))


# --- a new catalog -------------------------------------------------------------------------------------------------


def test_a_new_catalog_is_made_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "catalog.db"

    with Catalog(path) as catalog:
        assert catalog.counts() == {"photos": 0, "contents": 0, "scores": 0, "failures": 0}

    assert path.is_file()


def test_the_file_says_that_it_is_ours_and_uses_a_rollback_journal(path: Path) -> None:
    Catalog(path).__exit__()

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_every_commit_reaches_the_disk_before_it_counts(path: Path) -> None:
    db, _ = connect(path)
    with closing(db):
        assert db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_opening_a_catalog_again_keeps_what_is_in_it(filled: Path) -> None:
    before = filled.read_bytes()

    Catalog(filled).__exit__()

    assert filled.read_bytes() == before


def test_an_empty_file_becomes_a_catalog(path: Path) -> None:
    path.touch()

    with Catalog(path) as catalog:
        assert catalog.set_aside is None
        assert catalog.check() is None


def test_a_catalog_that_must_exist_and_does_not_is_an_error_that_makes_no_file(path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no catalog at .* run: rali score"):
        Catalog(path, create=False)

    assert not path.exists()


# --- row 36: not a database, damaged, truncated -------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"hello, I am a diary\n" * 200, b"\xff\xd8\xff\xe0" + bytes(5000), b"x"])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path: Path, content: bytes) -> None:
    path.write_bytes(content)

    with pytest.raises(CatalogForeignError, match=r"left alone"):
        Catalog(path)

    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("application_id", [0, 0x12345678])
@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_another_programs_database_is_refused_and_left_as_it_was(
    path: Path, journal_mode: str, application_id: int
) -> None:
    content = foreign_database(path, journal_mode=journal_mode, application_id=application_id)

    with pytest.raises(CatalogForeignError, match=r"another program's"):
        Catalog(path)

    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_another_programs_database_with_an_open_log_is_not_even_checkpointed(path: Path, tmp_path: Path) -> None:
    original = tmp_path / "original.db"
    foreign_database(original, journal_mode="WAL")
    with closing(sqlite3.connect(original)) as connection:
        connection.execute("INSERT INTO bookmarks VALUES ('not yet checkpointed')")
        connection.commit()
        content, log = original.read_bytes(), original.with_name("original.db-wal").read_bytes()
    path.write_bytes(content)
    path.with_name("catalog.db-wal").write_bytes(log)

    with pytest.raises(CatalogForeignError):
        Catalog(path)

    assert path.read_bytes() == content
    assert path.with_name("catalog.db-wal").read_bytes() == log


@pytest.mark.parametrize("damage", ["truncated", "malformed"])
def test_another_programs_damaged_database_is_not_ours_to_move(path: Path, damage: str) -> None:
    content = foreign_database(path)
    content = content[: len(content) // 2] if damage == "truncated" else content[:100] + b"\xff" * 3996 + content[4096:]
    path.write_bytes(content)

    with pytest.raises(CatalogForeignError):
        Catalog(path)

    assert path.read_bytes() == content
    assert corrupt_files(path) == []


def zero_first_page(content: bytes) -> bytes:
    return bytes(4096) + content[4096:]


def truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def truncate_within_the_header(content: bytes) -> bytes:
    return content[:72]


def scribble_over_the_schema(content: bytes) -> bytes:
    return content[:100] + b"\xff" * 3996 + content[4096:]


DAMAGES = [zero_first_page, truncate, truncate_within_the_header, scribble_over_the_schema]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_catalog_is_set_aside_whole_and_a_new_one_begun(filled: Path, damage: object) -> None:
    content = damage(filled.read_bytes())  # type: ignore[operator]
    filled.write_bytes(content)

    with Catalog(filled) as catalog:
        assert catalog.check() is None
        assert catalog.counts()["photos"] == 0
        assert [catalog.set_aside] == corrupt_files(filled)

    assert corrupt_files(filled)[0].read_bytes() == content


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_reader_reports_a_damaged_catalog_and_moves_nothing(filled: Path, damage: object) -> None:
    filled.write_bytes(damage(filled.read_bytes()))  # type: ignore[operator]

    with pytest.raises(CatalogDamagedError, match=r"rali doctor --repair"):
        Catalog(filled, create=False)

    assert corrupt_files(filled) == []


def test_damage_in_a_later_page_is_found_by_the_check(filled: Path) -> None:
    content = bytearray(filled.read_bytes())
    content[-8192:-4096] = b"\xff" * 4096
    filled.write_bytes(content)

    with Catalog(filled) as catalog:
        assert catalog.check() is not None


def test_a_catalog_set_aside_twice_in_a_second_is_kept_twice(path: Path) -> None:
    for content in (b"first", b"second"):
        path.write_bytes(content)
        set_aside(path)

    assert sorted(file.read_bytes() for file in corrupt_files(path)) == [b"first", b"second"]


def test_a_journal_goes_aside_with_its_catalog(path: Path) -> None:
    path.write_bytes(b"database")
    path.with_name("catalog.db-journal").write_bytes(b"journal")

    aside = set_aside(path)

    assert aside.with_name(aside.name + "-journal").read_bytes() == b"journal"
    assert not path.with_name("catalog.db-journal").exists()


def test_work_left_half_done_by_a_kill_is_rolled_back_not_called_damage(filled: Path) -> None:
    before = filled.read_bytes()
    # A child writes much with a tiny cache, so that pages reach the file, and dies before the commit.
    program = (
        "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('PRAGMA cache_size = 5'); c.execute('BEGIN IMMEDIATE');"
        "c.executemany('INSERT INTO folders (path) VALUES (?)', [(os.urandom(60),) for _ in range(20000)]);"
        "os._exit(137)"
    )
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", program, str(filled)) == 137
    assert filled.with_name("catalog.db-journal").exists()

    with Catalog(filled) as catalog:
        assert catalog.set_aside is None
        assert catalog.check() is None

    with closing(sqlite3.connect(filled)) as connection:
        assert connection.execute("SELECT count(*) FROM folders").fetchone() == (5000,)
    assert filled.stat().st_size == len(before)


# --- rows 33 and 34: other processes -----------------------------------------------------------------------------


def test_a_locked_catalog_is_waited_for_and_then_a_clear_error(filled: Path) -> None:
    with closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        started_s = time.monotonic()
        with pytest.raises(CatalogBusyError, match=r"locked by another program"):
            Catalog(filled, busy_timeout_s=0.5)

        assert time.monotonic() - started_s >= 0.4


def test_a_lock_that_goes_away_in_time_is_no_error(filled: Path) -> None:
    other = sqlite3.connect(filled, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    release.start()

    with Catalog(filled, busy_timeout_s=10) as catalog:
        assert catalog.check() is None

    release.join()
    other.close()


def test_a_write_that_waits_too_long_for_a_writer_changes_nothing(filled: Path) -> None:
    db, _ = connect(filled, busy_timeout_s=0.2)
    with closing(db), closing(sqlite3.connect(filled, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogBusyError), writing(db, filled) as connection:
            connection.execute("DELETE FROM folders")
        other.execute("ROLLBACK")

        assert not db.in_transaction
        assert other.execute("SELECT count(*) FROM folders").fetchone() == (5000,)


def test_a_commit_that_a_reader_holds_up_too_long_is_rolled_back(filled: Path) -> None:
    db, _ = connect(filled, busy_timeout_s=0.2)
    with closing(db), closing(sqlite3.connect(filled, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM folders").fetchone()
        with pytest.raises(CatalogBusyError), writing(db, filled) as connection:
            connection.execute("DELETE FROM folders")
        reader.execute("COMMIT")

        assert not db.in_transaction
        assert reader.execute("SELECT count(*) FROM folders").fetchone() == (5000,)


def test_reading_and_then_writing_works_though_another_wrote_between(filled: Path) -> None:
    db, _ = connect(filled)
    with closing(db), closing(sqlite3.connect(filled, isolation_level=None)) as other:
        assert db.execute("SELECT count(*) FROM folders").fetchone() == (5000,)
        other.execute("INSERT INTO folders (path) VALUES (x'01')")
        with writing(db, filled) as connection:
            (count,) = connection.execute("SELECT count(*) FROM folders").fetchone()
            connection.execute("INSERT INTO folders (path) VALUES (x'02')")

        assert count == 5001
        assert other.execute("SELECT count(*) FROM folders").fetchone() == (5002,)


def test_a_body_that_raises_leaves_nothing_behind(filled: Path) -> None:
    db, _ = connect(filled)
    with closing(db):
        with pytest.raises(KeyboardInterrupt), writing(db, filled) as connection:  # noqa: PT012
            connection.execute("DELETE FROM folders")
            raise KeyboardInterrupt

        assert db.execute("SELECT count(*) FROM folders").fetchone() == (5000,)


# --- rows 35 and 39: full, read-only, impossible ----------------------------------------------------------------


def test_a_full_disk_rolls_back_says_so_and_the_catalog_opens_again(filled: Path) -> None:
    db, _ = connect(filled)
    with closing(db):
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")
        more = [(b"/more/%06d" % number,) for number in range(50_000)]
        with pytest.raises(CatalogWriteError, match=r"free some space"), writing(db, filled) as connection:
            connection.executemany("INSERT INTO folders (path) VALUES (?)", more)
        assert not db.in_transaction

    with Catalog(filled) as catalog:
        assert catalog.check() is None
    with closing(sqlite3.connect(filled)) as connection:
        assert connection.execute("SELECT count(*) FROM folders").fetchone() == (5000,)


def test_a_folder_in_the_catalogs_place_is_refused(path: Path) -> None:
    path.mkdir()

    with pytest.raises(CatalogForeignError, match=r"is a folder"):
        Catalog(path)


def test_a_catalog_below_a_file_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CatalogWriteError, match=r"--db"):
        Catalog(tmp_path / "file" / "catalog.db")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_a_catalog_where_no_file_can_be_made_is_refused_with_advice() -> None:
    with pytest.raises(CatalogWriteError, match=r"--db"):
        Catalog(Path("/proc/self/catalog.db"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused_with_advice(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(CatalogWriteError, match=r"--db"):
            Catalog(tmp_path / "catalog.db")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_write_to_a_read_only_catalog_is_a_clear_error(filled: Path) -> None:
    connection = sqlite3.connect(f"file:{filled}?mode=ro", uri=True, isolation_level=None)
    expected = pytest.raises(CatalogWriteError, match=r"cannot be written")
    with closing(connection), expected, writing(connection, filled):
        connection.execute("DELETE FROM folders")


def test_an_error_shows_a_strange_path_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\x1b[31m.db"
    path.write_bytes(b"not a database")

    with pytest.raises(CatalogForeignError) as caught:
        Catalog(path)

    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
