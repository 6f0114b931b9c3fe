"""Drives that come and go: real ones, where the system lets a test mount, and rows that say where photos lay."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest


class Drive:
    """A file system in memory, which can be plugged in at any folder and pulled out again, and keeps what it holds."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._plugged: list[Path] = []
        home.mkdir()
        if _mount("-t", "tmpfs", "rali-test", home) != 0:
            pytest.skip("needs the right to mount")

    def plug_in(self, point: Path) -> None:
        point.mkdir(parents=True, exist_ok=True)
        assert _mount("--bind", self._home, point) == 0
        self._plugged.append(point)

    def pull_out(self, point: Path) -> None:
        self._plugged.remove(point)
        assert _run("umount", "--lazy", point) == 0

    def scrap(self) -> None:
        for point in [*self._plugged, self._home]:
            _run("umount", "--lazy", point)


def lay_elsewhere(db: Path, folder: Path) -> None:
    """Have the catalog remember that the photos at and below a folder lay on another device than they lie on."""
    below = str(folder).encode()
    with closing(sqlite3.connect(db)) as connection, connection:
        connection.execute(
            """
            UPDATE photos SET device = device + 1 WHERE folder_id IN (
                SELECT id FROM folders WHERE path = ? OR (path > ? AND path < ?))
            """,
            (below, below + b"/", below + b"0"),
        )


def _mount(*arguments: object) -> int:
    return _run("mount", *arguments)


def _run(*command: object) -> int:
    try:
        return subprocess.run([str(part) for part in command], capture_output=True, check=False).returncode
    except FileNotFoundError:
        return 127
