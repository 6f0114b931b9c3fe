"""Roots and drives that come and go while they are watched: nothing is unlisted, all is told, and heard again."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_drives import Drive, lay_elsewhere
from fakes import write_jpeg

from rali.config import Settings
from rali.errors import UnsafeError
from rali.watching import presence
from rali.watching.events import CaughtUp, Gone, Scored

if TYPE_CHECKING:
    from conftest import Running

Watch = Callable[..., "Running"]
Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look if roots are there five times a second, not once: each drive here goes and comes more than once."""
    monkeypatch.setattr(presence, "_CHECK_S", 0.2)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    found = Drive(tmp_path / "drive")
    yield found
    found.scrap()


def listed(rows: Rows) -> set[str]:
    return {os.fsdecode(name) for (name,) in rows("SELECT name FROM photos WHERE listed")}


def told(run: Running, text: str) -> int:
    return sum(text in notice for notice in run.notices)


def test_a_drive_that_is_away_for_seconds_is_told_each_time_and_heard_again(
    watch: Watch, folder: Path, drive: Drive, rows: Rows
) -> None:
    drive.plug_in(folder)
    write_jpeg(folder / "a.jpg", 1)
    run = watch()
    run.until(lambda run: run.names() == {"a.jpg": 1})

    for number in (1, 2):
        drive.pull_out(folder)
        run.until(lambda run: told(run, "gone or empty") == number, timeout_s=4)  # noqa: B023
        drive.plug_in(folder)
        run.until(lambda run: told(run, "is back") == number, timeout_s=4)  # noqa: B023

    write_jpeg(folder / "b.jpg", 2)
    run.until(lambda run: run.names() == {"a.jpg": 1, "b.jpg": 1})
    assert listed(rows) == {"a.jpg", "b.jpg"}
    assert run.names(Gone) == {}


def test_a_drive_below_the_root_that_goes_keeps_its_photos_and_is_heard_when_it_is_back(
    watch: Watch, folder: Path, drive: Drive, rows: Rows
) -> None:
    drive.plug_in(folder / "card")
    write_jpeg(folder / "card" / "DCIM" / "a.jpg", 1)
    write_jpeg(folder / "own.jpg", 2)
    run = watch()
    run.until(lambda run: run.names() == {"a.jpg": 1, "own.jpg": 1})

    drive.pull_out(folder / "card")
    run.until(lambda run: told(run, f"drive of {folder / 'card'} is missing"))
    (folder / "card").rmdir()  # as udisks does
    run.settle()
    assert listed(rows) == {"a.jpg", "own.jpg"}

    drive.plug_in(folder / "card")
    run.until(lambda run: told(run, "mounted or unmounted") == 2)
    run.settle()
    write_jpeg(folder / "card" / "DCIM" / "b.jpg", 3)
    run.until(lambda run: run.names()["b.jpg"] == 1)
    assert run.names(Gone) == {}


def test_a_share_below_the_root_that_vanishes_keeps_its_photos(
    watch: Watch, folder: Path, settings: Settings, rows: Rows
) -> None:
    write_jpeg(folder / "nas" / "2026" / "a.jpg", 1)
    write_jpeg(folder / "own" / "b.jpg", 2)
    run = watch()
    run.until(lambda run: len(run.names()) == 2 and run.idle)
    lay_elsewhere(settings.db, folder / "nas")
    shutil.rmtree(folder / "nas")
    run.until(lambda run: told(run, f"drive of {folder / 'nas'} is missing"))
    shutil.rmtree(folder / "own")
    (folder / "other.txt").touch()

    run.until(lambda run: run.names(Gone) == {"b.jpg": 1})

    assert listed(rows) == {"a.jpg"}


def test_a_root_that_is_replaced_is_heard_and_told_of(watch: Watch, folder: Path) -> None:
    write_jpeg(folder / "a.jpg", 1)
    run = watch()
    run.until(lambda run: run.names() == {"a.jpg": 1})
    write_jpeg(folder.parent / "new" / "b.jpg", 2)
    folder.rename(folder.parent / "old")
    (folder.parent / "new").rename(folder)

    run.until(lambda run: run.names() == {"a.jpg": 1, "b.jpg": 1})
    write_jpeg(folder / "c.jpg", 3)
    run.until(lambda run: run.names()["c.jpg"] == 1)

    assert any(str(folder) in notice for notice in run.notices)


def test_what_is_mounted_over_an_empty_root_is_found(watch: Watch, folder: Path, drive: Drive) -> None:
    run = watch().until_caught_up()
    drive.plug_in(folder)
    write_jpeg(folder / "a.jpg", 1)

    run.until(lambda run: run.names() == {"a.jpg": 1})
    write_jpeg(folder / "b.jpg", 2)
    run.until(lambda run: run.names()["b.jpg"] == 1)


