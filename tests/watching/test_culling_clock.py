"""Who is in its grace, and what becomes of it when that is over: over real files, with a clock of the test's."""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import photo_at, write_black, write_jpeg
from filelock import FileLock

from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal
from rali.config import Settings
from rali.culling.marks import mark_photos
from rali.errors import CatalogBusyError
from rali.model.bundle import read_info
from rali.moving.moves import Fs
from rali.moving.runs import find_run, undo
from rali.photos.scan import Scan
from rali.prepare import recipe_id
from rali.survey import survey
from rali.watching.arrivals import Arrivals
from rali.watching.carrying import CullRules
from rali.watching.culling import Culling
from rali.watching.events import Culled, Event, Gone, Held, Notice, Renamed

# Black photos score 0, the others about 50.
BELOW = 20.0
GRACE_S = 100.0


class Clocked:
    """A culling over real files, which is told of scores as a watcher tells it, at times that the test chooses."""

    def __init__(self, folder: Path, settings: Settings, catalog: Catalog, session: Callable[..., Any]) -> None:
        self.folder, self.settings, self.catalog = folder, settings, catalog
        info = read_info(Path(settings.model))
        self.scoring = self.catalog.scoring(info, recipe_id(settings.recipe))
        self.session = session(catalog, info, settings, self.scoring)
        arrivals = Arrivals()
        arrivals.looked_at_all(str(folder))
        self.culling = Culling(catalog, self.scoring, CullRules([str(folder)], BELOW), GRACE_S, arrivals)

    def score(self, *names: str, now_s: float) -> None:
        """Score photos, and let the culling know."""
        photos = [photo_at(self.folder / name) for name in names]
        for photo in photos:
            self.culling.taken(photo)
        for group in self.session.score(photos, lambda: False, expected=1):
            for outcome in group:
                assert outcome.prepared is not None
                score = self.catalog.score_of(outcome.prepared.content.hash, self.scoring)
                assert score is not None
                self.culling.scored(outcome.photo, outcome.prepared.content.hash, score, now_s)

    def look(self) -> list[Event]:
        """Look at the folder as a watcher does, and let the culling know what is news."""
        news: list[Event] = []
        for found in survey(Scan([str(self.folder)]), self.catalog, self.scoring):
            news += [Renamed(str(self.folder / name)) for name in found.renamed]
            news += [Gone(str(self.folder / name)) for name in found.gone]
        for event in news:
            self.culling.heard(event)
        return news

    def cull(self, now_s: float) -> list[Event]:
        return list(self.culling.cull(now_s))

    def cull_until(self, now_s: float, end_s: float) -> list[Event]:
        """Cull whenever something is due."""
        events: list[Event] = []
        while now_s <= end_s:
            events += self.cull(now_s)
            now_s += 1.0
        return events


def black(path: Path, seed: bytes = b"") -> Path:
    """Write a dark photo with a content of its own."""
    with write_black(path).open("ab") as file:
        file.write(seed or path.name.encode())
    return path


def culled_by(events: list[Event]) -> set[str]:
    return {os.path.basename(path) for event in events if isinstance(event, Culled) for path in event.paths}


