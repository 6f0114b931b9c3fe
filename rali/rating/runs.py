"""Ratings written, undone, and found again.

One process at a time writes sidecars or moves photos for one catalog. What each sidecar holds is in the journal, on
the disk, before the first of a batch is touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from rali.catalog.catalog import Catalog
from rali.catalog.rating_journal import (
    RatingJournal,
    RatingRun,
    RatingState,
    SidecarRecord,
    SidecarState,
    new_rating_run,
)
from rali.moving.carrier import Carried
from rali.moving.moves import Fs, RefusalError
from rali.moving.recovery import moving
from rali.photos.scan import matches_glob
from rali.rating.plan import RatingPlan
from rali.rating.recovery import close, repair
from rali.rating.sidecar import hash_now
from rali.rating.writing import BATCH, batches, restore_batch, write_batch


@dataclass(frozen=True)
class Rated:
    """What a command did to a run; ``run`` is None if nothing was written at all.

    Attributes:
        carried: the numbers, and which photos' sidecars were left, with the reasons.
    """

    run: RatingRun | None
    carried: Carried


def apply_rating(
    catalog: Catalog,
    plan: RatingPlan,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    fs: Fs | None = None,
) -> Rated:
    """Write the sidecars of a plan, and nothing else; one that has changed since it was made is left.

    Args:
        on_progress: called with the number of sidecars that are done.
        stop: asked before each; once it is true, the run ends.
        fs: the calls that change files, for tests.

    Raises:
        CatalogError: the journal cannot be written, or another process is moving files.
    """
    fs = fs or Fs()
    with moving(catalog, fs):
        journal = RatingJournal(catalog)
        repair(journal, fs)
        if not plan.sidecars:
            return Rated(None, Carried())
        run = _begin(journal, plan)
        done = Carried()
        for batch in batches(plan.sidecars):
            write_batch(journal, run, batch, done, stop, fs)
            on_progress(done.shots + len(done.refused))
            if done.interrupted or done.ended_by is not None:
                break
        return Rated(close(journal, run), done)


def undo_rating(
    catalog: Catalog,
    run: RatingRun,
    *,
    only: str | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
    fs: Fs | None = None,
) -> Rated:
    """Make a run's sidecars what they were before, to the byte; one that has changed since is left.

    Args:
        only: a glob; only sidecars that match it, or whose photo does, by name or path.
    """
    fs = fs or Fs()
    with moving(catalog, fs):
        journal = RatingJournal(catalog)
        repair(journal, fs)
        journal.set_state(run, RatingState.UNRATING)
        done, after = Carried(), 0
        while batch := journal.sidecars(run, SidecarState.WRITTEN, after=after, limit=BATCH):
            after = batch[-1].id
            wanted = [
                one
                for one in batch
                if only is None or any(matches_glob(path, os.sep, only) for path in (one.photo, one.path))
            ]
            restore_batch(journal, run, wanted, done, stop, fs)
            on_progress(done.shots + len(done.refused))
            if done.interrupted or done.ended_by is not None:
                break
        return Rated(close(journal, run), done)


def find_rating(catalog: Catalog, name: str | None) -> RatingRun | None:
    """Return the run of a name, or the last that can be undone; None if there is none.

    A run of which all that is left has been changed since cannot be: an earlier one must not wait behind it for ever.
    """
    journal = RatingJournal(catalog)
    if name is not None:
        return journal.find(name)
    return next((run for run in journal.runs() if run.files > run.restored and _can_be_undone(journal, run)), None)


def _can_be_undone(journal: RatingJournal, run: RatingRun) -> bool:
    if run.state is not RatingState.SETTLED:  # a killed process left it; what became of it is found out first
        return True
    return any(_is_as_written(one) for one in journal.sidecars(run, SidecarState.WRITTEN))


def _is_as_written(sidecar: SidecarRecord) -> bool:
    try:
        return hash_now(sidecar.path) == sidecar.new_hash
    except (OSError, RefusalError):
        return False


def _begin(journal: RatingJournal, plan: RatingPlan) -> RatingRun:
    base = f"{time.strftime('%Y-%m-%d_%H%M%S')}-rate"
    name, number = base, 1
    while journal.find(name) is not None:
        number += 1
        name = f"{base}-{number}"
    model = f"{plan.scoring.model_name} ({plan.scoring.model_id})"
    return journal.begin(
        new_rating_run(name, chosen=str(plan.wishes), model=model, recipe=plan.scoring.recipe, roots=plan.roots)
    )