def test_a_root_that_is_made_again_leaves_the_other_with_its_events(watch: Watch, folder: Path) -> None:
    other = folder.parent / "other"
    write_jpeg(folder / "a.jpg", 1)
    write_jpeg(other / "b.jpg", 2)
    run = watch(folder, other, rescan_s=0.25)
    run.until(lambda run: len(run.names()) == 2)
    write_jpeg(folder.parent / "new" / "c.jpg", 3)
    shutil.rmtree(other)
    (folder.parent / "new").rename(other)
    run.until(lambda run: run.names()["c.jpg"] == 1)
    time.sleep(0.6)  # more than a rescan
    write_jpeg(folder / "d.jpg", 4)
    write_jpeg(other / "e.jpg", 5)

    run.until(lambda run: run.names()["d.jpg"] == run.names()["e.jpg"] == 1)

    assert told(run, "is polled") == 0


def unmounted(folder: Path) -> None:
    """Take all photos from a folder and leave a file, with nobody watching."""
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "not mounted.txt").touch()


def test_a_root_that_holds_other_files_alone_is_told_of_once_and_heard(watch: Watch, folder: Path, rows: Rows) -> None:
    write_jpeg(folder / "a.jpg", 1)
    watch(once=True).join()
    unmounted(folder)
    run = watch(rescan_s=0.1)
    run.until(lambda run: told(run, "holds no photos"))
    time.sleep(1)  # many looks, and looks if it is there

    assert (len(run.notices), listed(rows)) == (1, {"a.jpg"})
    write_jpeg(folder / "b.jpg", 2)
    run.until(lambda run: run.names() == {"b.jpg": 1})


def test_a_root_that_holds_other_files_alone_is_refused_where_nothing_is_waited_for(watch: Watch, folder: Path) -> None:
    write_jpeg(folder / "a.jpg", 1)
    watch(once=True).join()
    unmounted(folder)

    with pytest.raises(UnsafeError, match="holds no photos"):
        watch(once=True).join()


@pytest.mark.parametrize("others", [["not mounted.txt"], []], ids=["other files", "nothing"])
def test_the_command_of_a_refusal_can_be_pasted_into_a_shell(watch: Watch, folder: Path, others: list[str]) -> None:
    spaced = folder / "My Photos"
    photo = write_jpeg(spaced / "a.jpg", 1)
    watch(spaced, once=True).join()
    photo.unlink()
    for name in others:
        (spaced / name).touch()

    with pytest.raises(UnsafeError) as refused:
        watch(spaced, once=True).join()

    _, command = str(refused.value).rsplit(" gone: ", 1)
    assert shlex.split(command) == ["rali", "forget", str(spaced)]


def test_a_folder_that_is_empty_is_told_of_once_until_it_changes(watch: Watch, folder: Path, rows: Rows) -> None:
    write_jpeg(folder / "a.jpg", 1)
    write_jpeg(folder / "sub" / "b.jpg", 2)
    watch(once=True).join()
    (folder / "sub" / "b.jpg").rename(folder.parent / "b.jpg")
    run = watch(rescan_s=0.1)
    run.until(lambda run: told(run, "sub is empty"))
    time.sleep(0.5)
    assert told(run, "sub is empty") == 1

    (folder.parent / "b.jpg").rename(folder / "sub" / "b.jpg")
    time.sleep(0.5)
    assert told(run, "sub is empty") == 1
    assert listed(rows) == {"a.jpg", "b.jpg"}


@pytest.fixture
def slow_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a tree without photos whose folders take three seconds to list."""
    for number in range(150):
        (folder / f"{number}").mkdir()
    scandir = os.scandir

    def slow(path: Any = ".") -> Any:
        if str(path).startswith(f"{folder}{os.sep}") and isinstance(path, str):
            time.sleep(0.02)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", slow)


def test_a_walk_over_folders_without_photos_ends_when_asked_to(watch: Watch, slow_folders: None) -> None:
    run = watch(poll=True)
    time.sleep(0.5)
    asked_s = time.monotonic()
    run.stop()

    assert time.monotonic() - asked_s < 1
    assert run.of(CaughtUp) == []


def test_a_walk_over_folders_without_photos_keeps_no_photo_waiting(
    watch: Watch, folder: Path, slow_folders: None
) -> None:
    other = folder.parent / "other"
    other.mkdir()
    run = watch(folder, other)
    time.sleep(0.3)
    write_jpeg(other / "a.jpg", 1)

    run.until(lambda run: run.of(Scored) and run.of(CaughtUp))

    assert [type(event) for event in run.events if isinstance(event, Scored | CaughtUp)] == [Scored, CaughtUp]
