"""Trouble that passes ends no watch: it is said, waited out, and nothing is lost or scored twice."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import write_black, write_jpeg

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.errors import (
    CatalogBusyError,
    CatalogDamagedError,
    CatalogWriteError,
    DamagedModelError,
    UsageError,
    WorkersError,
)
from rali.watching import carrying, trouble
from rali.watching.events import CaughtUp, Culled, Event, Gone, Notice, Scored
from rali.watching.hints import NoSource
from rali.watching.trouble import TRIES_OF_ONCE, Patience
from rali.workers import WorkerPool

if TYPE_CHECKING:
    from conftest import Running

Watch = Callable[..., "Running"]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- how long, and what is said --------------------------------------------------------------------------------------


class Trial:
    """A patience on a clock that the test sets, with work that fails as long as there are errors left."""

    def __init__(self, *errors: Exception, most_tries: int | None = None) -> None:
        self.now_s = 100.0
        self.errors = list(errors)
        self.done = 0
        self.patience = Patience(
            "It cannot be done now", "It is done again", most_tries=most_tries, clock=lambda: self.now_s
        )

    def _work(self) -> Iterator[Event]:
        if self.errors:
            raise self.errors.pop(0)
        self.done += 1
        yield Gone("/done")

    def attempt(self) -> list[Event]:
        return list(self.patience.attempt(self._work()))

    def fail(self) -> tuple[float, list[Event]]:
        """Try when it is time to; return the pause that follows, and the events."""
        self.now_s = max(self.now_s, self.patience.until_s)
        events = self.attempt()
        return self.patience.until_s - self.now_s, events


def test_pauses_grow_to_a_minute_and_each_new_one_is_said() -> None:
    trial = Trial(*[CatalogBusyError("it is\nlocked")] * 9)

    failures = [trial.fail() for _ in range(9)]

    assert [pause_s for pause_s, _ in failures] == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    said = [event.text for _, events in failures for event in events if isinstance(event, Notice)]
    assert said[0] == "It cannot be done now (it is locked); tried again in 1 s"
    assert said[6:] == ["It cannot be done now (it is locked); tried again every 60 s"]


def test_nothing_is_tried_in_a_pause() -> None:
    trial = Trial(FULL)
    trial.fail()
    trial.now_s += 0.9

    assert (trial.attempt(), trial.done) == ([], 0)


def test_what_works_again_is_said_once_and_the_next_pause_is_short_again() -> None:
    trial = Trial(FULL, FULL, FULL)
    for _ in range(3):
        trial.fail()
    trial.now_s += 60

    assert trial.attempt() == [Gone("/done"), Notice("It is done again")]
    assert trial.attempt() == [Gone("/done")]
    trial.errors = [FULL]
    assert trial.fail()[0] == 1


@pytest.mark.parametrize("error", [DamagedModelError("x"), CatalogDamagedError("x"), UsageError("x"), ValueError("x")])
def test_what_waiting_does_not_cure_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        Trial(error).attempt()


def test_what_is_to_end_by_itself_gives_up_after_half_a_minute() -> None:
    trial = Trial(*[CatalogWriteError("no room")] * 9, most_tries=TRIES_OF_ONCE)
    for _ in range(TRIES_OF_ONCE - 1):
        trial.fail()

    assert 25 <= trial.patience.until_s - 100 <= 40
    with pytest.raises(CatalogWriteError, match="no room"):
        trial.fail()


# --- a watch in trouble ----------------------------------------------------------------------------------------------


class Holder:
    """Another program that holds the catalog, from the outside."""

    def __init__(self, db: Path) -> None:
        self._db = db
        self._connection: sqlite3.Connection | None = None

    def take(self) -> None:
        self._connection = sqlite3.connect(self._db, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN EXCLUSIVE")

    def take_for(self, seconds: float) -> None:
        self.take()
        threading.Timer(seconds, self.let_go).start()

    def let_go(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


@pytest.fixture
def holder(settings: Settings) -> Iterator[Holder]:
    found = Holder(settings.db)
    yield found
    found.let_go()


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again after a fifth of the time."""
    monkeypatch.setattr(trouble, "FIRST_PAUSE_S", 0.2)


