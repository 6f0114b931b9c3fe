"""How to watch: every number and name that a watcher is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rali.errors import UsageError


@dataclass(frozen=True)
class WatchOptions:
    """How to watch.

    Attributes:
        include, exclude: globs, as in :class:`rali.photos.scan.Scan`.
        settle_s: a file is read once two looks this far apart see the same.
        latency_s: photos that are ready wait for others at most so long.
        rescan_s: everything is looked at again this often.
        poll: use no file events, only rescans.
        once: end when everything that is there has been scored.
        below: cull what scores below it, see :class:`rali.watching.culling.Culling`; None culls nothing.
        grace_s: how long a photo to be culled stays after its score.
        no_protect: rules of a cull not to apply.
        to: the quarantine, if not one beside the root.
        command: run for each photo that got a score, see :class:`rali.watching.command.CommandRunner`.

    Raises:
        UsageError: a number makes no sense.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    settle_s: float = 2.0
    latency_s: float = 1.0
    rescan_s: float = 600.0
    poll: bool = False
    once: bool = False
    below: float | None = None
    grace_s: float = 60.0
    no_protect: Sequence[str] = ()
    to: Path | None = None
    command: Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name, value in (("settle", self.settle_s), ("rescan", self.rescan_s)):
            if not 0 < value < float("inf"):
                raise UsageError(f"--{name} {value:g}: give seconds above 0")
        for name, value in (("latency", self.latency_s), ("grace", self.grace_s)):
            if not 0 <= value < float("inf"):
                raise UsageError(f"--{name} {value:g}: give seconds, 0 or more")
