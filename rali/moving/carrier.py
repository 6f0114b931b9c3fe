"""Carries the shots of one run to the quarantine or back, a batch at a time, each written down before it is touched.

The order within a batch is what survives a power cut: journal rows on the disk, new names, their folders on the disk,
old names away, their folders on the disk, journal settled. A batch shares the waiting for the disk among its shots.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rali.catalog.journal import Journal, MoveRecord, MoveState, RunRecord
from rali.moving.mover import Mover, Step, Transfer
from rali.moving.moves import ENDS_A_RUN, Fs, Identity, RefusalError, TakenError, locked_folders, sync_folders
from rali.moving.quarantine import JournalFile, free_names

# Waiting for the disk once for 256 shots instead of for each makes a cull 30 times as fast (scripts/bench.py moves).
BATCH_SHOTS = 256
# Copies to another device take long: fewer are taken back if the process is killed.
_BATCH_COPIED_SHOTS = 8
_MOST_NUMBERED = 1000


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
        self._files = {place.id: JournalFile(place.folder) for place in run.places if os.path.isdir(place.folder)}
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
        for place in self._run.places:
            self._files[place.id].begin(self._run, place)
            sync_folders(self._fs, [place.folder, os.path.dirname(place.folder)])

    def carry(self, shots: Iterable[Sequence[MoveRecord]]) -> Carried:
        """Move shots; those that must not or cannot be moved stay, whole.

        Raises:
            CatalogError: the journal cannot be written; what was not written down was not touched.
        """
        for batch in self._batches(shots):
            self._announce(batch)
            self._carry_batch([[self._transfer(move) for move in shot] for shot in batch])
            self._on_progress(self._done.shots + len(self._done.refused))
            if self._done.ended_by is not None or self._done.interrupted:
                break
        return self._done

    def recover(self, shots: Iterable[Sequence[MoveRecord]]) -> Carried:
        """Bring shots to one side that a killed process left somewhere between."""
        for shot in shots:
            transfers = [self._transfer(move) for move in shot]
            try:
                self._mover.recover(transfers)
                sync_folders(self._fs, filter(os.path.isdir, {os.path.dirname(t.target) for t in transfers}))
            except OSError as error:
                self._done.ended_by = error.strerror or str(error)
                self._done.unsettled += len(shot)
            else:
                self._settle([(transfers, "was interrupted")])
        return self._done

    # --- one batch ------------------------------------------------------------------------------------------

    def _batches(self, shots: Iterable[Sequence[MoveRecord]]) -> Iterator[list[Sequence[MoveRecord]]]:
        batch: list[Sequence[MoveRecord]] = []
        for shot in shots:
            batch.append(shot)
            if len(batch) >= (_BATCH_COPIED_SHOTS if self._crosses_devices(shot[0]) else BATCH_SHOTS):
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
        with locked_folders(os.path.dirname(self._records[t.number].source) for shot in batch for t in shot):
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
            self._done.shots += arrived == len(shot)
            if reason is not None and arrived < len(shot):
                self._done.refused.append((self._records[shot[0].number].source, reason))
        self._journal.settle(self._run, moves)
        for place_id, file in self._files.items():
            file.settle(move for move in moves if move.place_id == place_id)

    # --- one file -------------------------------------------------------------------------------------------

    def _transfer(self, move: MoveRecord) -> Transfer:
        self._records[move.id] = move
        own = Identity(move.inode, move.size_bytes, move.mtime_ns)
        away = None if move.away is None else Identity(move.away[0], move.size_bytes, move.away[1])
        back = None if move.back is None else Identity(move.back[0], move.size_bytes, move.back[1])
        if self._back:
            return Transfer(move.id, move.destination, move.source, away or own, back, move.reserved)
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
        self._journal.note(move)
        if move.place_id in self._files:
            self._files[move.place_id].note(move)

    def _write_files(self, moves: Sequence[MoveRecord]) -> None:
        for place_id, file in self._files.items():
            file.add(move for move in moves if move.place_id == place_id)
