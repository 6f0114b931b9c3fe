"""What a watcher tells: one value an event, in the order in which things happened."""

from __future__ import annotations

from dataclasses import dataclass

from rali.errors import FailureKind


@dataclass(frozen=True)
class Scored:
    """A photo has a score.

    Attributes:
        path: absolute.
        score: on the model's scale.
        companions: names in the same folder that belong to its shot.
        seconds: since the watcher first saw it, as it is now.
        known: the content had this score before (a copy, a touched file), so the model was not asked.
    """

    path: str
    score: float
    companions: tuple[str, ...]
    seconds: float
    known: bool = False


@dataclass(frozen=True)
class Failed:
    """A photo has no score.

    Attributes:
        again_s: it is looked at again in so many seconds, if it does not change before; None: when it changes.
    """

    path: str
    kind: FailureKind
    message: str
    again_s: float | None


@dataclass(frozen=True)
class Renamed:
    """A file that was known under another name has its score under this one."""

    path: str


@dataclass(frozen=True)
class Gone:
    """A photo was deleted or moved away, and is no longer in rankings."""

    path: str


@dataclass(frozen=True)
class Culled:
    """Photos went into the quarantine.

    Attributes:
        run: name of the run, for ``rali undo``.
        paths: where the photos were.
    """

    run: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """A photo was to be culled and stays, by this rule of :mod:`rali.culling.protect` or for this reason."""

    path: str
    rule: str
    detail: str


@dataclass(frozen=True)
class Notice:
    """Something that people should know, in a line or two."""

    text: str


@dataclass(frozen=True)
class CaughtUp:
    """The first look at everything is done.

    Attributes:
        found: photos on disk.
        cached: of those, with a score already.
        failed: of those, failed before and not changed since.
        waiting: of those, to be read.
    """

    found: int
    cached: int
    failed: int
    waiting: int


@dataclass(frozen=True)
class Backlog:
    """How much there is to do; all zeros: nothing.

    Attributes:
        ready: photos that wait for the model.
        settling: photos that are being waited for, because they may not be whole yet, or are being scored.
        failing: photos that failed and will be looked at again.
    """

    ready: int
    settling: int
    failing: int


Event = Scored | Failed | Renamed | Gone | Culled | Held | Notice | CaughtUp | Backlog