def notices_of(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


@pytest.fixture
def clocked(folder: Path, settings: Settings, counting: Callable[..., Any]) -> Iterator[Clocked]:
    with Catalog(settings.db) as catalog:
        yield Clocked(folder, settings, catalog, counting)


def test_a_renamed_photo_goes_when_its_grace_is_over_and_not_later(clocked: Clocked, folder: Path) -> None:
    black(folder / "a.jpg")
    clocked.score("a.jpg", now_s=0)
    (folder / "a.jpg").rename(folder / "b.jpg")
    assert clocked.look() == [Renamed(str(folder / "b.jpg"))]

    assert clocked.cull(GRACE_S - 1) == []
    assert culled_by(clocked.cull(GRACE_S + 10)) == {"b.jpg"}
    assert list(folder.iterdir()) == []


def test_a_photo_that_is_moved_to_another_folder_keeps_its_grace_though_it_was_told_gone_first(
    clocked: Clocked, folder: Path
) -> None:
    black(folder / "a.jpg")
    clocked.score("a.jpg", now_s=0)
    (folder / "x").mkdir()
    (folder / "a.jpg").rename(folder / "x" / "a.jpg")
    clocked.culling.heard(Gone(str(folder / "a.jpg")))
    clocked.culling.heard(Renamed(str(folder / "x" / "a.jpg")))
    assert len(clocked.culling) == 1
    clocked.look()

    assert culled_by(clocked.cull(GRACE_S + 10)) == {"a.jpg"}


def test_another_photo_under_the_name_of_one_that_is_gone_has_a_grace_of_its_own(
    clocked: Clocked, folder: Path
) -> None:
    write_jpeg(folder / "stays.jpg")
    black(folder / "a.jpg")
    clocked.score("a.jpg", now_s=0)
    (folder / "a.jpg").unlink()
    assert clocked.look() == [Gone(str(folder / "a.jpg"))]
    black(folder / "a.jpg", b"another, from the same camera")
    clocked.score("a.jpg", now_s=90)

    assert clocked.cull(GRACE_S + 60) == []
    assert culled_by(clocked.cull(90 + GRACE_S + 10)) == {"a.jpg"}


def test_a_file_that_takes_a_photos_place_does_not_go_in_its_stead(clocked: Clocked, folder: Path) -> None:
    black(folder / "a.jpg")
    clocked.score("a.jpg", now_s=0)
    write_jpeg(folder / "new.jpg", 1).replace(folder / "a.jpg")  # and nobody has looked at it yet

    assert clocked.cull_until(GRACE_S, GRACE_S + 60) == []
    clocked.score("a.jpg", now_s=GRACE_S + 60)
    assert clocked.cull_until(GRACE_S + 60, 4 * GRACE_S) == []
    assert len(clocked.culling) == 0
    assert (folder / "a.jpg").exists()


def test_a_photo_that_is_only_touched_has_its_grace_again(clocked: Clocked, folder: Path) -> None:
    black(folder / "a.jpg")
    clocked.score("a.jpg", now_s=0)
    os.utime(folder / "a.jpg")
    clocked.score("a.jpg", now_s=50)

    assert clocked.cull(GRACE_S + 40) == []
    assert culled_by(clocked.cull(50 + GRACE_S + 10)) == {"a.jpg"}


def test_a_photo_that_was_deleted_in_its_grace_is_dropped_without_a_word(clocked: Clocked, folder: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        black(folder / name)
    clocked.score("a.jpg", now_s=0)
    (folder / "a.jpg").unlink()

    assert clocked.cull(GRACE_S + 10) == []  # nobody has looked yet: its drive may be away
    clocked.look()
    assert len(clocked.culling) == 0
    assert clocked.cull_until(GRACE_S + 10, GRACE_S + 60) == []
    assert clocked.culling.next_due_s() is None


def test_photos_whose_drive_is_away_when_their_time_comes_go_soon_after_it_is_back(
    clocked: Clocked, folder: Path
) -> None:
    black(folder / "a.jpg")
    clocked.score("a.jpg", now_s=0)
    folder.rename(folder.with_name("drive"))
    folder.mkdir()  # as an empty mount point

    assert clocked.cull_until(GRACE_S, 50 * GRACE_S) == []
    assert len(clocked.culling) == 1

    folder.rmdir()
    folder.with_name("drive").rename(folder)
    assert culled_by(clocked.cull_until(50 * GRACE_S, 50 * GRACE_S + 20)) == {"a.jpg"}


def test_a_keep_mark_that_is_made_while_another_rali_moves_photos_saves_a_photo(
    clocked: Clocked, folder: Path, settings: Settings
) -> None:
    for name in ("kept.jpg", "doomed.jpg"):
        black(folder / name)
    clocked.score("kept.jpg", "doomed.jpg", now_s=0)
    locked = threading.Event()

    def move_something_else() -> None:
        with FileLock(f"{os.path.realpath(settings.db)}.moves-lock"), Catalog(settings.db) as catalog:
            locked.set()
            time.sleep(0.5)  # long enough for the plan to be made that does not know of the mark
            assert not mark_photos(catalog, [folder / "kept.jpg"], "keep").refused

    other = threading.Thread(target=move_something_else)
    other.start()
    assert locked.wait(5)
    events = clocked.cull(GRACE_S + 10)
    other.join()

    assert culled_by(events) == {"doomed.jpg"}
    assert Held(str(folder / "kept.jpg"), "keep", "marked keep") in events


def test_what_another_rali_holds_up_is_tried_again_with_growing_pauses_and_told_of_once(
    clocked: Clocked, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rali.watching.carrying._LOCK_WAIT_S", 0.01)
    black(folder / "a.jpg")
    clocked.score("a.jpg", now_s=0)
    tries: list[float] = []
    events: list[Event] = []
    with FileLock(f"{os.path.realpath(clocked.settings.db)}.moves-lock"):
        while len(tries) < 5:
            due_s = clocked.culling.next_due_s()
            assert due_s is not None
            events += clocked.cull(due_s)
            tries.append(due_s)

    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses == sorted(set(pauses))
    assert notices_of(events) == [
        "1 photos could not be culled now, and are tried again: another rali is moving photos; wait until it is done"
    ]
    due_s = clocked.culling.next_due_s()
    assert due_s is not None
    assert culled_by(clocked.cull(due_s)) == {"a.jpg"}


def test_what_left_before_an_error_is_told_and_the_rest_goes_later(
    clocked: Clocked, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.jpg" for number in range(5)]
    for name in names:
        black(folder / name)
    clocked.score(*names, now_s=0)
    full = FullAfter(2)
    with monkeypatch.context() as patched:
        patched.setattr("rali.moving.runs.Fs", lambda: full)
        events = clocked.cull(GRACE_S + 10)

    gone = set(names) - {path.name for path in folder.iterdir()}
    assert len(gone) == 2
    assert culled_by(events) == gone
    assert notices_of(events) == ["3 photos could not be culled now, and are tried again: No space left on device"]
    assert [type(event) for event in events] == [Culled, Notice]
    assert clocked.cull(GRACE_S + 11) == []
    assert culled_by(clocked.cull_until(GRACE_S + 12, GRACE_S + 40)) == set(names) - gone


def test_what_left_before_another_rali_took_the_folders_is_told(
    clocked: Clocked, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.jpg" for number in range(3)]
    for name in names:
        black(folder / name)
    clocked.score(*names, now_s=0)
    with monkeypatch.context() as patched:
        patched.setattr("rali.moving.carrier.BATCH_SHOTS", 1)
        patched.setattr("rali.moving.carrier.locked_folders", busy_after(2))
        events = clocked.cull(GRACE_S + 10)

    gone = set(names) - {path.name for path in folder.iterdir()}
    assert len(gone) == 2
    assert culled_by(events) == gone
    assert len(notices_of(events)) == 1
    assert Journal(clocked.catalog).unfinished() == []
    (event,) = [event for event in events if isinstance(event, Culled)]
    assert len(undo(clocked.catalog, find_run(clocked.catalog, event.run)).carried.refused) == 0


class FullAfter(Fs):
    """A disk that is full after so many photos."""

    def __init__(self, photos: int) -> None:
        self._left = photos

    def link(self, old: str, new: str) -> None:
        if self._left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._left -= 1
        super().link(old, new)


def busy_after(times: int) -> Callable[..., AbstractContextManager[None]]:
    """Return a lock on folders that another rali has from some time on."""
    left = times

    @contextmanager
    def lock(folders: Iterable[str], stop: Callable[[], bool] = lambda: False) -> Iterator[None]:
        nonlocal left
        if left == 0:
            raise CatalogBusyError("another rali is moving these photos; wait until it is done")
        left -= 1
        yield

    return lock
