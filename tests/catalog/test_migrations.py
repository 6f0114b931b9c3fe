"""Tables and their versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from rali.catalog.catalog import Catalog
from rali.catalog.migrations import APPLICATION_ID, STEPS
from rali.errors import CatalogTooNewError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def one_more_migration() -> Iterator[list[str]]:
    """Register a migration that fails for as long as the list is empty."""
    permits: list[str] = []

    def test_only(db: Database) -> None:
        db.conn.execute("CREATE TABLE stars (photo_id INTEGER)")
        db.conn.execute("ALTER TABLE photos ADD COLUMN stars INTEGER")
        if not permits:
            raise RuntimeError("power cut")

    STEPS.append(test_only)
    yield permits
    STEPS.pop()


def tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def applied(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM _sqlite_migrations ORDER BY rowid")]


def test_a_new_catalog_has_every_table_and_says_which_migrations_made_them(path: Path) -> None:
    Catalog(path).__exit__()

    assert tables(path) >= {
        "folders", "photos", "contents", "scorings", "scores", "embeddings", "failures", "history",
    }  # fmt: skip
    assert applied(path) == [step.__name__ for step in STEPS]


def test_every_table_is_explained_in_the_modules_text(path: Path) -> None:
    from rali.catalog import migrations as module

    Catalog(path).__exit__()

    described = {line.split()[0] for line in (module.__doc__ or "").splitlines()[2:] if line.strip()}
    assert {table for table in tables(path) if not table.startswith(("_", "sqlite_"))} <= described


def test_an_older_catalog_is_brought_up_to_date_with_its_rows(path: Path, one_more_migration: list[str]) -> None:
    added = STEPS.pop()
    Catalog(path).__exit__()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO folders (path) VALUES (x'2f')")
        connection.commit()
    STEPS.append(added)
    one_more_migration.append("now")

    Catalog(path).__exit__()

    assert "stars" in tables(path)
    assert applied(path)[-1] == "test_only"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT path FROM folders").fetchall() == [(b"/",)]


def test_a_migration_that_fails_half_way_is_rolled_back_and_stays_pending(
    path: Path, one_more_migration: list[str]
) -> None:
    added = STEPS.pop()
    Catalog(path).__exit__()
    STEPS.append(added)
    before = path.read_bytes()

    with pytest.raises(RuntimeError, match=r"power cut"):
        Catalog(path)

    assert path.read_bytes() == before
    one_more_migration.append("now")
    Catalog(path).__exit__()
    assert applied(path)[-1] == "test_only"


def test_a_first_migration_that_fails_leaves_a_file_that_can_still_become_a_catalog(
    path: Path, one_more_migration: list[str]
) -> None:
    with pytest.raises(RuntimeError, match=r"power cut"):
        Catalog(path)
    one_more_migration.append("now")

    with Catalog(path) as catalog:
        assert catalog.set_aside is None
        assert catalog.check() is None


def test_a_catalog_from_a_later_version_is_refused_and_not_written(path: Path) -> None:
    Catalog(path).__exit__()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
            ("rali", "from_the_future", "2031-01-01"),
        )
        connection.commit()
    before = path.read_bytes()

    with pytest.raises(CatalogTooNewError, match=r"update rali"):
        Catalog(path)

    assert path.read_bytes() == before


def test_the_application_id_is_rali_in_ascii() -> None:
    assert APPLICATION_ID.to_bytes(4, "big") == b"RALI"
