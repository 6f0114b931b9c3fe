"""What leaves the quarantine for good: a run purged, or handed to the system's bin."""

from __future__ import annotations

import os
from contextlib import ExitStack

from rali.catalog.catalog import Catalog
from rali.catalog.journal import MoveRecord, MoveState, RunRecord, RunState
from rali.errors import PathError, UnsafeError
from rali.moving.carrier import Carried
from rali.moving.moves import Fs, GoneError, RefusalError, delete, to_trash
from rali.moving.quarantine import JournalFile, identity_in_quarantine
from rali.moving.recovery import again, close, moving
from rali.moving.runs import Done
from rali.photos.photo import display_path

_PURGE_BATCH_SHOTS = 256


def purge(catalog: Catalog, run: RunRecord, *, fs: Fs | None = None) -> Done:
    """Delete what a run has in the quarantine, for good; what has changed there since stays.

    What somebody has deleted there by hand counts as deleted.

    Raises:
        PathError: the drive of the quarantine is not there.
        UnsafeError: the quarantine cannot be written.
    """
    fs = fs or Fs()
    with moving(catalog, fs) as journal, ExitStack() as closing:
        run = again(journal, run)
        files: dict[int, JournalFile] = {}
        for place in run.places:
            if os.path.isdir(place.folder):
                try:
                    files[place.id] = JournalFile(place.folder, create=True)
                except OSError as error:
                    raise UnsafeError(
                        f"the quarantine {display_path(place.folder)} cannot be written ({error.strerror or error}): "
                        "nothing was deleted"
                    ) from error
                closing.callback(files[place.id].close)
            elif not os.path.isdir(os.path.dirname(os.path.dirname(place.folder))):
                raise PathError(f"the quarantine {display_path(place.folder)} is not there: connect its drive")
        journal.set_state(run, RunState.PURGING)
        carried = Carried()
        shots = journal.moves(run, MoveState.AWAY)
        for at in range(0, len(shots), _PURGE_BATCH_SHOTS):
            moves = [move for shot in shots[at : at + _PURGE_BATCH_SHOTS] for move in shot]
            journal.announce(moves, MoveState.DELETING)
            for move in moves:
                _delete(move, fs, carried)
            journal.settle(run, moves)
            for place_id, file in files.items():
                file.settle(move for move in moves if move.place_id == place_id)
        return Done(close(journal, run, fs), carried)


def _delete(move: MoveRecord, fs: Fs, carried: Carried) -> None:
    try:
        delete(fs, move.destination, identity_in_quarantine(move))
    except GoneError:
        move.state, move.reason = MoveState.DELETED, "was gone already"
    except (RefusalError, OSError) as error:
        move.state, move.reason = MoveState.AWAY, str(error)
        carried.refused.append((move.destination, str(error)))
    else:
        move.state = MoveState.DELETED
        carried.files += 1
        carried.size_bytes += move.size_bytes


def send_to_trash(catalog: Catalog, run: RunRecord) -> RunRecord:
    """Hand the run's folders to the system's bin, each as a whole, so that each can be restored as a whole.

    Raises:
        UnsafeError: the bin does not take one of them; it is still in the quarantine.
    """
    with moving(catalog, Fs()) as journal:
        run = again(journal, run)
        # Written down first: what is not in the bin can still be undone as it lies.
        journal.set_state(run, RunState.TRASHED)
        for folder in {place.folder for place in run.places}:
            try:
                to_trash(folder)
            except OSError as error:
                if all(os.path.isdir(place.folder) for place in run.places):
                    journal.set_state(run, RunState.SETTLED)
                raise UnsafeError(
                    f"the system's bin does not take {display_path(folder)} ({error}): it stays there"
                ) from error
        return again(journal, run)
