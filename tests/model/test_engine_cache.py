"""What an engine converted is kept whole, bounded, and found again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rali.errors import DeviceError
from rali.model.engines.cache import MOST_ENTRIES, UNUSED_DAYS, cached, cached_or_made, entries_folder


def write(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"content")


def never(folder: Path) -> None:
    raise AssertionError("it is there")


def age(key: str, days: float) -> None:
    then_s = time.time() - days * 86_400
    note = entries_folder() / key / "entry.json"
    os.utime(note if note.exists() else entries_folder() / key, (then_s, then_s))


def test_an_entry_is_made_once() -> None:
    folder = cached_or_made("key", write)

    assert (folder / "a.bin").read_bytes() == b"content"
    assert cached_or_made("key", never) == folder


def test_what_fails_in_the_middle_leaves_nothing() -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise ValueError("broken model")

    with pytest.raises(ValueError, match="broken model"):
        cached_or_made("key", fail)
    assert list(entries_folder().iterdir()) == []


def test_a_full_disk_is_one_line() -> None:
    def fail(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DeviceError, match=r"No space left on device.*RALI_CACHE"):
        cached_or_made("key", fail)


def test_of_two_that_make_it_at_once_the_first_wins() -> None:
    def slow(folder: Path) -> None:
        write(folder)
        other = folder.with_name("other.partial")
        other.mkdir()
        write(other)
        (other / "entry.json").write_text((Path(cached_or_made("third", write)) / "entry.json").read_text())
        other.rename(folder.with_name("key"))

    cached_or_made("key", slow)

    assert cached("key") is not None
    assert sorted(entry.name for entry in entries_folder().iterdir()) == ["key", "third"]


def test_the_least_recently_used_go_first() -> None:
    for number in range(MOST_ENTRIES):
        cached_or_made(f"key{number}", write)
        age(f"key{number}", 10 - number)
    cached_or_made("key0", never)  # used again

    cached_or_made("new", write)

    left = {entry.name for entry in entries_folder().iterdir()}
    assert left == {"new", "key0", *(f"key{number}" for number in range(2, MOST_ENTRIES))}


def test_what_was_not_used_for_long_and_what_killed_processes_left_is_dropped() -> None:
    cached_or_made("old", write)
    age("old", UNUSED_DAYS + 1)
    for name, days in (("killed.1.partial", 2.0), ("busy.2.partial", 0.0), ("swapped.3.damaged", 2.0)):
        (entries_folder() / name).mkdir()
        age(name, days)

    cached_or_made("new", write)

    assert sorted(entry.name for entry in entries_folder().iterdir()) == ["busy.2.partial", "new"]
