"""Thumbnails on disk, by what a photo holds: a rename costs nothing, an edit is another thumbnail."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from pathlib import Path

from rali.photos.thumbnail import THUMBNAIL_VERSION, Size

DEFAULT_CAP_BYTES = 1_000_000_000
_SUFFIX = ".webp"
# What a trim leaves of the cap, so that the next few thousand thumbnails need none.
_LEFT_BY_A_TRIM = 0.9
_WRITTEN_BETWEEN_TRIMS_BYTES = 64 * 1024 * 1024


class ThumbnailCache:
    """A folder of thumbnails with a limit to its size; use it as a context manager, in any number of processes.

    It may be deleted at any time. What cannot be read there is made anew; where nothing can be written, nothing is
    kept, and ``trouble`` says why.

    Args:
        folder: of thumbnails alone; made when the first is kept.
        cap_bytes: what is kept in all; what was not used for the longest time goes first.
    """

    def __init__(self, folder: Path, *, cap_bytes: int = DEFAULT_CAP_BYTES) -> None:
        self.folder = folder
        self.trouble: str | None = None
        self._cap_bytes = cap_bytes
        self._written_bytes = 0

    def __enter__(self) -> ThumbnailCache:
        return self

    def __exit__(self, *_: object) -> None:
        if self._written_bytes:
            self.trim()

    def get(self, content_hash: bytes, size: Size) -> bytes | None:
        """Return the thumbnail of a content, whole; None if there is none."""
        path = self._path(content_hash, size)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if not _is_whole(data):  # the power went, or the disk is bad: it is made anew, and takes this one's place
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the time of change is the time of last use
        return data

    def put(self, content_hash: bytes, size: Size, thumbnail: bytes) -> None:
        """Keep the thumbnail of a content: all of it, or nothing."""
        if self.trouble is not None or len(thumbnail) > self._cap_bytes:
            return
        path = self._path(content_hash, size)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # they show what the user's photos show
            handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
            try:
                with open(handle, "wb") as file:
                    file.write(thumbnail)
                os.replace(partial, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(partial)
                raise
        except OSError as error:
            self.trouble = error.strerror or str(error)
            return
        self._written_bytes += len(thumbnail)
        if self._written_bytes > _WRITTEN_BETWEEN_TRIMS_BYTES:
            self.trim()

    def trim(self) -> None:
        """Delete what was not used for the longest time, if all together is over the cap."""
        self._written_bytes = 0
        kept = sorted(_files_in(self.folder))
        total_bytes = sum(size_bytes for _, size_bytes, _ in kept)
        if total_bytes <= self._cap_bytes:
            return
        for _, size_bytes, path in kept:
            if total_bytes <= _LEFT_BY_A_TRIM * self._cap_bytes:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            total_bytes -= size_bytes

    def _path(self, content_hash: bytes, size: Size) -> Path:
        name = content_hash.hex()
        # Two digits make 256 folders: a listing of one stays short at a million thumbnails.
        kind = f"{size.long_edge_px}-{size.most_bytes}-{THUMBNAIL_VERSION}"
        return self.folder / name[:2] / f"{name[2:]}-{kind}{_SUFFIX}"


def _files_in(folder: Path) -> list[tuple[int, int, str]]:
    """List what the cache wrote: time of last use in ns, size in bytes, path. Half-written files are among them."""
    found: list[tuple[int, int, str]] = []
    with contextlib.suppress(OSError), os.scandir(folder) as parts:
        for part in parts:
            if len(part.name) != 2 or not part.is_dir(follow_symlinks=False):
                continue
            with contextlib.suppress(OSError), os.scandir(part.path) as files:
                for file in files:
                    if file.name.endswith((_SUFFIX, ".partial")):
                        with contextlib.suppress(OSError):
                            state = file.stat(follow_symlinks=False)
                            found.append((state.st_mtime_ns, state.st_size, file.path))
    return found


def _is_whole(data: bytes) -> bool:
    """Tell if a WebP is as long as it says it is."""
    return data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) == 8 + int(struct.unpack_from("<I", data, 4)[0])
