"""A watcher in a thread of its own, over real files, with a session that decodes in this process and counts."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import BrightnessScorer

from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scoring
from rali.config import Settings
from rali.model.bundle import BundleInfo, read_info
from rali.photos.photo import Photo
from rali.prepare import Failure, Preparer, recipe_id
from rali.watching.events import Backlog, Event, Failed, Gone, Notice, Renamed, Scored
from rali.watching.options import WatchOptions
from rali.watching.watcher import Watcher

SETTLE_S = 0.15


class CountingSession:
    """Decodes and scores in this process, stores as the real one does, and remembers what it was given.

    Attributes:
        read: how often each file was read.
        scored: how often the model was asked about each file.
        troubles: raised one after another, in place of storing a group.
        after_store: called when a group is stored, before anybody is told.
        rested: how often it gave back what it held.
    """

    def __init__(self, catalog: Catalog, info: BundleInfo, settings: Settings, scoring: Scoring) -> None:
        self._catalog, self._scoring = catalog, scoring
        self._preparer = Preparer(info.preprocessing, settings.recipe, settings.limit_px)
        self._scorer = BrightnessScorer(info)
        self._shape = info.preprocessing.input_shape
        self.read: Counter[str] = Counter()
        self.troubles: list[Exception] = []
        self.after_store: Callable[[], object] = lambda: None
        self.scored: Counter[str] = Counter()
        self.is_open = False
        self.rested = 0

    def score(self, photos: Iterable[Photo], stop: Callable[[], bool], *, expected: int) -> Iterator[list[Outcome]]:
        """Score and store photos, up to 64 at a time."""
        self.is_open = True
        group: list[Outcome] = []
        for photo in photos:
            group.append(self._outcome(photo))
            if len(group) == 64:
                yield self._stored(group)
                group = []
            if stop():
                break
        if group:
            yield self._stored(group)

    def rest(self) -> None:
        """Give back what it holds, and count it."""
        self.is_open = False
        self.rested += 1

    def _stored(self, group: list[Outcome]) -> list[Outcome]:
        if self.troubles:
            raise self.troubles.pop(0)
        self._catalog.store(group, self._scoring)
        self.after_store()
        return group

    def _outcome(self, photo: Photo) -> Outcome:
        import numpy as np

        self.read[os.path.basename(photo.file)] += 1
        pixels = np.zeros(self._shape, dtype=np.uint8)
        result = self._preparer(photo.file, memoryview(pixels).cast("B"))
        if isinstance(result, Failure):
            return Outcome(photo, failure=result)
        if self._catalog.score_of(result.content.hash, self._scoring) is not None:
            return Outcome(photo, result)
        self.scored[os.path.basename(photo.file)] += 1
        found = self._scorer.score(pixels[None])
        return Outcome(photo, result, float(found.scores[0]), found.embeddings[0].astype("<f2").tobytes())


class Running:
    """A watcher that runs in a thread until the test ends."""

    def __init__(
        self,
        folders: list[Path],
        settings: Settings,
        *,
        count: bool = True,
        busy_timeout_s: float = 30.0,
        source: Callable[..., Any] | None = None,
        **options: Any,
    ) -> None:
        self.folders, self.settings, self._source, self._count = folders, settings, source, count
        self._busy_timeout_s = busy_timeout_s
        self.options = WatchOptions(**({"settle_s": SETTLE_S, "latency_s": 0.05, "rescan_s": 60.0} | options))
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self.watcher: Watcher | None = None
        self.session: CountingSession | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> Running:
        self._thread.start()
        return self

    def _run(self) -> None:
        try:
            with Catalog(self.settings.db, busy_timeout_s=self._busy_timeout_s) as catalog:
                info = read_info(Path(self.settings.model))
                if self._count:
                    scoring = catalog.scoring(info, recipe_id(self.settings.recipe))
                    self.session = CountingSession(catalog, info, self.settings, scoring)
                self.watcher = Watcher(
                    self.folders, catalog, self.settings, self.options, session=self.session, source=self._source
                )
                with self.watcher:
                    for event in self.watcher.events():
                        self.events.append(event)
        except BaseException as error:  # noqa: BLE001 (the test is to see it)
            self.error = error

    def stop(self) -> None:
        if self.watcher is not None:
            self.watcher.stop()
        self.join()

    def join(self) -> None:
        self._thread.join(timeout=25)
        assert not self._thread.is_alive()
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def until(self, seen: Callable[[Running], object], *, timeout_s: float = 15) -> None:
        """Wait until the test's condition holds."""
        end_s = time.monotonic() + timeout_s
        while not seen(self):
            if self.error is not None:
                raise self.error
            assert time.monotonic() < end_s, self.events
            time.sleep(0.01)

    def until_caught_up(self) -> Running:
        self.until(lambda run: any(type(event).__name__ == "CaughtUp" for event in run.events))
        return self

    def settle(self) -> None:
        """Give it time to do what it should not do."""
        time.sleep(4 * SETTLE_S)

    def of(self, kind: type) -> list[Any]:
        return [event for event in list(self.events) if isinstance(event, kind)]

    def names(self, kind: type = Scored) -> Counter[str]:
        return Counter(os.path.basename(event.path) for event in self.of(kind))

    @property
    def failed(self) -> dict[str, str]:
        return {os.path.basename(event.path): str(event.kind) for event in self.of(Failed)}

    @property
    def notices(self) -> list[str]:
        return [event.text for event in self.of(Notice)]

    @property
    def idle(self) -> bool:
        backlogs = self.of(Backlog)
        return not backlogs or backlogs[-1] == Backlog(0, 0, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "photos"
    found.mkdir()
    return found


@pytest.fixture
def settings(own_world: Path, tiny_bundle: Path) -> Settings:
    return Settings(db=own_world / "catalog.db", model=str(tiny_bundle), device="cpu", workers=1, timeout_s=20)


@pytest.fixture
def counting() -> type[CountingSession]:
    return CountingSession


@pytest.fixture
def watch(folder: Path, settings: Settings) -> Iterator[Callable[..., Running]]:
    """Return a function that starts a watcher on the folder; all are stopped in the end."""
    started: list[Running] = []

    def start(*folders: Path, db: Path | None = None, model: Path | None = None, **options: Any) -> Running:
        chosen = settings if db is None else replace(settings, db=db)
        chosen = chosen if model is None else replace(chosen, model=str(model))
        started.append(Running(list(folders) or [folder], chosen, **options).start())
        return started[-1]

    yield start
    for running in started:
        running.stop()


__all__ = ["Gone", "Renamed", "Running"]
