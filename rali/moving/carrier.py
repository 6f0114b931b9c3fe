"""Carries the shots of one run to the quarantine or back, a batch at a time, each written down before it is touched.

The order within a batch is what survives a power cut: journal rows on the disk, new names, their folders on the disk,
old names away, their folders on the disk, journal settled. A batch shares the waiting for the disk among its shots.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from rali.catalog.journal import Journal, MoveRecord, MoveState, RunRecord
from rali.errors import CatalogBusyError
from rali.moving.mover import Mover, Step, Transfer, crosses_devices
from rali.moving.moves import ENDS_A_RUN, Fs, Identity, RefusalError, TakenError, locked_folders, sync_folders
from rali.moving.quarantine import JournalFile, free_names
from rali.photos.photo import display_path
from rali.photos.shots import shots_in

# Waiting for the disk once for 256 shots instead of for each makes a cull 30 times as fast (scripts/bench.py moves).
BATCH_SHOTS = 256
# Copies to another device take long: fewer are taken back if the process is killed.
_BATCH_COPIED_SHOTS = 8
_MOST_NUMBERED = 1000
# How old what is known of a folder may be when a shot leaves it.
_LOOK_AGAIN_S = 1.0


@dataclass
class Carried:
    """What became of shots.

    Attributes:
        shots, files, size_bytes: that arrived.
        refused: paths of shots that stayed, with the reason.
        unsettled: files that could be brought to neither side; the next command tries again.
        interrupted: asked to stop.
        ended_by: the error that would have met every shot that came after, in words.
    """

    shots: int = 0
    files: int = 0
    size_bytes: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    unsettled: int = 0
    interrupted: bool = False
    ended_by: str | None = None


class Carrier:
    """Moves shots of one run; ``back`` brings them home. Use it as a context manager.

    Args:
        journal: of the open catalog.
        run: in the state ``moving`` or ``undoing``.
        fs: the calls that change files.
        on_progress: called with the number of shots that are done.
        stop: asked before each shot.
    """

    def __init__(
        self,
        journal: Journal,
        run: RunRecord,
        *,
        back: bool,
        fs: Fs,
        on_progress: Callable[[int], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._journal = journal
        self._run = run
        self._back = back
        self._fs = fs
        self._on_progress = on_progress
        self._stop = stop
        self._records: dict[int, MoveRecord] = {}
        self._taken: set[str] = set()
        self._looked: dict[str, tuple[float, dict[str, tuple[str, ...]]]] = {}
        self._files = _journal_files(run, create=not back and not run.files)
        self._folders = {place.id: place.folder for place in run.places}
        self._done = Carried()
        leaves_source = run.mode != "move" and not back
        self._mover = Mover(
            fs, run.name, self._note, keeps_source=leaves_source, copies=run.mode == "copy" and not back
        )

    def __enter__(self) -> Carrier:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def begin(self) -> None:
        """Begin the journals in the quarantine."""
        for folder, file in self._files.items():
            file.begin(self._run, [place.root for place in self._run.places if place.folder == folder])
            sync_folders(self._fs, [folder, os.path.dirname(folder)])

    def carry(self, shots: Iterable[Sequence[MoveRecord]]) -> Carried:
        """Move shots; those that must not or cannot be moved stay, whole.

        Raises:
            CatalogError: the journal cannot be written; what was not written down was not touched.
        """
        for batch in self._batches(shots):
            try:
                self._announce(batch)
            except OSError as error:
                self._done.ended_by = f"its journal cannot be written: {error.strerror or error}"
                break
            self._carry_batch([[self._transfer(move) for move in shot] for shot in batch])
            self._on_progress(self._done.shots + len(self._done.refused))
            if self._done.ended_by is not None or self._done.interrupted:
                break
        return self._done

    def recover(self, shots: Iterable[Sequence[MoveRecord]]) -> Carried:
        """Bring shots to one side that a killed process left somewhere between."""
        for shot in shots:
            transfers = [self._transfer(move) for move in shot]
            folders = {os.path.dirname(name) for t in transfers for name in (t.source, t.target)}
            try:
                with locked_folders(os.path.dirname(move.source) for move in shot):
                    self._mover.recover(transfers)
                sync_folders(self._fs, filter(os.path.isdir, folders))
            except OSError as error:
                self._done.ended_by = error.strerror or str(error)
                self._done.unsettled += len(shot)
            else:
                whole = all(transfer.step is not Step.WAITING for transfer in transfers)
                self._settle([(transfers, None if whole else "was interrupted")])
        return self._done

    # --- one batch ------------------------------------------------------------------------------------------

    def _batches(self, shots: Iterable[Sequence[MoveRecord]]) -> Iterator[list[Sequence[MoveRecord]]]:
        batch: list[Sequence[MoveRecord]] = []
        for shot in shots:
            batch.append(shot)
            copies = self._run.mode == "copy" or self._crosses_devices(shot[0])
            if len(batch) >= (_BATCH_COPIED_SHOTS if copies else BATCH_SHOTS):
                yield batch
                batch = []
        if batch:
            yield batch

    def _crosses_devices(self, move: MoveRecord) -> bool:
        try:
            folder = next(place.folder for place in self._run.places if place.id == move.place_id)
            return os.lstat(move.destination if self._back else move.source).st_dev != os.stat(folder).st_dev
        except OSError:
            return False

    def _announce(self, batch: Sequence[Sequence[MoveRecord]]) -> None:
        moves = [move for shot in batch for move in shot]
        if self._back:
            self._journal.announce(moves, MoveState.RETURNING)
        else:
            self._write_files(moves)
            self._journal.add(self._run, moves)
        self._records = {move.id: move for move in moves}

    def _carry_batch(self, batch: Sequence[list[Transfer]]) -> None:
        # A rali with another catalog may be at the same photos.
        folders = {os.path.dirname(self._records[t.number].source) for shot in batch for t in shot}
        with ExitStack() as held:
            try:
                held.enter_context(locked_folders(folders, self._stop))
            except CatalogBusyError as error:  # no file of this batch was touched, those before it have left
                self._done.interrupted = self._stop()
                self._done.ended_by = None if self._done.interrupted else str(error)
                self._settle([(shot, None) for shot in batch])
                return
            self._settle(self._carry_locked(batch))

    def _carry_locked(self, batch: Sequence[list[Transfer]]) -> list[tuple[list[Transfer], str | None]]:
        """Take a batch through the steps; return each shot that is at rest, with the reason if it stays."""
        placed: list[list[Transfer]] = []
        settled: list[tuple[list[Transfer], str | None]] = []

        def attempt(step: Callable[[list[Transfer]], None], shot: list[Transfer]) -> bool:
            """Do one step with a shot; on an error the shot is whole at its old names again, or else left open."""
            try:
                step(shot)
            except RefusalError as error:
                settled.append((shot, str(error)))
                return False
            except OSError as error:
                reason = error.strerror or str(error)
                if error.errno in ENDS_A_RUN:
                    self._done.ended_by = reason
                if self._put_back(shot):
                    settled.append((shot, reason))
                return False
            return True

        for shot in batch:
            if self._stop():
                self._done.interrupted = True
            if self._done.interrupted or self._done.ended_by is not None:
                settled.append((shot, None))
            elif attempt(self._place, shot):
                placed.append(shot)
        try:
            sync_folders(self._fs, (os.path.dirname(t.target) for shot in placed for t in shot))
        except OSError as error:
            self._done.ended_by = error.strerror or str(error)
            settled += [(shot, self._done.ended_by) for shot in placed if self._put_back(shot)]
            placed = []
        settled += [(shot, None) for shot in placed if attempt(self._mover.finish, shot)]
        try:
            sync_folders(self._fs, (os.path.dirname(t.source) for shot in placed for t in shot))
        except OSError as error:  # the old names are gone; at worst a power cut brings them back beside the new ones
            self._done.ended_by = error.strerror or str(error)
        return settled

    def _place(self, shot: list[Transfer]) -> None:
        """Give a shot its new names; in the quarantine, others if they are taken."""
        if not self._back and (new := self._companion_since([self._records[t.number] for t in shot])):
            raise RefusalError(f"{display_path(new)} has come beside it since the plan was made")
        for _ in range(_MOST_NUMBERED):
            try:
                self._mover.place(shot)
            except TakenError:
                if self._back:
                    raise
                self._rename(shot)
            else:
                return
        raise RefusalError("no name is free for it in the quarantine")

    def _companion_since(self, shot: Sequence[MoveRecord]) -> str | None:
        """Return a file that has joined a shot since it was planned: stars, say, given during a long run."""
        folder, leader = os.path.split(shot[0].source)
        looked_s, shots = self._looked.get(folder, (0.0, {}))
        if time.monotonic() - looked_s > _LOOK_AGAIN_S:
            self._looked = {folder: (time.monotonic(), shots := shots_in(folder))}
        known = {os.path.basename(move.source) for move in shot}
        return next((name for name in shots.get(leader, ()) if name not in known), None)

    def _rename(self, shot: list[Transfer]) -> None:
        folder = os.path.dirname(shot[0].target)
        # A file system that makes no difference between a.jpg and A.jpg says so only when it is asked for the second.
        self._taken |= {transfer.target for transfer in shot}

        def taken(name: str) -> bool:
            path = os.path.join(folder, name)
            return path in self._taken or os.path.lexists(path)

        names = free_names([os.path.basename(transfer.source) for transfer in shot], taken)
        moves = [self._records[transfer.number] for transfer in shot]
        for transfer, move, name in zip(shot, moves, names, strict=True):
            transfer.target = move.destination = os.path.join(folder, name)
            transfer.reserved = False
        self._write_files(moves)
        self._journal.rename(moves)

    def _put_back(self, shot: list[Transfer]) -> bool:
        try:
            self._mover.put_back(shot)
        except OSError:
            self._done.unsettled += len(shot)
            return False
        return True

    def _settle(self, shots: Sequence[tuple[list[Transfer], str | None]]) -> None:
        arrived_state = MoveState.BACK if self._back else MoveState.AWAY
        stayed_state = MoveState.AWAY if self._back else MoveState.STAYED
        moves: list[MoveRecord] = []
        for shot, reason in shots:
            arrived = 0
            for transfer in shot:
                move = self._records[transfer.number]
                there = transfer.step is not Step.WAITING
                move.state, move.reason = (arrived_state, None) if there else (stayed_state, reason)
                arrived += there
                moves.append(move)
                self._done.files += there
                self._done.size_bytes += move.size_bytes if there else 0
            # With a reason it may have left all the same: a program has saved another version under the old name.
            self._done.shots += arrived == len(shot) and reason is None
            if reason is not None:
                self._done.refused.append((self._records[shot[0].number].source, reason))
        self._journal.settle(self._run, moves)
        try:
            self._write_files(moves, settled=True)
        except OSError as error:  # the catalog knows it all; without it, the disk tells the same
            self._done.ended_by = f"its journal cannot be written: {error.strerror or error}"

    # --- one file -------------------------------------------------------------------------------------------

    def _transfer(self, move: MoveRecord) -> Transfer:
        self._records[move.id] = move
        own = Identity(move.inode, move.size_bytes, move.mtime_ns)
        away = None if move.away is None else Identity(move.away[0], move.size_bytes, move.away[1])
        back = None if move.back is None else Identity(move.back[0], move.size_bytes, move.back[1])
        if self._back:
            identity = away or own
            return Transfer(move.id, move.destination, move.source, identity, back, move.reserved, move.mtime_ns)
        return Transfer(move.id, move.source, move.destination, back or own, away, move.reserved)

    def _note(self, transfer: Transfer) -> None:
        move = self._records[transfer.number]
        move.reserved = move.reserved or transfer.reserved
        if transfer.copied is not None:
            pair = (transfer.copied.inode, transfer.copied.mtime_ns)
            if transfer.target == move.source:
                move.back = pair
            else:
                move.away = pair
                move.crossed = crosses_devices(transfer.source, transfer.target)
        self._journal.note(move)
        file = self._files.get(self._folders[move.place_id])
        if file is not None and not self._back:
            file.note(move)

    def _write_files(self, moves: Sequence[MoveRecord], *, settled: bool = False) -> None:
        for folder, file in self._files.items():
            here = [move for move in moves if self._folders[move.place_id] == folder]
            if settled:
                file.settle(here)
            else:
                file.add(here)


def _journal_files(run: RunRecord, *, create: bool) -> dict[str, JournalFile]:
    """Open the journals of a run's folders that are there."""
    files: dict[str, JournalFile] = {}
    try:
        for folder in {place.folder for place in run.places}:
            with suppress(FileNotFoundError):  # deleted by somebody; the catalog has the same
                files[folder] = JournalFile(folder, create=create)
    except OSError:
        for file in files.values():
            file.close()
        raise
    return files
