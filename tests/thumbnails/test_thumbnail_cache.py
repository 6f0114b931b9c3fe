"""Thumbnails on disk."""

from __future__ import annotations

import os
from pathlib import Path

from rali.photos.thumbnail import Size
from rali.thumbnails.cache import ThumbnailCache

SIZE = Size(160, 3_000)


def webp(length: int = 100, fill: bytes = b"x") -> bytes:
    return b"RIFF" + (length - 8).to_bytes(4, "little") + b"WEBP" + fill * (length - 12)


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_what_was_put_is_there_again(tmp_path: Path) -> None:
    with ThumbnailCache(tmp_path / "c") as cache:
        cache.put(key(1), SIZE, webp())

    again = ThumbnailCache(tmp_path / "c")
    assert again.get(key(1), SIZE) == webp()
    assert again.get(key(2), SIZE) is None
    assert again.get(key(1), Size(320, 3_000)) is None


def test_a_damaged_one_is_none_and_is_replaced(tmp_path: Path) -> None:
    cache = ThumbnailCache(tmp_path / "c")
    cache.put(key(1), SIZE, webp())
    (file,) = (path for path in (tmp_path / "c").rglob("*") if path.is_file())
    for damage in (b"", webp()[:50], b"y" * 100):
        file.write_bytes(damage)
        assert cache.get(key(1), SIZE) is None

    cache.put(key(1), SIZE, webp())
    assert cache.get(key(1), SIZE) == webp()


def test_over_its_cap_it_lets_go_what_was_used_longest_ago(tmp_path: Path) -> None:
    with ThumbnailCache(tmp_path / "c", cap_bytes=1_000) as cache:
        for number in range(9):
            cache.put(key(number), SIZE, webp())
            os.utime(cache._path(key(number), SIZE), (number, number))
        assert cache.get(key(0), SIZE) is not None  # used again: it is the youngest now
        cache.put(key(9), SIZE, webp())
        cache.put(key(10), SIZE, webp())

    kept = [number for number in range(11) if cache.get(key(number), SIZE) is not None]
    assert kept == [0, 3, 4, 5, 6, 7, 8, 9, 10]


def test_nothing_but_its_own_files_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    (folder / "ab").mkdir(parents=True)
    mine = [folder / "note.txt", folder / "ab" / "photo.jpg"]
    for path in mine:
        path.write_bytes(b"x" * 5_000)
    with ThumbnailCache(folder, cap_bytes=150) as cache:
        cache.put(key(1), SIZE, webp())
        cache.put(key(2), SIZE, webp())

    assert all(path.exists() for path in mine)
    assert sum(cache.get(key(number), SIZE) is not None for number in (1, 2)) == 1


def test_where_nothing_can_be_written_it_says_so_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    with ThumbnailCache(tmp_path / "c") as cache:
        cache.put(key(1), SIZE, webp())
        cache.put(key(2), SIZE, webp())

        assert cache.get(key(1), SIZE) is None
    assert cache.trouble


def test_no_half_written_file_is_left(tmp_path: Path) -> None:
    with ThumbnailCache(tmp_path / "c") as cache:
        cache.put(key(1), SIZE, webp())

    assert [path.suffix for path in (tmp_path / "c").rglob("*") if path.is_file()] == [".webp"]