def stored(rows: Callable[..., list[tuple[Any, ...]]]) -> set[str]:
    found = rows("SELECT p.name FROM photos p JOIN scores s ON s.content_id = p.content_id WHERE p.listed")
    return {os.fsdecode(name) for (name,) in found}


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize(
    "error",
    [CatalogBusyError("it is locked"), CatalogWriteError("no room"), WorkersError("they cannot start"), FULL],
    ids=lambda error: type(error).__name__,
)
def test_photos_of_a_turn_that_failed_are_scored_once_by_a_later_one(
    watch: Watch, folder: Path, rows: Any, error: Exception
) -> None:
    run = watch().until_caught_up()
    assert run.session is not None
    run.session.troubles.append(error)
    for number in range(3):
        write_jpeg(folder / f"{number}.jpg", number)

    run.until(lambda run: len(run.names()) == 3)
    run.until(lambda run: run.idle)
    write_jpeg(folder / "later.jpg", 9)
    run.until(lambda run: "later.jpg" in run.names())

    assert set(run.names().values()) == {1}
    assert stored(rows) == {"0.jpg", "1.jpg", "2.jpg", "later.jpg"}
    assert run.notices == [
        f"Photos cannot be scored now ({error}); tried again in 0.2 s",
        "Photos are scored again",
    ]


