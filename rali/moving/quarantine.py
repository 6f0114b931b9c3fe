"""Where culled photos go: the quarantine's folders and names, and the journal that lies in them.

A run has one folder in each quarantine it uses, ``.rali-quarantine/<run>/``: beside the scanned root if that is on the
same volume and can be written, else in the root; for photos on another volume that is mounted below the root, at that
volume's top. In it lies a journal, one JSON document a line, from which a run can be undone without the catalog.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rali.catalog.journal import Mode, MoveRecord, MoveState, Place, RunRecord, new_run
from rali.errors import UsageError
from rali.moving.moves import QUARANTINE, Identity
from rali.photos.photo import display_path
from rali.photos.scan import JOURNAL_NAME

_VERSION = 1
_NAME_BYTES = 255


def quarantine_for(root: str, folder: str) -> str:
    """Return the quarantine for photos in ``folder``, which is ``root`` or lies below it."""
    device = _device(folder)
    if _device(root) != device:
        top = folder
        while _device(os.path.dirname(top)) == device:
            top = os.path.dirname(top)
        return os.path.join(top, QUARANTINE)
    parent = os.path.dirname(root)
    beside = parent != root and _device(parent) == device and os.access(parent, os.W_OK | os.X_OK)
    return os.path.join(parent if beside else root, QUARANTINE)


def _device(folder: str) -> int:
    return os.stat(folder).st_dev


@dataclass(frozen=True)
class Destinations:
    """The names that shots get in one run's folder.

    Attributes:
        place: the run's folder, and the root whose photos it takes.
        below: names of folders between the run's folder and the path below the root.
    """

    place: Place
    below: str = ""

    def of_shot(self, folder: str, names: Sequence[str], taken: Callable[[str], bool]) -> list[str]:
        """Return absolute paths for the files of a shot in ``folder``; ``taken`` tells of an absolute path."""
        relative = folder[len(self.place.root) :].lstrip(os.sep)
        target = os.path.join(self.place.folder, self.below, relative).rstrip(os.sep)
        return [
            os.path.join(target, name) for name in free_names(names, lambda name: taken(os.path.join(target, name)))
        ]


def free_names(names: Sequence[str], taken: Callable[[str], bool]) -> list[str]:
    """Return the names of a shot, all with the same ``" (1)"`` behind their common stem if one of them is taken.

    Args:
        names: the leader's first.
        taken: tells of one name.

    A name that would be longer than 255 bytes is shortened before the suffix, between two characters.
    """
    found = list(names)
    number = 0
    stem = os.path.splitext(names[0])[0]
    while any(map(taken, found)):
        number += 1
        found = [_numbered(name, stem, f" ({number})") for name in names]
    return found


def _numbered(name: str, stem: str, suffix: str) -> str:
    if not name.startswith(stem):
        stem = os.path.splitext(name)[0]
    rest = name[len(stem) :]
    while stem and len(os.fsencode(stem + suffix + rest)) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + suffix + rest


# --- the journal in the quarantine -------------------------------------------------------------------------------


def identity_in_quarantine(move: MoveRecord) -> Identity:
    """Return what a file that has left is known by where it lies now."""
    inode, mtime_ns = move.away or (move.inode, move.mtime_ns)
    return Identity(inode, move.size_bytes, mtime_ns)


class JournalFile:
    """Appends to the journal in a run's folder. Raises OSError."""

    def __init__(self, folder: str, *, create: bool = False) -> None:
        path = os.path.join(folder, JOURNAL_NAME)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | (os.O_CREAT if create else 0), 0o600)
        self._folder = folder
        size_bytes = os.fstat(self._file).st_size
        if size_bytes and os.pread(self._file, 1, size_bytes - 1) != b"\n":  # a kill or a full disk cut a line short
            os.write(self._file, b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def begin(self, run: RunRecord, roots: Sequence[str]) -> None:
        """Write what the run is."""
        self._write(
            [
                {
                    "rali_journal": _VERSION,
                    "run": run.name,
                    "started_at": run.started_at,
                    "mode": run.mode,
                    "chosen": run.chosen,
                    "model": run.model,
                    "recipe": run.recipe,
                    "roots": list(roots),
                }
            ]
        )

    def add(self, moves: Iterable[MoveRecord]) -> None:
        """Write what is about to be moved, and bring it to the disk."""
        self._write(
            {
                "shot": move.shot,
                "from": move.source,
                "to": self._relative(move),
                "inode": move.inode,
                "size_bytes": move.size_bytes,
                "mtime_ns": move.mtime_ns,
            }
            for move in moves
        )

    def note(self, move: MoveRecord) -> None:
        """Write which inode a copy in the quarantine has."""
        if move.away is not None:
            inode, mtime_ns = move.away
            to = self._relative(move)
            self._write([{"copied": to, "inode": inode, "mtime_ns": mtime_ns, "crossed": move.crossed}])

    def settle(self, moves: Iterable[MoveRecord]) -> None:
        """Write what became of files."""
        self._write(
            {"state": move.state, "to": self._relative(move)} | ({"reason": move.reason} if move.reason else {})
            for move in moves
        )

    def _relative(self, move: MoveRecord) -> str:
        return move.destination[len(self._folder) + 1 :]

    def _write(self, documents: Iterable[dict[str, Any]]) -> None:
        data = memoryview("".join(json.dumps(document) + "\n" for document in documents).encode("ascii"))
        if not data:
            return
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)


