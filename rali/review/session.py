"""One review: what the page asks and decides, done by one thread that has the catalog open."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from rali.catalog.catalog import Catalog
from rali.catalog.records import Mark, Scope, Scoring
from rali.culling.choice import Choice
from rali.culling.marks import mark_photos
from rali.culling.plan import CullPlan, over_limits, plan_cull
from rali.culling.recheck import recheck
from rali.errors import UnsafeError, UsageError
from rali.grouping.bursts import find_bursts, in_order
from rali.moving.runs import apply_plan, find_run, undo
from rali.photos.photo import display_path
from rali.rating.runs import find_rating, undo_rating
from rali.review.answers import done_for_page, plan_for_page
from rali.review.giving import give_stars
from rali.review.library import Library, groups_for_page, load_library
from rali.review.painting import is_elsewhere
from rali.starred import stars_of_each

_Answer = TypeVar("_Answer")


class Review:
    """A review of the scored photos of a scope; use it as a context manager.

    Its methods that answer a page run in the thread that has the catalog open: call them through :meth:`ask`.

    Args:
        catalog: path of the catalog's file.
        db: the same, if it was named on the command line: commands that the page suggests then name it, too.

    Raises:
        PathError: the catalog knows no photo in the scope.
        CatalogError: it cannot be used.
    """

    def __init__(self, catalog: Path, scoring: Scoring, scope: Scope, *, db: Path | None = None) -> None:
        self._path, self._scoring, self._scope, self._db = catalog, scoring, scope, db
        self._plan: tuple[str, CullPlan] | None = None
        self._runs: set[str] = set()
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rali-catalog")
        self.moved = 0
        try:
            self._catalog, self.library = self._thread.submit(self._open).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def __enter__(self) -> Review:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.submit(self._catalog.__exit__)
        self._thread.shutdown()

    def stop(self) -> None:
        """Let a run that moves photos end in good order: what it has begun is finished."""
        self._stopping.set()

    def ask(self, question: Callable[..., _Answer], *arguments: object) -> Future[_Answer]:
        """Have one of the methods below answer, once the thread is free."""
        return self._thread.submit(question, *arguments)

    def photos(self) -> dict[str, Any]:
        """Return what there is to know of each photo, worst first, and its marks."""
        return {**self.library.columns, "marks": self.library.marks}

    def groups(self) -> list[dict[str, Any]]:
        """Return the groups among the photos."""
        return groups_for_page(find_bursts(self._catalog, self._scoring, self._scope), self.library)

    def order(self, photo_ids: Sequence[int]) -> list[int]:
        """Return the photos of one group, best first as their marks and stars are now."""
        frames = in_order(self._catalog, self._scoring, [self._file(photo_id) for photo_id in photo_ids])
        own = set(photo_ids)
        return [file.photo_id for frame in frames for file in frame.frame.files if file.photo_id in own]

    def stars(self) -> dict[int, int]:
        """Return the stars of the photos that have any, as they are in their sidecars now."""
        found = stars_of_each(self._catalog, self.library.requests)
        return {photo_id: given.stars for photo_id, given in found if given.stars}

    def mark(self, wanted: Sequence[tuple[int, Mark | None]]) -> dict[str, Any]:
        """Mark photos, and store it at once; return the marks as they are now, of copies too, and what was refused.

        Raises:
            UsageError: there is no such photo.
        """
        paths: dict[Mark | None, dict[str, int]] = {}
        refused: list[tuple[int, str]] = []
        for photo_id, mark in wanted:
            file = self._file(photo_id)
            if is_elsewhere(file):
                refused.append((photo_id, "there is a link in its place; run: rali score"))
            else:
                paths.setdefault(mark, {})[file] = photo_id
        now: dict[int, Mark | None] = {}
        for mark, files in paths.items():
            result = mark_photos(self._catalog, files, mark)
            refused += [(files[path], display_path(reason)) for path, reason in result.refused]
            for path in filter(files.__contains__, result.marked):
                content = self.library.requests[files[path]].content_hash
                now |= dict.fromkeys(self.library.alike.get(content or b"", [files[path]]), mark)
        for photo_id, new in now.items():
            if new is None:
                self.library.marks.pop(photo_id, None)
            else:
                self.library.marks[photo_id] = new
        return {"marks": list(now.items()), "refused": refused}

    def give(self, photo_id: int, stars: int) -> dict[str, Any]:
        """Give a photo stars, in its sidecar; return what it has now, and the run that can be undone."""
        run = give_stars(self._catalog, self._scoring, self._file(photo_id), stars)
        if run is not None:
            self._runs.add(run)
        ((_, now),) = stars_of_each(self._catalog, [photo_id])
        return {"photo": photo_id, "stars": now.stars, "run": run}

    def plan(self, below: float | None, per_burst: int | None) -> dict[str, Any]:
        """Make the plan that ``rali cull`` would make of the same photos, and keep it until it is applied."""
        library = self.library
        choice = Choice(below=below, per_burst=per_burst)
        plan = plan_cull(self._catalog, self._scoring, library.scope, choice, roots=library.roots)
        self._plan = (secrets.token_hex(8), plan)
        return plan_for_page(plan, self._plan[0])

    def apply(self, number: str, meant: bool) -> dict[str, Any]:
        """Move the photos of the plan that was shown last, less what has changed since, and look them all up anew.

        Args:
            number: of the plan, as :meth:`plan` gave it.
            meant: so much may go.

        Raises:
            UnsafeError: it is another plan, or so much would go that it must be said twice.
        """
        if self._plan is None or self._plan[0] != number:
            raise UnsafeError("this is not the plan that was shown last: nothing was moved; look at it again")
        shown = self._plan[1]
        over = over_limits(shown)
        if over is not None and not meant:
            raise UnsafeError(f"{over}: nothing was moved. Say that it is meant")
        self._plan, self.moved = None, 0
        checked = [shown]

        def look_again(plan: CullPlan) -> CullPlan:
            checked.append(recheck(self._catalog, plan))
            return checked[-1]

        done = apply_plan(
            self._catalog, shown, on_progress=self._on_moved, stop=self._stopping.is_set, check=look_again
        )
        if done.run is not None:
            self._runs.add(done.run.name)
        self.library = load_again(self._catalog, self.library)
        return done_for_page(done, checked[-1].held_back[len(shown.held_back) :], self._db)

    def undo(self, name: str) -> dict[str, Any]:
        """Take back a run of this review: photos that went, or stars that were given.

        Raises:
            UsageError: it is no run of this review.
        """
        if name not in self._runs:
            raise UsageError("this run is not one of this page's; see: rali runs")
        rating = find_rating(self._catalog, name)
        if rating is not None:
            carried = undo_rating(self._catalog, rating).carried
        else:
            run = find_run(self._catalog, name)
            carried = undo(self._catalog, run, on_progress=self._on_moved, stop=self._stopping.is_set).carried
            self.library = load_again(self._catalog, self.library)
        return {"back": carried.shots, "refused": [reason for _, reason in carried.refused]}

    def _on_moved(self, count: int) -> None:
        self.moved = count

    def _file(self, photo_id: int) -> str:
        if photo_id not in self.library.requests:
            raise UsageError("there is no such photo in this review")
        return self.library.requests[photo_id].file

    def _open(self) -> tuple[Catalog, Library]:
        catalog = Catalog(self._path, create=False)
        try:
            return catalog, load_library(catalog, self._scoring, self._scope)
        except BaseException:
            catalog.__exit__()
            raise


def load_again(catalog: Catalog, library: Library) -> Library:
    """Look all photos of a review up again; that none is left is no error."""
    scope = library.scope
    if not catalog.count_listed(Scope(scope.roots)):
        return Library(
            library.scoring,
            scope,
            library.roots,
            {},
            {},
            {},
            {**library.columns, "photos": {name: [] for name in library.columns["photos"]}},
        )
    return load_library(catalog, library.scoring, scope)
