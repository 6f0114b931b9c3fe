"""Recovery: what a killed process left of a rating is brought to rest.

A sidecar is old or new, never between, so that all there is to find out is which; the content tells.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from rali.catalog.catalog import Catalog
from rali.catalog.rating_journal import (
    RatingJournal,
    RatingRun,
    RatingState,
    SidecarRecord,
    SidecarState,
    content_hash,
)
from rali.errors import CatalogBusyError, UsageError
from rali.moving.moves import Fs, RefusalError
from rali.moving.recovery import moving
from rali.photos.photo import display_path


def recover_ratings(catalog: Catalog, *, fs: Fs | None = None) -> list[str]:
    """Repair what killed processes left behind; return what was done, a line each.

    Costs one question to the catalog where there is nothing to do, and leaves runs alone that a living process is at.
    """
    journal = RatingJournal(catalog)
    if not journal.unfinished():
        return []
    try:
        with moving(catalog, fs or Fs(), timeout_s=0, repair=False):
            return repair(journal, fs or Fs())
    except CatalogBusyError:
        return []


def repair(journal: RatingJournal, fs: Fs) -> list[str]:
    """Bring every unfinished run to rest; return what was done, a line each. The caller holds the lock."""
    from rali.rating.writing import words_of  # here, because every command asks if there is something to repair

    notices = []
    for run in journal.unfinished():
        open_ones = journal.sidecars(run, SidecarState.WRITING, SidecarState.RESTORING)
        away = next((one.path for one in open_ones if not os.path.isdir(os.path.dirname(one.path))), None)
        if away is not None:
            folder = display_path(os.path.dirname(away))
            notices.append(f"Run {run.name} was interrupted, and {folder} is not there: connect its drive")
            continue
        try:
            never, changed = _look_again(run, open_ones, fs)
        except OSError as error:
            notices.append(
                f"Run {run.name} was interrupted, and cannot be repaired now ({words_of(error)}): the next command "
                "tries again"
            )
            continue
        journal.settle(never, changed=changed)
        close(journal, run)
        if open_ones:
            notices.append(
                f"Run {run.name} was interrupted. Each of the {len(open_ones):,} sidecars that it was just at is "
                "whole, old or new; nothing is lost"
            )
    return notices


def _look_again(
    run: RatingRun, open_ones: Sequence[SidecarRecord], fs: Fs
) -> tuple[list[SidecarRecord], list[tuple[SidecarRecord, SidecarState]]]:
    """Find out how far a killed process came: return what it has not written, and what became of the others."""
    from rali.rating import sidecar as sidecars_on_disk

    never: list[SidecarRecord] = []
    changed: list[tuple[SidecarRecord, SidecarState]] = []
    for one in open_ones:
        sidecars_on_disk.clear(fs, run.name, one)
        try:
            now = sidecars_on_disk.hash_now(one.path)
        except RefusalError:  # somebody has put something else in its place
            now = b""
        if one.state is SidecarState.RESTORING:
            restored = now == content_hash(one.old)
            changed.append((one, SidecarState.RESTORED if restored else SidecarState.WRITTEN))
        elif now == one.new_hash:
            changed.append((one, SidecarState.WRITTEN))
        else:
            never.append(one)
    return never, changed


def close(journal: RatingJournal, run: RatingRun) -> RatingRun | None:
    """Let a run rest; forget it if it has written nothing."""
    now = journal.find(run.name)
    if now is None:
        raise UsageError(f"there is no run {run.name} any more; see: rali runs")
    if journal.sidecars(run, SidecarState.WRITING, SidecarState.RESTORING, limit=1):
        return now
    if now.files:
        journal.set_state(run, RatingState.SETTLED)
    else:
        journal.drop(run)
    return journal.find(run.name)