@pytest.mark.usefixtures("short_pauses")
def test_a_photo_that_changes_while_its_turn_fails_settles_first(watch: Watch, folder: Path) -> None:
    whole = write_jpeg(folder.parent / "whole.jpg", 5, size=(600, 400)).read_bytes()
    run = watch(settle_s=0.4).until_caught_up()
    assert run.session is not None
    run.session.troubles.append(FULL)
    write_jpeg(folder / "a.jpg", 1)
    run.until(lambda run: run.notices)
    with (folder / "a.jpg").open("wb") as file:  # while it waits for its next turn, somebody saves it slowly
        for at in range(0, len(whole), len(whole) // 8):
            file.write(whole[at : at + len(whole) // 8])
            file.flush()
            threading.Event().wait(0.15)

    run.until(lambda run: run.names() == {"a.jpg": 1})

    assert run.failed == {}
    assert run.session.read == {"a.jpg": 2}


@pytest.mark.usefixtures("short_pauses")
def test_a_catalog_that_another_program_holds_is_waited_for(
    watch: Watch, folder: Path, holder: Holder, rows: Any
) -> None:
    write_jpeg(folder / "old.jpg", 8)
    run = watch(busy_timeout_s=0.05).until_caught_up()
    run.until(lambda run: run.names() == {"old.jpg": 1})
    holder.take()
    for number in range(3):
        write_jpeg(folder / "new" / f"{number}.jpg", number)
    (folder / "old.jpg").unlink()
    run.until(lambda run: any("is locked by another program" in notice for notice in run.notices))
    holder.let_go()

    run.until(lambda run: len(run.names()) == 4 and run.names(Gone) == {"old.jpg": 1})

    assert set(run.names().values()) == {1}
    assert stored(rows) == {"0.jpg", "1.jpg", "2.jpg"}


@pytest.mark.usefixtures("short_pauses")
def test_a_first_look_that_was_cut_short_is_taken_again_from_the_start(
    watch: Watch, folder: Path, holder: Holder, rows: Any
) -> None:
    for number in range(6):
        write_jpeg(folder / f"{number % 3}" / f"{number}.jpg", number)

    def hold_the_catalog(hints: object) -> NoSource:
        holder.take_for(0.5)
        return NoSource(None)

    run = watch(busy_timeout_s=0.05, source=hold_the_catalog).until_caught_up()
    run.until(lambda run: len(run.names()) == 6)

    assert [event.found for event in run.of(CaughtUp)] == [6]
    assert set(run.names().values()) == {1}
    assert run.notices[0].startswith("Folders cannot be looked at now (")
    assert run.notices[-1] == "Folders are looked at again"


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("call", [2, 3])
def test_a_look_that_fails_in_the_middle_misses_no_folder(
    watch: Watch, folder: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    for number in range(6):
        write_jpeg(folder / f"{number}" / f"{number}.jpg", number)
    known_in, calls = Catalog.known_in, iter(range(1, 1000))

    def known_or_not(catalog: Catalog, *arguments: Any) -> Any:
        if next(calls) == call:
            raise CatalogBusyError("it is locked")
        return known_in(catalog, *arguments)

    monkeypatch.setattr(Catalog, "known_in", known_or_not)
    run = watch(source=lambda hints: NoSource(None)).until_caught_up()
    run.until(lambda run: len(run.names()) == 6)

    assert set(run.names().values()) == {1}
    assert run.notices[0] == "Folders cannot be looked at now (it is locked); tried again in 0.2 s"


@pytest.mark.usefixtures("short_pauses")
def test_a_photo_that_was_stored_and_not_told_of_is_told_of_once(watch: Watch, folder: Path, holder: Holder) -> None:
    write_jpeg(folder / "a.jpg", 1)
    run = watch(busy_timeout_s=0.05).until_caught_up()
    run.until(lambda run: run.names() == {"a.jpg": 1})
    assert run.session is not None
    times = iter([holder.take_for])
    run.session.after_store = lambda: next(times, lambda _: None)(0.4)
    shutil.copyfile(folder / "a.jpg", folder / "copy.jpg")  # the catalog is asked for its score

    run.until(lambda run: "copy.jpg" in run.names())
    run.settle()

    assert run.names() == {"a.jpg": 1, "copy.jpg": 1}
    assert [event.score for event in run.of(Scored)] == [run.of(Scored)[0].score] * 2
    assert any(notice.startswith("Photos cannot be scored now") for notice in run.notices)


@pytest.mark.usefixtures("short_pauses")
def test_photos_that_could_not_be_culled_for_a_moment_are_culled_later(
    watch: Watch, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_plan, refusals = carrying.apply_plan, [FULL]

    def apply_or_not(*arguments: Any, **options: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return apply_plan(*arguments, **options)

    monkeypatch.setattr(carrying, "apply_plan", apply_or_not)
    run = watch(below=20.0, grace_s=0.1).until_caught_up()
    write_black(folder / "dark.jpg")
    run.until(lambda run: run.notices)
    write_jpeg(folder / "good.jpg", 1)  # what is scored does not wait for what is culled

    run.until(lambda run: run.of(Culled))

    assert run.names() == {"dark.jpg": 1, "good.jpg": 1}
    assert [path.name for path in folder.glob("*.jpg")] == ["good.jpg"]
    assert "No space left on device" in run.notices[0]


@pytest.mark.usefixtures("short_pauses")
def test_processes_that_cannot_start_for_a_moment_are_waited_for(
    watch: Watch, folder: Path, monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    start, refusals = WorkerPool._start, [BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")]

    def start_or_not(pool: WorkerPool) -> Any:
        if refusals:
            raise refusals.pop()
        return start(pool)

    monkeypatch.setattr(WorkerPool, "_start", start_or_not)
    run = watch(count=False).until_caught_up()
    write_jpeg(folder / "a.jpg", 1)

    run.until(lambda run: run.names() == {"a.jpg": 1})

    assert "Resource temporarily unavailable" in run.notices[0]
    assert stored(rows) == {"a.jpg"}


@pytest.mark.parametrize("error", [DamagedModelError("altered"), CatalogDamagedError("malformed")])
def test_what_waiting_does_not_cure_ends_the_watch(watch: Watch, folder: Path, error: Exception) -> None:
    run = watch().until_caught_up()
    assert run.session is not None
    run.session.troubles.append(error)
    write_jpeg(folder / "a.jpg", 1)

    with pytest.raises(type(error)):
        run.join()


def test_a_model_that_was_deleted_ends_the_watch(watch: Watch, folder: Path, settings: Settings) -> None:
    model = folder.parent / "model.safetensors"
    shutil.copyfile(settings.model, model)
    run = watch(count=False, model=model).until_caught_up()
    model.unlink()
    write_jpeg(folder / "a.jpg", 1)

    with pytest.raises(DamagedModelError, match="cannot be read"):
        run.join()


def test_a_watch_in_trouble_still_ends_at_once_when_asked(watch: Watch, folder: Path) -> None:
    run = watch().until_caught_up()
    assert run.session is not None
    run.session.troubles += [CatalogBusyError("it is locked")] * 20
    write_jpeg(folder / "a.jpg", 1)
    run.until(lambda run: len(run.notices) == 2)  # the pause is 2 s by now
    stopping = threading.Thread(target=run.stop)
    stopping.start()
    stopping.join(timeout=1.0)

    assert not stopping.is_alive()
