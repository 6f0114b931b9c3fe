"""Recovery: what a killed process left behind is brought to rest before anything else is moved.

One process at a time moves files for one catalog: the system frees its lock when it dies, and whoever comes next finds
the run unfinished and repairs it, from the journal and from the inodes on disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rali.catalog.catalog import Catalog
from rali.catalog.journal import Journal, MoveRecord, MoveState, RunRecord, RunState
from rali.errors import CatalogBusyError, UsageError
from rali.moving.moves import Fs, clear_run_folder, identity_of
from rali.photos.photo import display_path

LOCK_TIMEOUT_S = 60.0
_OPEN = (MoveState.LEAVING, MoveState.RETURNING, MoveState.DELETING)


def recover(catalog: Catalog, *, fs: Fs | None = None) -> list[str]:
    """Repair what killed processes left behind; return what was done, a line each.

    Costs one question to the catalog where there is nothing to do, and leaves runs alone that a living process is at.
    """
    if not Journal(catalog).unfinished():
        return []
    try:
        with moving(catalog, fs or Fs(), timeout_s=0, repair=False) as journal:
            return repair_runs(journal, fs or Fs())
    except CatalogBusyError:
        return []


@contextmanager
def moving(catalog: Catalog, fs: Fs, *, timeout_s: float = LOCK_TIMEOUT_S, repair: bool = True) -> Iterator[Journal]:
    """Be the one process that moves files for this catalog; repair first what the last one left.

    Raises:
        CatalogBusyError: another process is moving files, and was not done in time.
    """
    from filelock import FileLock, Timeout

    # SQLite follows links to the catalog, so the lock does.
    lock = FileLock(f"{os.path.realpath(catalog.path)}.moves-lock", timeout=timeout_s)
    try:
        with lock:
            journal = Journal(catalog)
            if repair and journal.unfinished():
                repair_runs(journal, fs)
            yield journal
    except Timeout as error:
        raise CatalogBusyError("another rali is moving photos; wait until it is done") from error


def repair_runs(journal: Journal, fs: Fs) -> list[str]:
    """Bring every unfinished run to rest; return what was done, a line each. The caller holds the lock."""
    notices = []
    for run in journal.unfinished():
        missing = [place.folder for place in run.places if not os.path.isdir(place.folder)]
        shots = journal.moves(run, *_OPEN)
        if missing and shots:
            notices.append(
                f"Run {run.name} was interrupted, and {display_path(missing[0])} is not there: connect its drive"
            )
            continue
        try:
            notices += _repair(journal, run, shots, fs)
        except OSError as error:  # one drive that is write-protected, say, must not hold up the others
            notices.append(
                f"Run {run.name} was interrupted, and cannot be repaired now ({error.strerror or error}): the next "
                "command tries again"
            )
    return notices


def _repair(journal: Journal, run: RunRecord, shots: Sequence[Sequence[MoveRecord]], fs: Fs) -> list[str]:
    """Bring one unfinished run to rest."""
    from rali.moving.carrier import Carrier  # here, because every command asks if there is something to repair

    back = run.state is RunState.UNDOING
    if run.state is RunState.PURGING:
        deleted = _stop_purging(journal, run, shots)
        close(journal, run, fs)
        return [f"Run {run.name} was being purged: {deleted:,} files had just been deleted, the others are still there"]
    if not any(os.path.isdir(place.folder) for place in run.places):
        close(journal, run, fs)  # killed before it had made a folder
        return []
    with Carrier(journal, run, back=back, fs=fs) as carrier:
        carried = carrier.recover(shots)
    if carried.unsettled:
        return [
            f"Run {run.name} was interrupted, and {carried.unsettled:,} files cannot be repaired now "
            f"({carried.ended_by}): the next command tries again"
        ]
    close(journal, run, fs)
    if not shots:
        return []
    done, not_done = ("are back", "still away") if back else ("moved", "in their place")
    return [
        f"Run {run.name} was interrupted. Of the {len(shots):,} photos that it was just at, {carried.shots:,} {done} "
        f"and {len(shots) - carried.shots:,} are {not_done}; nothing is lost. What it had not come to is as it was"
    ]


def _stop_purging(journal: Journal, run: RunRecord, shots: Sequence[Sequence[MoveRecord]]) -> int:
    """Find out how many files a killed purge has deleted; what it has not stays in the quarantine."""
    moves = [move for shot in shots for move in shot]
    for move in moves:
        move.state = MoveState.DELETED if identity_of(move.destination) is None else MoveState.AWAY
    journal.settle(run, moves)
    return sum(move.state is MoveState.DELETED for move in moves)


def close(journal: Journal, run: RunRecord, fs: Fs) -> RunRecord | None:
    """Let a run rest; forget it if it has moved nothing."""
    if journal.moves(run, *_OPEN):
        return journal.find(run.name)
    now = again(journal, run)
    used = [os.path.dirname(move.destination) for shot in journal.moves(run, *MoveState) for move in shot]
    if now.files:
        journal.set_state(run, RunState.SETTLED)
    else:
        journal.drop(run)
    if not now.away and not now.deleted:
        for folder in {place.folder for place in run.places}:
            if os.path.basename(folder) == run.name:
                clear_run_folder(fs, folder, used)
    return journal.find(run.name)


def again(journal: Journal, run: RunRecord) -> RunRecord:
    """Return a run as it stands now."""
    found = journal.find(run.name)
    if found is None:
        raise UsageError(f"there is no run {run.name} any more; see: rali runs")
    return found
