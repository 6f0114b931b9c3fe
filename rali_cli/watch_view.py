"""How a watch looks to logs and to other programs, and what its panel (:mod:`rali_cli.watch_panel`) shares with them.

With ``--jsonl`` each line on stdout is one JSON object in ASCII, written at once. Bytes of a path that are not UTF-8
are surrogates (``os.fsencode`` undoes it). All objects have ``event`` and ``time`` (UTC, ISO 8601). Events and fields
may be added; none goes or changes its meaning:

=============  ======================================================================================================
``event``      further fields
=============  ======================================================================================================
``watching``   ``roots``; ``model`` (``name``, ``id``, ``recipe``, ``score_low``, ``score_high``); ``pid``. The first.
``caught-up``  ``found``, ``cached``, ``failed``, ``waiting``: photos that the first look at everything came upon
``scored``     ``path``; ``score``; ``companions``: names of the shot's other files; ``seconds``: since the photo was
               first seen; ``known``: true if the same content had its score already
``failed``     ``path``; ``error_kind``; ``error``; ``again_s``: seconds to the next try, null if a change has to come
``renamed``    ``path``: the new one; its score is as it was
``gone``       ``path``
``culled``     ``run``: for ``rali undo``; ``paths``: where the photos were
``held``       ``path``; ``rule``; ``detail``: scored too low and stays all the same
``notice``     ``text``
``backlog``    ``ready``, ``settling``, ``failing``: photos to do; all 0: nothing
``ended``      ``scored``, ``failed``, ``culled``; ``interrupted``: true after Ctrl-C or SIGTERM. The last.
=============  ======================================================================================================
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rali.catalog.records import Scoring
from rali.errors import FailureKind
from rali.photos.photo import display_path, shell_word
from rali.watching.events import CaughtUp, Culled, Event, Failed, Gone, Held, Notice, Renamed, Scored
from rali_cli.exit_codes import ExitCode
from rali_cli.render import counted, model_json, with_companions


@dataclass(frozen=True)
class Watched:
    """What is watched, and how.

    Attributes:
        roots: absolute.
        below, grace_s: what is culled; None: nothing.
        once: it ends by itself.
        db: the catalog, if it was named on the command line.
    """

    roots: Sequence[str]
    scoring: Scoring
    below: float | None = None
    grace_s: float = 0.0
    once: bool = False
    db: Path | None = None

    @property
    def places(self) -> str:
        """The roots in a few words."""
        more = len(self.roots) - 1
        return display_path(self.roots[0]) + (f" and {counted(more, 'more folder')}" if more else "")

    def name_of(self, path: str) -> str:
        """Return a path as seen from the root, if there is but one, safe to print."""
        root = self.roots[0].rstrip(os.sep) + os.sep if len(self.roots) == 1 else ""
        return display_path(path.removeprefix(root))

    def way_back(self, run: str) -> str:
        """Return the command that brings the photos of a run back."""
        return f"rali undo {shell_word(run)}" + (
            "" if self.db is None else f" --db {shell_word(os.path.abspath(self.db))}"
        )


@dataclass
class Tally:
    """What has happened so far.

    Attributes:
        scored, culled: how often.
        failing: paths of photos that failed and have not been scored since.
        caught_up: what the first look found; None until it is over.
    """

    scored: int = 0
    culled: int = 0
    failing: set[str] = field(default_factory=set)
    caught_up: CaughtUp | None = None

    def note(self, event: Event) -> None:
        """Count an event."""
        match event:
            case Scored(path):
                self.scored += 1
                self.failing.discard(path)
            case Failed(path) if not _is_gone(event):
                self.failing.add(path)
            case Gone(path) | Renamed(path):
                self.failing.discard(path)
            case Culled():
                self.culled += len(event.paths)
            case CaughtUp():
                self.caught_up = event
            case _:
                pass

    @property
    def failed(self) -> int:
        """How many photos have no score, those included that had failed before the watch began."""
        return len(self.failing) + (self.caught_up.failed if self.caught_up else 0)

    def closing_line(self, *, interrupted: bool) -> str:
        """Say in a line what was done."""
        culled = f", {self.culled:,} culled" if self.culled else ""
        if interrupted:
            return (
                f"Stopped: {counted(self.scored, 'photo')} scored, {len(self.failing):,} failed{culled}; all is stored."
            )
        found = self.caught_up or CaughtUp(0, 0, 0, 0)
        return (
            f"{counted(found.found, 'photo')}: {self.scored:,} scored, {found.cached:,} cached, "
            f"{self.failed:,} failed{culled}"
        )


class View(Protocol):
    """Shows a watch while it lasts; a context manager."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""

    def show(self, event: Event) -> None:
        """Show what happened."""

    def end(self, tally: Tally, *, interrupted: bool) -> None:
        """Say what was done, when all is over."""


