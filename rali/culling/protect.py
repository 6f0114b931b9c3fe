"""What protects a photo that was chosen: the user's own work on it, and any doubt that it is still what was scored."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rali.errors import UsageError
from rali.photos.photo import PHOTO_SUFFIXES, display_path
from rali.photos.shots import shots_in
from rali.photos.user_work import WORK_RULES, file_work

# What people may turn off by name; the most personal first, which is also how rules are told of where several hold.
CAN_BE_OFF = ("keep", *WORK_RULES, "failed", "group")
# What nobody may, with the reason.
ALWAYS_ON = {
    "not-finite": "a score that is no number says nothing about the photo",
    "changed": "its score is of another picture; score it again instead",
    "gone": "there is nothing to move",
    "shot": "a shot moves whole or not at all",
    "hard-link": "one photo under two names is no duplicate of itself",
    "unknown": "what has no score cannot be chosen by one",
}
RULES = (*CAN_BE_OFF, *ALWAYS_ON)


def rules_off(names: Collection[str]) -> frozenset[str]:
    """Check the names of rules that are to be turned off.

    Raises:
        UsageError: there is no such rule, or it cannot be turned off.
    """
    for name in names:
        if name in ALWAYS_ON:
            raise UsageError(f"--no-protect {name}: this rule always holds, because {ALWAYS_ON[name]}")
        if name not in CAN_BE_OFF:
            raise UsageError(f"--no-protect {name!r}: no such rule; give one of {', '.join(CAN_BE_OFF)}")
    return frozenset(names)


def strongest(found: Mapping[str, str], off: Container[str]) -> tuple[str, str] | None:
    """Return the first of the rules that hold a photo, with its detail; None if it is free to go."""
    return next(((rule, found[rule]) for rule in RULES if rule in found and rule not in off), None)


@dataclass
class FolderOnDisk:
    """The shots that lie in a folder now; what came since the photos were scored (stars in a sidecar) is seen.

    Attributes:
        path: absolute.
        shots: leader -> companions, see :func:`rali.photos.shots.group_shots`.
        leader_of: companion -> leader.
        error: why the folder could not be listed; then it holds no shots.
    """

    path: str
    also: Collection[str] = ()
    shots: dict[str, tuple[str, ...]] = field(default_factory=dict)
    leader_of: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    def __post_init__(self) -> None:
        self._by_stem: dict[str, list[str]] | None = None
        self._prefix = os.path.join(self.path, "")
        try:
            self.shots = shots_in(self.path, also=self.also)
        except OSError as error:
            self.error = error.strerror or str(error)
        self.leader_of = {name: leader for leader, names in self.shots.items() if names for name in names}

    def file(self, name: str) -> str:
        """Return the absolute path of a file in the folder."""
        return self._prefix + name

    def state(self, name: str) -> os.stat_result | None:
        """Return what is known of a file without opening it; None if it is not a regular file, or not there."""
        try:
            info = os.lstat(self.file(name))
        except OSError:
            return None
        return info if stat.S_ISREG(info.st_mode) else None

    def why_gone(self, name: str) -> str:
        """Say what became of a file that is not among the shots."""
        if self.error is not None:
            return f"its folder cannot be listed: {self.error}"
        try:
            mode = os.lstat(self.file(name)).st_mode
        except OSError as error:
            return error.strerror or str(error)
        if stat.S_ISREG(mode):
            return "it was away for a moment; look again"
        return "it is a symbolic link now" if stat.S_ISLNK(mode) else "it is no regular file now"

    def count(self, listed: Collection[str]) -> int:
        """Count the shots here that have a photo among ``listed``, each once, even if its RAW is listed beside it."""
        alone = sum(leader in listed for leader in self.shots)
        return alone + len({of for name, of in self.leader_of.items() if name in listed and of not in listed})

    def is_photo(self, name: str) -> bool:
        """Tell a photo file of a shot from its sidecars."""
        return name in self.also or os.path.splitext(name)[1].lower() in PHOTO_SUFFIXES

    def work(self, names: Iterable[str], cached: Mapping[str, str | None]) -> dict[str, str]:
        """Return what the user did to any file of a shot, rule -> detail.

        Args:
            names: of the shot's files, leader first.
            cached: name -> the catalog's JSON for the file as it is now, so that it need not be opened.
        """
        found: dict[str, str] = {}
        names = list(names)
        for place, name in enumerate([*names, *self._sidecars_beside(names)]):
            text = cached.get(name)
            if text == "{}":
                continue
            for rule, detail in (self._work_in(name) if text is None else _work_of(text)).items():
                shown = display_path(name)
                found.setdefault(rule, f"{detail} in {shown}" if place and shown not in detail else detail)
        return found

    def _sidecars_beside(self, names: Sequence[str]) -> list[str]:
        """Return sidecars that bear a shot's name and belong to another: whose stars they are, nobody can tell."""
        if self._by_stem is None:
            self._by_stem = {}
            for leader in self.shots:
                self._by_stem.setdefault(os.path.splitext(leader)[0], []).append(leader)
        others = self._by_stem.get(os.path.splitext(names[0])[0], [])
        return (
            [name for leader in others if leader != names[0] for name in self.shots[leader] if name not in names]
            if len(others) > 1
            else []
        )

    def _work_in(self, name: str) -> Mapping[str, str]:
        try:
            return file_work(self.file(name))
        except OSError as error:
            return {"unreadable": error.strerror or str(error)}


def _work_of(text: str) -> Mapping[str, str]:
    try:
        return {str(rule): str(detail) for rule, detail in json.loads(text).items()}
    except (ValueError, AttributeError):
        return {"unreadable": "the catalog's note of it is damaged"}
