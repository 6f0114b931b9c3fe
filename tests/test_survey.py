"""The quick way of a rescan brings to light, and leaves behind, what the whole comparison does."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import photo_at, prepared

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scoring
from rali.catalog.unchanged import lists_exactly
from rali.errors import FailureKind, UnsafeError
from rali.model.bundle import BundleInfo, read_info
from rali.photos.photo import Photo
from rali.photos.scan import Scan
from rali.prepare import Failure
from rali.survey import FolderSurvey, survey


@dataclass
class Library:
    """A folder of three scored shots, one of them with a sidecar, and the catalog that knows them."""

    folder: Path
    db: Path
    info: BundleInfo

    def fill(self) -> None:
        for name in ("a.jpg", "a.xmp", "b.jpg", "c.jpg"):
            (self.folder / name).write_bytes(name.encode())
        with Catalog(self.db) as catalog:
            found = list(Scan([str(self.folder)]))
            catalog.store([Outcome(photo, content(photo), 50.0, bytes(4)) for photo in found], self.scoring(catalog))

    def scoring(self, catalog: Catalog, recipe: str = "fast-1.1-half") -> Scoring:
        return catalog.scoring(self.info, recipe)

    def fail(self, name: str) -> None:
        photo = photo_at(self.folder / name)
        with Catalog(self.db) as catalog:
            failure = Failure(FailureKind.CORRUPT, "its data are broken")
            catalog.store([Outcome(photo, None, failure=failure)], self.scoring(catalog))

    def unlist(self, name: str) -> None:
        with Catalog(self.db) as catalog:
            catalog.unlist([catalog.find(str(self.folder / name)) or 0])

    def renumber(self, where: str = "1") -> None:
        """Have the drive come back under another number, as shares do at each mount: all its photos, or some."""
        with closing(sqlite3.connect(self.db)) as connection, connection:
            connection.execute(f"UPDATE photos SET device = device + 1 WHERE {where}")


def content(photo: Photo) -> Any:
    return prepared(photo, os.path.basename(photo.file))


@pytest.fixture
def library(tmp_path: Path, tiny_bundle: Path) -> Library:
    (tmp_path / "photos").mkdir()
    found = Library(tmp_path / "photos", tmp_path / "catalog.db", read_info(tiny_bundle))
    found.fill()
    return found


def replace(library: Library) -> None:
    """Put another file in the place of one, of the same size and time."""
    old, new = library.folder / "b.jpg", library.folder / "new"
    new.write_bytes(b"B.jpg")
    os.utime(new, ns=(0, old.stat().st_mtime_ns))
    new.replace(old)


def swap(library: Library) -> None:
    """Exchange the names of two files of the same size."""
    (library.folder / "b.jpg").rename(library.folder / "swap")
    (library.folder / "c.jpg").rename(library.folder / "b.jpg")
    (library.folder / "swap").rename(library.folder / "c.jpg")


def forget_gone(library: Library) -> None:
    library.unlist("b.jpg")
    (library.folder / "b.jpg").unlink()


def fail_new(library: Library) -> None:
    (library.folder / "z.jpg").write_bytes(b"z")
    library.fail("z.jpg")


CHANGES: dict[str, Callable[[Library], object]] = {
    "nothing": lambda _: None,
    "gone before": forget_gone,
    "touched": lambda library: os.utime(library.folder / "b.jpg", ns=(0, 0)),
    "grown": lambda library: (library.folder / "b.jpg").write_bytes(b"more than before"),
    "replaced": replace,
    "swapped": swap,
    "gone": lambda library: (library.folder / "b.jpg").unlink(),
    "renamed": lambda library: (library.folder / "b.jpg").rename(library.folder / "z.jpg"),
    "new": lambda library: (library.folder / "z.jpg").write_bytes(b"z"),
    "sidecar gone": lambda library: (library.folder / "a.xmp").unlink(),
    "sidecar new": lambda library: (library.folder / "b.xmp").write_bytes(b"b"),
    "RAW new": lambda library: (library.folder / "b.CR3").write_bytes(b"b"),
    "led by another now": lambda library: (library.folder / "a.jpg").rename(library.folder / "a.CR3"),
    "drive renumbered": lambda library: library.renumber(),
    "one photo renumbered": lambda library: library.renumber("name = CAST('b.jpg' AS BLOB)"),
    "unlisted": lambda library: library.unlist("b.jpg"),
    "failed since": lambda library: library.fail("b.jpg"),
    "new and failed": fail_new,
}


@pytest.mark.parametrize("retry_failed", [False, True], ids=["", "retry"])
@pytest.mark.parametrize("recipe", ["fast-1.1-half", "exact-1.1-float32"])
@pytest.mark.parametrize("change", CHANGES)
def test_the_quick_way_and_the_whole_comparison_agree(
    library: Library, monkeypatch: pytest.MonkeyPatch, change: str, recipe: str, retry_failed: bool
) -> None:
    CHANGES[change](library)
    other = library.db.with_name("other.db")
    shutil.copyfile(library.db, other)
    quick: list[bool] = []

    def look(db: Path) -> tuple[list[FolderSurvey], list[Any]]:
        with Catalog(db) as catalog:
            scoring = library.scoring(catalog, recipe)
            found = list(survey(Scan([str(library.folder)]), catalog, scoring, retry_failed=retry_failed))
            return found, catalog.rows("SELECT * FROM photos ORDER BY id")

    def noted(*asked: Any) -> bool:
        quick.append(lists_exactly(*asked))
        return quick[-1]

    monkeypatch.setattr("rali.survey.lists_exactly", noted)
    by_quick_way = look(library.db)
    monkeypatch.setattr("rali.survey.lists_exactly", lambda *_: False)

    assert by_quick_way == look(other)
    # A photo that has a score and failed since is cached, whatever --retry-failed says.
    expected = change in ("nothing", "gone before", "failed since") and recipe == "fast-1.1-half"
    assert quick == [expected]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_noted_of_a_folder_hides_no_change(
    library: Library, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    def look(db: Path) -> tuple[list[FolderSurvey], list[Any]]:
        with Catalog(db) as catalog:
            found = list(survey(Scan([str(library.folder)]), catalog, library.scoring(catalog)))
            return found, catalog.rows("SELECT * FROM photos ORDER BY id")

    look(library.db)  # notes it
    CHANGES[change](library)
    other = library.db.with_name("other.db")
    shutil.copyfile(library.db, other)
    with_notes = look(library.db)
    monkeypatch.setattr("rali.survey.lists_exactly", lambda *_: False)

    assert with_notes == look(other)


def test_a_catalog_that_another_program_writes_ends_no_rescan(library: Library) -> None:
    def noted() -> list[tuple[int]]:
        with Catalog(library.db) as catalog:
            return catalog.rows("SELECT count(*) FROM looks")

    def rescan(*more: Path) -> int:
        with Catalog(library.db, busy_timeout_s=0.05) as catalog:
            folders = [str(folder) for folder in (library.folder, *more)]
            return sum(found.cached for found in survey(Scan(folders), catalog, library.scoring(catalog)))

    emptied = library.folder.with_name("emptied")
    emptied.mkdir()
    with Catalog(library.db) as catalog:
        photo = photo_at(library.folder / "a.jpg")._replace(file=str(emptied / "a.jpg"))
        catalog.store([Outcome(photo, content(photo), 50.0, bytes(4))], library.scoring(catalog))
    with closing(sqlite3.connect(library.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert rescan() == 3
        with pytest.raises(UnsafeError, match="connect its drive"):
            rescan(emptied)
        other.execute("ROLLBACK")
    assert noted() == [(0,)]

    assert (rescan(), noted()) == (3, [(1,)])  # what could not be noted then is noted the next time
