"""A folder that was found as it is listed is told by a digest from then on, and no change can hide behind one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from fakes import scored

from rali.catalog.catalog import Catalog
from rali.catalog.ends import spread
from rali.catalog.records import Outcome, Scope, Scoring
from rali.catalog.unchanged import Looks, lists_exactly
from rali.errors import CatalogBusyError
from rali.model.bundle import read_info
from rali.photos.photo import Photo

OUTCOMES = [scored("/p/a.jpg", 10), scored("/p/b.jpg", 60, companions=("b.xmp",)), scored("/q/a.jpg", 90)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with Catalog(path) as opened:
        yield opened


@pytest.fixture
def scoring(catalog: Catalog, tiny_bundle: Path) -> Scoring:
    found = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
    catalog.store(OUTCOMES, found)
    return found


def found_in(folder: str, outcomes: list[Outcome] = OUTCOMES) -> dict[str, Photo]:
    return {
        os.path.basename(one.photo.file): one.photo for one in outcomes if os.path.dirname(one.photo.file) == folder
    }


def note(catalog: Catalog, scoring: Scoring, *folders: str) -> None:
    looks = Looks(catalog)
    assert all(lists_exactly(catalog, folder, found_in(folder), scoring, looks) for folder in folders)
    looks.store()


def change(path: Path, *statements: str) -> None:
    """Change the catalog as any program may, past all code of ours."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def without_triggers(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    change(path, *(f"DROP TRIGGER {name}" for (name,) in names))