def read_journal(path: Path) -> tuple[RunRecord, list[MoveRecord]]:
    """Read a journal file; the run's place is the folder that the file lies in now.

    Returns:
        The run and its moves, in the state that the journal tells: where it tells none, ``leaving``. The number of a
        move's place is its index in ``run.places``.

    Raises:
        UsageError: the file is no journal of ours.
        OSError: it cannot be read.
    """
    folder = os.path.dirname(os.path.realpath(path))
    by_source: dict[str, MoveRecord] = {}
    by_name: dict[str, MoveRecord] = {}
    run: RunRecord | None = None
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            document = json.loads(line)
        except ValueError as error:
            if run is None:
                raise UsageError(f"{display_path(path)} is no journal of rali (line {number}: {error})") from error
            continue  # cut short by a kill or a full disk, and so never acted upon
        try:
            if run is None:
                run = _read_header(document, folder)
            elif "from" in document:
                move = _read_move(document, folder, [place.root for place in run.places])
                # Written again, where the first name in the quarantine was taken.
                by_source[move.source] = by_name[document["to"]] = move
            elif "copied" in document:
                move = by_name[document["copied"]]
                move.away = (int(document["inode"]), int(document["mtime_ns"]))
                move.crossed = document["crossed"] is True
            elif "state" in document:
                by_name[document["to"]].state = MoveState(document["state"])
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{display_path(path)} is no journal of rali (line {number}: {error})") from error
    if run is None:
        raise UsageError(f"{display_path(path)} is no journal of rali: it is empty")
    return run, list(by_source.values())


def _read_header(document: dict[str, Any], folder: str) -> RunRecord:
    if document["rali_journal"] != _VERSION:
        raise ValueError(f"version {document['rali_journal']}; update rali")
    mode: Mode = document["mode"]
    roots = document["roots"]
    texts = [document[key] for key in ("run", "started_at", "chosen", "model", "recipe")]
    if mode not in ("move", "copy", "hardlink") or not all(isinstance(text, str) for text in (*texts, *roots)):
        raise ValueError("a damaged first line")
    name, started_at, chosen, model, recipe = texts
    run = new_run(name, mode=mode, chosen=chosen, model=model, recipe=recipe, places=[(root, folder) for root in roots])
    return replace(run, started_at=started_at)


def _read_move(document: dict[str, Any], folder: str, roots: Sequence[str]) -> MoveRecord:
    source, to = document["from"], document["to"]
    if not os.path.isabs(source) or os.path.isabs(to) or ".." in to.split(os.sep):
        raise ValueError("a path that leads elsewhere")
    numbers = [document[key] for key in ("shot", "inode", "size_bytes", "mtime_ns")]
    if not all(type(number) is int for number in numbers):
        raise ValueError("a number is missing")
    shot, *identity = numbers
    place = next((at for at, root in enumerate(roots) if source.startswith(root.rstrip(os.sep) + os.sep)), 0)
    return MoveRecord(place, shot, source, os.path.join(folder, to), *identity)
