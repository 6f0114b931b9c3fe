"""A batch of sidecars written, or made what they were: each is written down before it is touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rali.catalog.rating_journal import RatingJournal, RatingRun, SidecarRecord, SidecarState, content_hash
from rali.errors import CatalogBusyError
from rali.moving.carrier import Carried
from rali.moving.moves import ENDS_A_RUN, Fs, RefusalError, locked_folders, sync_folders
from rali.photos.photo import display_path
from rali.photos.xmp_meaning import UnmergeableError
from rali.rating import sidecar as sidecars_on_disk
from rali.rating.plan import PlannedSidecar, look_at_sidecar, naming, read_document

# Waiting for the disk is shared by a batch; develop settings can make a sidecar large, and a batch is in memory.
BATCH = 256
_BATCH_BYTES = 32 << 20


@dataclass
class _Ready:
    """A sidecar that is about to be written."""

    record: SidecarRecord
    content: bytes


def batches(planned: Sequence[PlannedSidecar]) -> Iterator[list[PlannedSidecar]]:
    """Cut what is planned into batches that fit into memory, the sidecars' contents with them."""
    batch: list[PlannedSidecar] = []
    size_bytes = 0
    for one in planned:
        size_bytes += os.path.getsize(one.path) if os.path.exists(one.path) else 0
        batch.append(one)
        if len(batch) >= BATCH or size_bytes >= _BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def write_batch(
    journal: RatingJournal,
    run: RatingRun,
    batch: Sequence[PlannedSidecar],
    done: Carried,
    stop: Callable[[], bool],
    fs: Fs,
) -> None:
    """Write a batch down, then to its sidecars, and count in ``done`` what became of it."""
    with _folders_locked((one.path for one in batch), done, stop):
        ready = [made for one in batch if (made := _prepared(one, done)) is not None]
        journal.add(run, [one.record for one in ready])
        never: list[SidecarRecord] = []
        written: list[SidecarRecord] = []
        for one in ready:
            step = partial(sidecars_on_disk.write, fs, run.name, one.record, one.content)
            if _attempt(step, one.record, done, stop):
                written.append(one.record)
                done.size_bytes += len(one.content)
            else:
                never.append(one.record)
        _sync(fs, written, done)
        journal.settle(never, changed=[(record, SidecarState.WRITTEN) for record in written])


@contextmanager
def _folders_locked(paths: Iterable[str], done: Carried, stop: Callable[[], bool]) -> Iterator[None]:
    """Lock the sidecars' folders while the body runs; if they or the catalog cannot be had, the run ends with it."""
    try:
        with locked_folders({os.path.dirname(path) for path in paths}, stop):
            yield
    except CatalogBusyError as error:
        done.interrupted = stop()
        done.ended_by = None if done.interrupted else str(error)


def _prepared(planned: PlannedSidecar, done: Carried) -> _Ready | None:
    """Look at a sidecar once more, and make its new content."""
    try:
        now = look_at_sidecar(planned.path)
        if content_hash(now.content) != planned.old_hash:
            raise UnmergeableError(f"{display_path(os.path.basename(planned.path))} has changed since it was looked at")
        document = read_document(planned.path, now.content)
        with naming(planned.path):
            content = document.merged(planned.properties)
        permissions = now.permissions or os.stat(planned.photo).st_mode & 0o666 | 0o200
    except (UnmergeableError, OSError) as error:
        done.refused.append((planned.photo, words_of(error)))
        return None
    new_hash = content_hash(content) or b""
    record = SidecarRecord(planned.photo, planned.path, now.content, now.mtime_ns, permissions, new_hash)
    return _Ready(record, content)


def restore_batch(
    journal: RatingJournal,
    run: RatingRun,
    batch: Sequence[SidecarRecord],
    done: Carried,
    stop: Callable[[], bool],
    fs: Fs,
) -> None:
    """Write down that a batch is restored, do it, and count in ``done`` what became of it."""
    with _folders_locked((one.path for one in batch), done, stop):
        restorable = [one for one in batch if _may_be_restored(journal, run, one, done)]
        journal.announce(restorable)
        changed: list[tuple[SidecarRecord, SidecarState]] = []
        for one in restorable:
            restored = _attempt(partial(sidecars_on_disk.restore, fs, run.name, one), one, done, stop)
            changed.append((one, SidecarState.RESTORED if restored else SidecarState.WRITTEN))
        _sync(fs, [one for one, state in changed if state is SidecarState.RESTORED], done)
        journal.settle([], changed=changed)


def _may_be_restored(journal: RatingJournal, run: RatingRun, sidecar: SidecarRecord, done: Carried) -> bool:
    """Tell if a sidecar is still what was written; if not, say why it stays."""
    name = display_path(os.path.basename(sidecar.path))
    try:
        now = sidecars_on_disk.hash_now(sidecar.path)
    except (OSError, RefusalError) as error:
        done.refused.append((sidecar.photo, words_of(error)))
        return False
    if now == sidecar.new_hash:
        return True
    later = journal.later_run(run, sidecar.path)
    if now is None:
        reason = f"{name} is gone; if a cull moved it with its photo, undo that run first"
    elif later is not None:
        reason = f"{name} was rated again; undo run {later} first"
    else:
        reason = f"{name} has changed since it was written, and is left as it is"
    done.refused.append((sidecar.photo, reason))
    return False


def _attempt(step: Callable[[], None], sidecar: SidecarRecord, done: Carried, stop: Callable[[], bool]) -> bool:
    """Do one step, unless the run has come to its end; on an error the sidecar is as it was."""
    if stop():
        done.interrupted = True
    if done.interrupted or done.ended_by is not None:
        return False
    try:
        step()
    except RefusalError as error:
        done.refused.append((sidecar.photo, str(error)))
        return False
    except OSError as error:
        done.refused.append((sidecar.photo, words_of(error)))
        if error.errno in ENDS_A_RUN:
            done.ended_by = words_of(error)
        return False
    done.shots += 1
    done.files += 1
    return True


def _sync(fs: Fs, sidecars: Sequence[SidecarRecord], done: Carried) -> None:
    try:
        sync_folders(fs, (os.path.dirname(one.path) for one in sidecars))
    except OSError as error:  # the names are there; at worst a power cut takes the new ones back
        done.ended_by = words_of(error)


def words_of(error: Exception) -> str:
    """Say what is wrong, without a path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
