"""What a watcher does with files that come, change, move and go: each is scored once, whole."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import write_jpeg

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.errors import PathError, UnsafeError, UsageError
from rali.pipeline import score_photos
from rali.watching.events import CaughtUp, Gone, Renamed, Scored
from rali.watching.hints import NoSource
from rali.watching.options import WatchOptions

if TYPE_CHECKING:
    from conftest import Running

Watch = Callable[..., "Running"]
Rows = Callable[..., list[tuple[Any, ...]]]


def deaf(hints: object) -> NoSource:
    """Hear nothing, and say that all is well: an observer whose every event is lost."""
    return NoSource(None)


def listed(rows: Rows) -> dict[str, float | None]:
    found = rows(
        """
        SELECT p.name, s.score FROM photos p LEFT JOIN scores s ON s.content_id = p.content_id WHERE p.listed
        """
    )
    return {os.fsdecode(name): score for name, score in found}


# --- row 63: what comes, however it comes ---------------------------------------------------------------------------


def test_a_photo_that_comes_is_scored(watch: Watch, folder: Path, rows: Rows) -> None:
    run = watch().until_caught_up()
    write_jpeg(folder / "a.jpg", 1)

    run.until(lambda run: run.names() == {"a.jpg": 1})

    (scored,) = run.of(Scored)
    assert listed(rows) == {"a.jpg": scored.score}
    assert scored.path == str(folder / "a.jpg")
    assert 0.1 < scored.seconds < 3
    assert not scored.known


def test_what_is_there_already_is_caught_up_with_at_once(watch: Watch, folder: Path) -> None:
    for number in range(5):
        write_jpeg(folder / f"{number}.jpg", number)
    time.sleep(0.5)

    run = watch(settle_s=0.4, once=True)
    run.join()

    assert run.of(CaughtUp) == [CaughtUp(5, 0, 0, 5)]
    assert len(run.names()) == 5
    assert max(scored.seconds for scored in run.of(Scored)) < 0.4  # nobody waited for files that are long at rest


def test_a_file_that_is_being_written_at_the_start_is_waited_for(watch: Watch, folder: Path) -> None:
    data = write_jpeg(folder / "whole.jpg", 1, size=(600, 400)).read_bytes()
    (folder / "whole.jpg").unlink()

    def grow() -> None:
        with (folder / "a.jpg").open("wb") as file:
            for at in range(0, len(data), len(data) // 8):
                file.write(data[at : at + len(data) // 8])
                file.flush()
                time.sleep(0.05)

    writer = threading.Thread(target=grow)
    writer.start()
    time.sleep(0.02)
    run = watch(once=True)
    run.join()
    writer.join()

    assert run.names() == {"a.jpg": 1}
    assert run.failed == {}


def test_a_slow_writer_is_scored_once_and_whole(watch: Watch, folder: Path, rows: Rows) -> None:
    data = write_jpeg(folder.parent / "whole.jpg", 1, size=(600, 400)).read_bytes()
    run = watch().until_caught_up()
    with (folder / "a.jpg").open("wb") as file:
        for at in range(0, len(data), len(data) // 10):
            file.write(data[at : at + len(data) // 10])
            file.flush()
            time.sleep(0.05)

    run.until(lambda run: run.names() == {"a.jpg": 1})
    run.settle()

    assert run.session is not None
    assert run.session.read == {"a.jpg": 1}
    assert run.failed == {}
    assert rows("SELECT size_bytes FROM photos") == [(len(data),)]


def test_an_atomic_save_is_one_photo(watch: Watch, folder: Path) -> None:
    run = watch().until_caught_up()
    write_jpeg(folder / ".a.jpg.tmp12", 1)
    time.sleep(0.1)
    (folder / ".a.jpg.tmp12").rename(folder / "a.jpg")

    run.until(lambda run: run.names() == {"a.jpg": 1})
    run.settle()

    assert run.session is not None
    assert run.session.read == {"a.jpg": 1}


def test_a_tree_that_is_moved_in_is_found_with_all_below(watch: Watch, folder: Path) -> None:
    run = watch().until_caught_up()
    for number in range(6):
        write_jpeg(folder.parent / "card" / f"day {number % 3}" / "deep" / f"{number}.jpg", number)
    (folder.parent / "card").rename(folder / "card")

    run.until(lambda run: len(run.names()) == 6)

    assert set(run.names().values()) == {1}


def test_a_tree_that_grows_while_it_is_found_is_found_whole(watch: Watch, folder: Path) -> None:
    run = watch().until_caught_up()
    for number in range(30):
        write_jpeg(folder / f"a{number % 3}" / f"b{number % 5}" / f"c{number % 2}" / f"{number}.jpg", number)

    run.until(lambda run: len(run.names()) == 30)

    assert set(run.names().values()) == {1}


def test_a_hard_link_is_no_second_photo(watch: Watch, folder: Path, rows: Rows) -> None:
    write_jpeg(folder / "b.jpg", 1)
    run = watch()
    run.until(lambda run: run.names() == {"b.jpg": 1})
    os.link(folder / "b.jpg", folder / "a.jpg")
    (folder.parent / "outside.jpg").hardlink_to(write_jpeg(folder.parent / "other.jpg", 2))
    os.link(folder.parent / "outside.jpg", folder / "c.jpg")

    run.until(lambda run: run.names() == {"b.jpg": 1, "c.jpg": 1})
    run.settle()

    assert set(listed(rows)) == {"b.jpg", "c.jpg"}


def test_a_rename_keeps_the_score_and_is_not_read(watch: Watch, folder: Path, rows: Rows) -> None:
    write_jpeg(folder / "a.jpg", 1)
    write_jpeg(folder / "sub" / "b.jpg", 2)
    run = watch()
    run.until(lambda run: len(run.names()) == 2)
    before = listed(rows)
    (folder / "a.jpg").rename(folder / "z.jpg")
    (folder / "sub").rename(folder / "elsewhere")

    run.until(lambda run: run.names(Renamed) == {"z.jpg": 1, "b.jpg": 1})
    run.settle()

    assert run.session is not None
    assert run.session.read == {"a.jpg": 1, "b.jpg": 1}
    assert listed(rows) == {"z.jpg": before["a.jpg"], "b.jpg": before["b.jpg"]}


def test_what_is_deleted_leaves_rankings(watch: Watch, folder: Path, rows: Rows) -> None:
    for name in ("a.jpg", "b.jpg", "sub/c.jpg", "emptied/d.jpg"):
        write_jpeg(folder / name, len(name))
    run = watch()
    run.until(lambda run: len(run.names()) == 4)
    (folder / "a.jpg").unlink()
    (folder / "emptied" / "d.jpg").unlink()
    shutil.rmtree(folder / "sub")

    run.until(lambda run: run.names(Gone) == {"a.jpg": 1, "c.jpg": 1, "d.jpg": 1})

    assert set(listed(rows)) == {"b.jpg"}


def test_an_edited_photo_is_scored_again_and_its_history_kept(watch: Watch, folder: Path, rows: Rows) -> None:
    write_jpeg(folder / "a.jpg", 1)
    run = watch()
    run.until(lambda run: len(run.of(Scored)) == 1)
    write_jpeg(folder / "a.jpg", 2)

    run.until(lambda run: len(run.of(Scored)) == 2)

    first, second = (event.score for event in run.of(Scored))
    assert first != second
    assert listed(rows) == {"a.jpg": second}
    assert rows("SELECT count(*) FROM history") == [(1,)]


def test_a_copy_needs_no_model(watch: Watch, folder: Path) -> None:
    write_jpeg(folder / "a.jpg", 1)
    run = watch()
    run.until(lambda run: len(run.of(Scored)) == 1)
    shutil.copyfile(folder / "a.jpg", folder / "b.jpg")

    run.until(lambda run: len(run.of(Scored)) == 2)

    assert run.session is not None
    assert run.session.scored == {"a.jpg": 1}
    assert [event.known for event in run.of(Scored)] == [False, True]


def test_a_truncated_file_is_told_of_once_and_scored_when_it_is_whole(watch: Watch, folder: Path) -> None:
    data = write_jpeg(folder.parent / "whole.jpg", 1, size=(600, 400)).read_bytes()
    run = watch().until_caught_up()
    (folder / "a.jpg").write_bytes(data[: len(data) // 2])
    run.until(lambda run: run.failed == {"a.jpg": "truncated"})
    with (folder / "a.jpg").open("ab") as file:
        file.write(data[len(data) // 2 :])

    run.until(lambda run: run.names() == {"a.jpg": 1})

    assert len(run.failed) == 1
    run.until(lambda run: run.idle)


def test_a_raw_and_its_jpeg_settle_together(watch: Watch, folder: Path, rows: Rows) -> None:
    run = watch().until_caught_up()
    write_jpeg(folder / "a.jpg", 1)
    end_s = time.monotonic() + 0.6
    with (folder / "a.cr3").open("wb") as raw:
        while time.monotonic() < end_s:
            raw.write(b"raw data")
            raw.flush()
            time.sleep(0.05)
    assert run.names() == {}  # the JPEG has been whole for long, its RAW has not

    run.until(lambda run: run.names() == {"a.jpg": 1})

    assert rows("SELECT name, companions FROM photos WHERE listed") == [(b"a.jpg", b"a.cr3")]


def test_globs_are_honoured(watch: Watch, folder: Path) -> None:
    run = watch(include=["day/*.jpg"], exclude=["*_small*", "cache"]).until_caught_up()
    for name in ("a.jpg", "day/a.jpg", "day/b_small.jpg", "day/b.png", "day/cache/c.jpg"):
        write_jpeg(folder / name, 1)

    run.until(lambda run: len(run.names()) == 1)
    run.settle()

    assert [event.path for event in run.of(Scored)] == [str(folder / "day" / "a.jpg")]


def test_dot_names_and_a_quarantine_are_passed_over(watch: Watch, folder: Path) -> None:
    run = watch().until_caught_up()
    write_jpeg(folder / ".hidden.jpg", 1)
    write_jpeg(folder / ".rali-quarantine" / "run" / "a.jpg", 2)
    (folder / "culled").mkdir()
    (folder / "culled" / ".rali-journal.jsonl").write_text("")
    write_jpeg(folder / "culled" / "sub" / "a.jpg", 3)
    write_jpeg(folder / "b.jpg", 4)

    run.until(lambda run: run.names() == {"b.jpg": 1})
    run.settle()

    assert run.names() == {"b.jpg": 1}


# --- row 64, 65: storms and silence ---------------------------------------------------------------------------------


def test_a_burst_is_scored_whole_and_each_photo_once(watch: Watch, folder: Path, rows: Rows) -> None:
    data = write_jpeg(folder.parent / "one.jpg", 1, size=(40, 30)).read_bytes()
    run = watch().until_caught_up()
    for number in range(2000):
        (folder / f"{number}.jpg").write_bytes(data + number.to_bytes(2, "big"))

    run.until(lambda run: len(run.names()) == 2000)
    run.settle()

    assert set(run.names().values()) == {1}
    assert rows("SELECT count(*), sum(listed) FROM photos") == [(2000, 2000)]
    run.until(lambda run: run.idle)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_storm_of_30000_files_is_scored_whole(watch: Watch, folder: Path, rows: Rows) -> None:
    data = write_jpeg(folder.parent / "one.jpg", 1, size=(8, 8)).read_bytes()
    run = watch(rescan_s=20.0).until_caught_up()
    for number in range(30_000):
        file = folder / f"{number % 300}" / f"{number}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data + number.to_bytes(2, "big"))

    run.until(lambda run: len(run.names()) == 30_000, timeout_s=240)

    assert set(run.names().values()) == {1}
    assert rows("SELECT count(*), sum(listed) FROM photos") == [(30_000, 30_000)]


def test_what_events_missed_is_found_by_the_rescan(watch: Watch, folder: Path) -> None:
    run = watch(source=deaf, rescan_s=0.3).until_caught_up()
    for number in range(20):
        write_jpeg(folder / f"sub{number % 3}" / f"{number}.jpg", number)

    run.until(lambda run: len(run.names()) == 20)
    shutil.rmtree(folder / "sub0")
    run.until(lambda run: len(run.names(Gone)) == 7)

    assert set(run.names().values()) == {1}
    assert run.notices == []


def test_polling_is_said_and_finds_all(watch: Watch, folder: Path) -> None:
    run = watch(poll=True, rescan_s=0.3).until_caught_up()
    write_jpeg(folder / "a.jpg", 1)

    run.until(lambda run: run.names() == {"a.jpg": 1})

    (notice,) = run.notices
    assert "is polled" in notice
    assert str(folder) in notice


def test_a_source_that_runs_out_gives_way_to_polling(watch: Watch, folder: Path) -> None:
    class Exhausted(NoSource):
        def watch(self, root: str) -> str | None:
            reason, self._reason = self._reason, "the limit is reached"
            return reason

        def exhausted(self) -> str | None:
            return "the limit is reached"

    run = watch(source=lambda hints: Exhausted(None), rescan_s=0.3).until_caught_up()
    write_jpeg(folder / "a.jpg", 1)

    run.until(lambda run: run.names() == {"a.jpg": 1})

    assert ["the limit is reached" in notice for notice in run.notices] == [True]


# --- row 66: what goes away -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("leaves", ["a missing folder", "an empty folder"])
def test_a_root_that_goes_away_is_waited_for(watch: Watch, folder: Path, rows: Rows, leaves: str) -> None:
    for number in range(3):
        write_jpeg(folder / "sub" / f"{number}.jpg", number)
    run = watch(rescan_s=0.2)
    run.until(lambda run: len(run.names()) == 3)
    folder.rename(folder.parent / "away")
    if leaves == "an empty folder":
        folder.mkdir()
    run.until(lambda run: len(run.notices) == 1)
    run.settle()
    assert len(listed(rows)) == 3
    assert run.names(Gone) == {}

    (folder.parent / "away" / "sub" / "0.jpg").unlink()
    write_jpeg(folder.parent / "away" / "new.jpg", 9)
    if leaves == "an empty folder":
        folder.rmdir()
    (folder.parent / "away").rename(folder)
    run.until(lambda run: run.names(Gone) == {"0.jpg": 1} and "new.jpg" in run.names())

    assert len(run.notices) == 2
    assert "is back" in run.notices[1]
    assert set(listed(rows)) == {"1.jpg", "2.jpg", "new.jpg"}
    write_jpeg(folder / "sub" / "later.jpg", 10)  # and it is heard again
    run.until(lambda run: "later.jpg" in run.names())
    assert run.session is not None
    assert set(run.session.read.values()) == {1}


# --- ends -------------------------------------------------------------------------------------------------------


def test_a_second_watcher_is_refused_and_told_who_has_the_root(watch: Watch, folder: Path) -> None:
    (folder / "sub").mkdir()
    watch().until_caught_up()

    for other in (folder, folder / "sub", folder.parent):
        second = watch(other)
        with pytest.raises(UnsafeError, match=f"being watched already .process {os.getpid()}, since 2"):
            second.join()


def test_a_root_is_free_when_its_watcher_has_ended(watch: Watch, folder: Path) -> None:
    watch().until_caught_up().stop()

    watch(folder.parent).until_caught_up()


def test_a_killed_watchers_lock_is_nobodys(watch: Watch, folder: Path, settings: Settings) -> None:
    note = {"root": os.fsencode(folder).hex(), "pid": 1, "since": "2026-01-01 00:00:00"}
    settings.db.with_name("catalog.db.watch-0.json").write_text(json.dumps(note))
    settings.db.with_name("catalog.db.watch-1.json").write_text("{half")

    watch().until_caught_up()


def test_only_folders_can_be_watched(watch: Watch, folder: Path) -> None:
    second = watch(write_jpeg(folder / "a.jpg", 1))

    with pytest.raises(PathError, match="is no folder"):
        second.join()


def test_folders_within_folders_are_watched_once(watch: Watch, folder: Path) -> None:
    write_jpeg(folder / "sub" / "a.jpg", 1)
    run = watch(folder / "sub", folder, once=True)
    run.join()

    assert run.of(CaughtUp) == [CaughtUp(1, 0, 0, 1)]


@pytest.mark.parametrize("wrong", [{"settle_s": 0}, {"rescan_s": -1}, {"latency_s": float("nan")}, {"grace_s": -1}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="give seconds"):
        WatchOptions(**wrong)


def test_a_watch_leaves_the_catalog_as_a_fresh_score_would(
    watch: Watch, folder: Path, settings: Settings, own_world: Path, rows: Rows
) -> None:
    run = watch(count=False).until_caught_up()
    for number in range(12):
        write_jpeg(folder / f"{number % 3}" / f"{number}.jpg", number)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "bad.jpg").write_bytes(b"no picture")
    run.until(lambda run: len(run.names()) == 12 and len(run.failed) == 2)
    (folder / "0" / "0.jpg").rename(folder / "1" / "00.jpg")
    (folder / "2").rename(folder / "two")
    write_jpeg(folder / "1" / "1.jpg", 50)
    run.until(lambda run: len(run.of(Scored)) == 13 and len(run.of(Renamed)) == 5)
    run.stop()

    fresh = own_world / "fresh.db"
    with Catalog(fresh) as catalog:
        score_photos([folder], catalog, settings)

    question = """
        SELECT f.path, p.name, p.inode, p.size_bytes, p.mtime_ns, p.companions, c.hash, round(s.score, 3), x.kind
        FROM photos p JOIN folders f ON f.id = p.folder_id LEFT JOIN contents c ON c.id = p.content_id
        LEFT JOIN scores s ON s.content_id = p.content_id LEFT JOIN failures x ON x.photo_id = p.id
        WHERE p.listed ORDER BY 1, 2
    """
    assert rows(question) == rows(question, db=fresh)