# --- for programs --------------------------------------------------------------------------------------------------


class JsonLines:
    """One JSON object an event on stdout."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def __enter__(self) -> Self:
        model = model_json(self._watched.scoring)
        self._write({"event": "watching", "roots": list(self._watched.roots), "model": model, "pid": os.getpid()})
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Write an event."""
        self._write(event_json(event))

    def end(self, tally: Tally, *, interrupted: bool) -> None:
        """Write the last event."""
        counts = {"scored": tally.scored, "failed": tally.failed, "culled": tally.culled}
        self._write({"event": "ended", **counts, "interrupted": interrupted})

    def _write(self, document: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        _put(json.dumps(document | {"time": now}, allow_nan=False), sys.stdout)


def _put(line: str, stream: TextIO) -> None:
    """Write a line at once; end in good order if its reader has gone."""
    try:
        print(line, file=stream, flush=True)
    except BrokenPipeError:  # `rali watch | head`: typer would make an error of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        sys.exit(ExitCode.OK)


def event_json(event: Event) -> dict[str, Any]:
    """Describe an event; its fields are documented above."""
    match event:
        case Failed():
            return {
                "event": "failed",
                "path": event.path,
                "error_kind": event.kind,
                "error": event.message,
                "again_s": event.again_s,
            }
        case CaughtUp():
            return {"event": "caught-up", **vars(event)}
        case Scored():
            return {"event": "scored", **vars(event), "seconds": round(event.seconds, 3)}
        case _:
            return {"event": type(event).__name__.lower(), **vars(event)}


# --- for logs ------------------------------------------------------------------------------------------------------


class Lines:
    """One line a photo on stdout, and everything else on stderr."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def __enter__(self) -> Self:
        _put(f"{'Looking at' if self._watched.once else 'Watching'} {self._watched.places}", sys.stderr)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, event: Event) -> None:
        """Print an event, if it is one that people want to read of."""
        if isinstance(event, Scored):
            score = self._watched.scoring.text(event.score)
            _put(f"{score:>5}  {with_companions(display_path(event.path), event.companions)}", sys.stdout)
        elif isinstance(event, Culled):
            for path in event.paths:
                _put(f"Culled: {display_path(path)}", sys.stderr)
            _put(f"To bring back: {self._watched.way_back(event.run)}", sys.stderr)
        elif line := in_words(event, self._watched, display_path):
            _put(line, sys.stderr)

    def end(self, tally: Tally, *, interrupted: bool) -> None:
        """Print the last line."""
        _put(tally.closing_line(interrupted=interrupted), sys.stderr)


def in_words(event: Event, watched: Watched, name_of: Callable[[str], str]) -> str | None:
    """Say what happened; None for what says nothing new to people."""
    match event:
        case Failed() if not _is_gone(event):
            again = "" if event.again_s is None or watched.once else "; it will be tried again"
            return f"Failed, {event.kind}: {name_of(event.path)} ({display_path(event.message)}){again}"
        case Held():
            return f"Stays, {event.rule}: {name_of(event.path)} ({display_path(event.detail)})"
        case Notice():
            return display_path(event.text)
        case CaughtUp():
            return (
                f"Caught up: {counted(event.found, 'photo')}, {event.cached:,} cached, {event.failed:,} failed before, "
                f"{event.waiting:,} to score"
            )
        case _:
            return None


def _is_gone(event: Failed) -> bool:
    """Tell if a photo went away before it was read, which nobody needs to look after."""
    return event.kind is FailureKind.VANISHED


def culled_in_words(event: Culled, watched: Watched) -> str:
    """Say what was culled, and how it comes back."""
    what = watched.name_of(event.paths[0]) if len(event.paths) == 1 else counted(len(event.paths), "photo")
    return f"Culled {what}; to bring back: {watched.way_back(event.run)}"