CHANGES = {
    "unlisted": "UPDATE photos SET listed = 0 WHERE name = CAST('a.jpg' AS BLOB)",
    "touched": "UPDATE photos SET mtime_ns = mtime_ns + 1",
    "renumbered": "UPDATE photos SET device = device + 1",
    "another content": "UPDATE photos SET content_id = NULL",
    "moved away": "UPDATE photos SET folder_id = (SELECT id FROM folders WHERE path = CAST('/q' AS BLOB)) "
    "WHERE name = CAST('b.jpg' AS BLOB)",
    "added": "INSERT INTO photos (folder_id, name, device, inode, size_bytes, mtime_ns, companions, listed) "
    "SELECT folder_id, 'c.jpg', 1, 1, 1, 1, '', 1 FROM photos WHERE name = CAST('b.jpg' AS BLOB)",
    "removed": "DELETE FROM photos",
    "score gone": "DELETE FROM scores",
    "score of another scoring": "UPDATE scores SET scoring_id = scoring_id + 1",
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_a_change_in_the_catalog_ends_what_was_noted(
    catalog: Catalog, scoring: Scoring, path: Path, statement: str
) -> None:
    note(catalog, scoring, "/p")

    change(path, statement)

    assert not lists_exactly(catalog, "/p", found_in("/p"), scoring)


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_it_is_the_count_of_changes_that_ends_it(
    catalog: Catalog, scoring: Scoring, path: Path, statement: str
) -> None:
    note(catalog, scoring, "/p")
    without_triggers(path)

    change(path, statement)

    assert lists_exactly(catalog, "/p", found_in("/p"), scoring)  # or the test above would prove nothing


def test_a_change_between_a_look_and_its_note_ends_it(catalog: Catalog, scoring: Scoring, path: Path) -> None:
    looks = Looks(catalog)
    assert lists_exactly(catalog, "/p", found_in("/p"), scoring, looks)

    change(path, CHANGES["unlisted"])
    looks.store()

    assert not lists_exactly(catalog, "/p", found_in("/p"), scoring)


def test_what_changes_elsewhere_leaves_a_note_as_it_is(catalog: Catalog, scoring: Scoring, path: Path) -> None:
    note(catalog, scoring, "/p", "/q")

    change(path, "DELETE FROM photos WHERE name = CAST('b.jpg' AS BLOB)")
    without_triggers(path)
    change(path, "UPDATE photos SET inode = 0")  # whoever compares sees it

    assert lists_exactly(catalog, "/q", found_in("/q"), scoring)
    assert not lists_exactly(catalog, "/p", found_in("/p"), scoring)


def test_a_note_speaks_of_its_own_scoring_alone(catalog: Catalog, scoring: Scoring, tiny_bundle: Path) -> None:
    note(catalog, scoring, "/p")
    other = catalog.scoring(read_info(tiny_bundle), "exact-1.1-float32")

    assert not lists_exactly(catalog, "/p", found_in("/p"), other)


@pytest.mark.parametrize(
    "changed", [{"inode": 5}, {"device": 5}, {"size_bytes": 5}, {"mtime_ns": 5}, {"companions": ("b.wav",)}], ids=str
)
def test_a_change_on_disk_is_seen_behind_a_note(catalog: Catalog, scoring: Scoring, changed: dict[str, int]) -> None:
    note(catalog, scoring, "/p")
    photos = found_in("/p")
    gone = dict(list(photos.items())[:1])
    photos["b.jpg"] = photos["b.jpg"]._replace(**changed)

    assert not lists_exactly(catalog, "/p", photos, scoring)
    assert not lists_exactly(catalog, "/p", gone, scoring)
    assert not lists_exactly(catalog, "/p", found_in("/p") | {"c.jpg": OUTCOMES[2].photo}, scoring)


def test_many_looks_are_written_down_along_the_way(
    catalog: Catalog, scoring: Scoring, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rali.catalog.unchanged._STORE_EVERY_PHOTOS", 2)
    looks = Looks(catalog)
    for folder in ("/p", "/q"):
        lists_exactly(catalog, folder, found_in(folder), scoring, looks)

    assert catalog.rows("SELECT count(*) FROM looks") == [(1,)]


def test_the_spread_is_the_same_with_notes_and_without(catalog: Catalog, scoring: Scoring, path: Path) -> None:
    before = spread(catalog, scoring, Scope(), [10.0, 61.0])
    note(catalog, scoring, "/p")

    assert spread(catalog, scoring, Scope(), [10.0, 61.0]) == before == (3, 3, [0, 2])
    note(catalog, scoring, "/q")
    assert spread(catalog, scoring, Scope(), [10.0, 61.0]) == before
    change(path, CHANGES["unlisted"])
    assert spread(catalog, scoring, Scope(), [10.0, 61.0]) == (1, 1, [0, 1])


@pytest.mark.parametrize("begun_with_notes", [False, True])
def test_a_note_that_comes_or_goes_while_the_spread_is_read_changes_no_count(
    scoring: Scoring, path: Path, begun_with_notes: bool
) -> None:
    class Disturbed(Catalog):
        """A catalog of which another process notes a folder, or changes it, after every question."""

        def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
            found = super().rows(sql, values)
            with suppress(CatalogBusyError), Catalog(path, busy_timeout_s=0.05) as other:
                if begun_with_notes:
                    other.store([scored("/p/a.jpg", 10)], scoring)
                else:
                    note(other, scoring, "/p")
            return found

    with Catalog(path) as catalog:
        if begun_with_notes:
            note(catalog, scoring, "/p")

    with Disturbed(path) as disturbed:
        assert spread(disturbed, scoring, Scope(), [50.0]) == (3, 3, [1])
        disturbed.mark([b"any"], "keep")  # no question left open keeps it from writing


def test_a_score_that_is_replaced_counts_in_every_folder_that_holds_it(
    catalog: Catalog, scoring: Scoring, path: Path
) -> None:
    catalog.store([scored("/p/copy.jpg", 90, content="/q/a.jpg")], scoring)
    note(catalog, scoring, "/q")

    catalog.store([scored("/p/copy.jpg", 20, content="/q/a.jpg")], scoring)

    assert spread(catalog, scoring, Scope(), [50.0]) == (4, 4, [3])


def test_the_spread_of_a_folder_leaves_its_neighbours_out(catalog: Catalog, scoring: Scoring, tmp_path: Path) -> None:
    (tmp_path / "p" / "below").mkdir(parents=True)
    (tmp_path / "pq").mkdir()
    outcomes = [
        scored(f"{tmp_path}/{name}.jpg", 50, inode=at + 1) for at, name in enumerate(("p/1", "p/below/1", "pq/1"))
    ]
    catalog.store(outcomes, scoring)
    looks = Looks(catalog)
    for folder in ("p", "p/below", "pq"):
        assert lists_exactly(
            catalog, f"{tmp_path}/{folder}", found_in(f"{tmp_path}/{folder}", outcomes), scoring, looks
        )
    looks.store()

    def count(*roots: str, deep: bool = True) -> int:
        return spread(catalog, scoring, Scope([f"{tmp_path}/{root}" for root in roots], deep=deep)).scored

    assert (count("p"), count("p", deep=False), count("p", "pq"), count("p", "p/below")) == (2, 1, 3, 2)
    assert count("p/1.jpg", "pq") == 2
