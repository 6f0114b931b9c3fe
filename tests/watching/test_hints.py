"""Hints: what marks a folder, what does not, and when there are no events to be had."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import DirDeletedEvent, DirModifiedEvent, DirMovedEvent, FileModifiedEvent, FileMovedEvent
from watchdog.observers.polling import PollingObserver

from rali.watching import hints as hints_module
from rali.watching.hints import Hints, WatchdogSource


@pytest.fixture
def hints() -> Hints:
    return Hints()


@pytest.fixture
def source(hints: Hints, tmp_path: Path) -> Iterator[WatchdogSource]:
    (tmp_path / "probe").mkdir()
    found = WatchdogSource(hints, str(tmp_path / "probe"))
    yield found
    found.close()


def test_the_bell_rings_once_for_many_marks(hints: Hints) -> None:
    for _ in range(100):
        hints.mark("/photos")

    assert hints.wait(0)
    assert not hints.wait(0)
    assert hints.take() == ({"/photos": False}, False)
    assert hints.take() == ({}, False)


def test_a_deep_mark_stays_deep(hints: Hints) -> None:
    hints.mark("/photos", deep=True)
    hints.mark("/photos")

    assert hints.take() == ({"/photos": True}, False)


def test_memory_is_bounded_and_the_rest_is_said(hints: Hints) -> None:
    for number in range(hints_module.MOST_FOLDERS + 5):
        hints.mark(f"/photos/{number}")

    marked, overflowed = hints.take()

    assert (len(marked), overflowed) == (hints_module.MOST_FOLDERS, True)
    assert hints.take() == ({}, False)


@pytest.mark.parametrize(
    ("event", "marked"),
    [
        (FileModifiedEvent("/photos/a/b.jpg"), {"/photos/a": False}),
        (FileModifiedEvent(b"/photos/a/b.CR3"), {"/photos/a": False}),
        (FileModifiedEvent("/photos/a/b.xmp"), {"/photos/a": False}),
        (FileModifiedEvent("/photos/a/b.txt"), {}),
        (FileModifiedEvent("/photos/a/.b.jpg"), {}),
        (FileMovedEvent("/photos/a/b.part", "/photos/c/b.jpg"), {"/photos/c": False}),
        (FileMovedEvent("/photos/a/b.jpg", "/photos/.rali-quarantine/x/b.jpg"), {"/photos/a": False}),
        (FileModifiedEvent("/photos/@eaDir/b.jpg"), {}),
        (DirMovedEvent("/photos/a", "/photos/b"), {"/photos/a": True, "/photos/b": True}),
        (DirDeletedEvent("/photos/a"), {"/photos/a": True}),
        (DirModifiedEvent("/photos/a"), {}),
        (DirDeletedEvent("/photos"), {"/photos": True}),
    ],
)
def test_events_mark_folders(source: WatchdogSource, hints: Hints, event: object, marked: dict[str, bool]) -> None:
    source.note("/photos", event)  # type: ignore[arg-type]

    assert hints.take()[0] == marked


def test_our_own_reading_marks_nothing(source: WatchdogSource, hints: Hints, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    (root / "a.jpg").write_bytes(b"data")
    assert source.watch(str(root)) is None
    (root / "b.jpg").write_bytes(b"data")
    assert hints.wait(5)
    time.sleep(0.2)
    hints.take()
    hints.wait(0)

    (root / "a.jpg").read_bytes()
    os.listdir(root)

    assert not hints.wait(0.3)


def test_a_network_share_is_not_watched(hints: Hints, tmp_path: Path) -> None:
    source = WatchdogSource(hints, str(tmp_path), table=lambda: f"nas:/x {tmp_path} nfs4 rw 0 0\n")

    assert "network share (nfs4)" in (source.watch(str(tmp_path)) or "")
    source.close()


class LimitedObserver(PollingObserver):
    """Says of the n-th watch what inotify says of one too many."""

    def __init__(self, watches: int, error: int) -> None:
        super().__init__(timeout=60)
        self._left, self._error = watches, error

    def schedule(self, *arguments: Any, **options: Any) -> Any:
        if not self._left:
            raise OSError(self._error, "inotify")
        self._left -= 1
        return super().schedule(*arguments, **options)


@pytest.mark.parametrize("watches", [0, 1])  # the root's own, and the probe that tells what watchdog does not
@pytest.mark.parametrize(
    ("error", "said"),
    [(errno.ENOSPC, "max_user_watches"), (errno.EMFILE, "max_user_instances"), (errno.EIO, "inotify")],
)
def test_a_limit_that_is_reached_is_said(hints: Hints, tmp_path: Path, watches: int, error: int, said: str) -> None:
    (tmp_path / "photos").mkdir()
    source = WatchdogSource(hints, str(tmp_path), observer=LimitedObserver(watches, error))

    reason = source.watch(str(tmp_path / "photos"))
    source.close()

    assert said in (reason or "")


def test_a_limit_that_is_met_later_is_said_later(hints: Hints, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    source = WatchdogSource(hints, str(tmp_path), observer=LimitedObserver(3, errno.ENOSPC))

    assert source.watch(str(tmp_path / "photos")) is None
    assert source.exhausted() is None
    assert "max_user_watches" in (source.exhausted() or "")
    source.close()


def test_a_share_below_a_root_is_said_and_the_rest_is_heard(hints: Hints, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    root = str(tmp_path / "photos")
    source = WatchdogSource(hints, str(tmp_path), table=lambda: f"nas:/x {root}/on\\040nas nfs4 rw 0 0\n")

    assert f"{root}/on nas in it is a network share (nfs4)" in (source.watch(root) or "")
    (tmp_path / "photos" / "a.jpg").write_bytes(b"data")
    assert hints.wait(5)
    source.close()


def test_a_share_in_a_folder_that_is_passed_over_is_none(hints: Hints, tmp_path: Path) -> None:
    source = WatchdogSource(hints, str(tmp_path), table=lambda: f"x {tmp_path}/.cache/doc fuse.portal rw 0 0\n")

    assert source.watch(str(tmp_path)) is None
    source.close()


def test_a_mount_below_a_root_makes_its_watch_stale(hints: Hints, tmp_path: Path) -> None:
    table = ["/dev/sda1 / ext4 rw 0 0\n"]
    source = WatchdogSource(hints, str(tmp_path), table=lambda: "".join(table))
    (tmp_path / "photos").mkdir()
    source.watch(str(tmp_path / "photos"))
    assert not source.is_stale(str(tmp_path / "photos"))

    table.append(f"/dev/sdb1 {tmp_path}/photos/card ext4 rw 0 0\n")

    assert source.is_stale(str(tmp_path / "photos"))
    source.close()


def test_the_end_of_one_roots_events_is_no_reason_to_poll_another(hints: Hints, tmp_path: Path) -> None:
    for name in ("probe", "a", "b"):
        (tmp_path / name).mkdir()
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    source = WatchdogSource(hints, str(tmp_path / "probe"))
    assert (source.watch(a), source.watch(b)) == (None, None)
    (tmp_path / "b").rmdir()
    end_s = time.monotonic() + 5
    while not source.is_stale(b) and time.monotonic() < end_s:
        time.sleep(0.01)

    assert (source.is_stale(a), source.is_stale(b), source.exhausted()) == (False, True, None)
    source.unwatch(a)
    assert source.watch(a) is None
    source.close()
