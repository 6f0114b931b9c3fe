"""Photos of a drive that is missing stay in rankings, wherever below the scanned folder it was mounted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fake_drives import Drive, lay_elsewhere
from fakes import write_jpeg

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.errors import UnsafeError
from rali.photos.scan import Scan
from rali.pipeline import Run, score_photos

Rows = Callable[..., list[tuple[Any, ...]]]


@dataclass
class Library:
    """Three photos: one in the folder itself, two on what is mounted below it."""

    folder: Path
    settings: Settings
    rows: Rows

    @property
    def share(self) -> Path:
        return self.folder / "nas" / "share"

    def fill(self) -> None:
        write_jpeg(self.folder / "own" / "0.jpg", 0)
        write_jpeg(self.share / "2026" / "1.jpg", 1)
        write_jpeg(self.share / "2026" / "may" / "2.jpg", 2)

    def score(self) -> Run:
        with Catalog(self.settings.db) as catalog:
            return score_photos([self.folder], catalog, self.settings)

    def listed(self) -> set[str]:
        return {os.fsdecode(name) for (name,) in self.rows("SELECT name FROM photos WHERE listed")}


@pytest.fixture
def library(tmp_path: Path, own_world: Path, tiny_bundle: Path, rows: Rows) -> Library:
    settings = Settings(db=own_world / "catalog.db", model=str(tiny_bundle), device="cpu", workers=1)
    return Library(tmp_path / "photos", settings, rows)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    found = Drive(tmp_path / "drive")
    yield found
    found.scrap()


def leave_nothing(library: Library) -> Path:
    shutil.rmtree(library.share.parent)
    return library.share.parent


def leave_an_empty_folder(library: Library) -> Path:
    shutil.rmtree(library.share)
    library.share.mkdir()
    return library.share


def leave_a_folder_with_a_stray_file(library: Library) -> Path:
    leave_an_empty_folder(library)
    (library.share / "not mounted.txt").touch()
    return library.share / "2026"


def leave_a_folder_with_a_stray_photo(library: Library) -> Path:
    shutil.rmtree(library.share)
    write_jpeg(library.share / "2026" / "stray.jpg", 9)
    return library.share / "2026" / "may"


@pytest.mark.parametrize(
    "leave",
    [leave_nothing, leave_an_empty_folder, leave_a_folder_with_a_stray_file, leave_a_folder_with_a_stray_photo],
)
def test_a_missing_share_below_the_folder_keeps_its_photos_and_is_told(
    library: Library, leave: Callable[[Library], Path]
) -> None:
    library.fill()
    library.score()
    lay_elsewhere(library.settings.db, library.share)
    place = leave(library)

    for _ in range(2):  # the second look sees what the first has stored
        run = library.score()
        assert {"0.jpg", "1.jpg", "2.jpg"} <= library.listed()
        assert any(f"drive of {place} is missing" in notice and "rali forget" in notice for notice in run.notices)


def test_what_is_deleted_from_the_device_it_lay_on_leaves_rankings(library: Library) -> None:
    library.fill()
    library.score()
    shutil.rmtree(library.share)

    run = library.score()

    assert library.listed() == {"0.jpg"}
    assert run.notices == []


def test_a_share_that_is_mounted_under_another_number_is_no_missing_drive(library: Library, rows: Rows) -> None:
    """NFS, btrfs and others give a file system a new device number at each mount."""
    library.fill()
    library.score()
    lay_elsewhere(library.settings.db, library.share)
    shutil.rmtree(library.share / "2026" / "may")

    run = library.score()

    assert (library.listed(), run.notices) == ({"0.jpg", "1.jpg"}, [])
    assert rows("SELECT count(DISTINCT device) FROM photos WHERE listed") == [(1,)]


def test_a_drive_that_is_unmounted_below_the_folder_keeps_its_photos(library: Library, drive: Drive) -> None:
    drive.plug_in(library.share)
    library.fill()
    library.score()
    (library.share / "2026" / "may" / "2.jpg").unlink()
    (library.share / "2026" / "may").rmdir()
    library.score()
    assert library.listed() == {"0.jpg", "1.jpg"}  # deleted while the drive was there

    drive.pull_out(library.share)
    run = library.score()

    assert library.listed() == {"0.jpg", "1.jpg"}
    assert any(f"drive of {library.share} is missing" in notice for notice in run.notices)
    drive.plug_in(library.share)
    run = library.score()
    assert (run.cached, run.scored, run.notices) == (2, set(), [])


def in_the_middle(monkeypatch: pytest.MonkeyPatch, leave: Callable[[], None]) -> None:
    """Have a drive leave after the first folder of the next walk."""
    folders = Scan.folders

    def leave_after_the_first(self: Scan) -> Iterator[tuple[str, dict[str, Any]]]:
        left = False
        for found in folders(self):
            yield found
            if found[1] and not left:
                left = True
                leave()

    monkeypatch.setattr(Scan, "folders", leave_after_the_first)


def test_a_drive_that_leaves_a_stray_entry_in_the_middle_of_the_walk_unlists_nothing(
    library: Library, drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.folder.mkdir()
    (library.folder / "stray").mkdir()
    drive.plug_in(library.folder)
    library.fill()
    library.score()
    in_the_middle(monkeypatch, lambda: drive.pull_out(library.folder))

    run = library.score()

    assert library.listed() == {"0.jpg", "1.jpg", "2.jpg"}
    assert any("is missing" in notice for notice in run.notices)


@pytest.mark.parametrize("number", [5, 19, 116])  # EIO, ENODEV, ESTALE
def test_a_drive_that_answers_with_errors_in_the_middle_of_the_walk_unlists_nothing(
    library: Library, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    library.fill()
    library.score()
    scandir, stat = os.scandir, os.stat
    pulled_out = False

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *more: Any, **options: Any) -> Any:
            if pulled_out and path == str(library.folder):
                raise OSError(number, os.strerror(number))
            return real(path, *more, **options)

        return call

    def leave() -> None:
        nonlocal pulled_out
        pulled_out = True
        library.folder.rename(library.folder.with_name("away"))
        (library.folder / "stray").mkdir(parents=True)

    monkeypatch.setattr(os, "scandir", failing(scandir))
    monkeypatch.setattr(os, "stat", failing(stat))
    in_the_middle(monkeypatch, leave)

    with pytest.raises(UnsafeError, match="went away in the middle"):
        library.score()

    assert library.listed() == {"0.jpg", "1.jpg", "2.jpg"}
