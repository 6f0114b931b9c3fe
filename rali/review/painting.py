"""One picture for the page, made in a process that may crash: a thumbnail, a preview, or a part at full size."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from rali.errors import FailureKind, PhotoError
from rali.photos.decode import decode
from rali.photos.thumbnail import Size, make_thumbnail
from rali.prepare import Failure, limit_process

# Twice the size of a cell, for screens with twice the pixels.
THUMBNAIL = Size(long_edge_px=320, most_bytes=24_000)
PREVIEW = Size(long_edge_px=1600, most_bytes=500_000)
LARGEST_CROP_PX = 2400
_MOST_BYTES = 2_000_000
_QUALITIES = (92, 80, 60, 40, 20)


class Crop(NamedTuple):
    """A part of a photo, in pixels of the upright photo at full size."""

    x: int
    y: int
    width: int
    height: int


def task_of(file: str, kind: Size | Crop) -> str:
    """Say in one text what is wanted of a file; the path comes last, for it may hold anything."""
    name = "crop" if isinstance(kind, Crop) else "fit"
    numbers = kind if isinstance(kind, Crop) else (kind.long_edge_px, kind.most_bytes)
    return f"{name} {' '.join(map(str, numbers))}:{file}"


@dataclass(frozen=True)
class Painter:
    """Make one picture: a picklable function for the worker pool."""

    limit_px: int
    result_bytes: int = _MOST_BYTES

    def start(self) -> None:
        """Set up a worker process."""
        limit_process(self.limit_px)

    def __call__(self, task: str, buffer: memoryview) -> int | Failure:
        """Write the picture that ``task`` asks for into ``buffer``; return its length in bytes."""
        wish, _, file = task.partition(":")
        name, *words = wish.split()
        numbers = [int(word) for word in words]
        try:
            with opened_where_it_lies(file) as path:
                if name == "crop":
                    picture = make_crop(path, Crop(*numbers), limit_px=self.limit_px)
                else:
                    picture = make_thumbnail(path, Size(*numbers), limit_px=self.limit_px)
        except PhotoError as error:
            return Failure(error.kind, error.message)
        except MemoryError:
            return Failure(FailureKind.TOO_LARGE, "it needs more memory than a worker may take")
        buffer[: len(picture)] = picture
        return len(picture)


def is_elsewhere(file: str) -> bool:
    """Tell if a path leads, by a link in it, to another place than it names; the catalog's paths are all resolved."""
    try:
        return os.path.realpath(file) != file
    except OSError:  # a link that came and went while it was looked at
        return True


@contextmanager
def opened_where_it_lies(file: str) -> Iterator[str]:
    """Open a file and yield a path to what was opened, whatever takes its name meanwhile.

    A link that is swapped in between a look and the opening would show a file from elsewhere. So the file is opened
    first, and the system is asked where what was opened lies. Only Linux tells; elsewhere the path is looked at before
    and after.

    Raises:
        PhotoError: there is a link in its path, it is no plain file, or it is gone.
    """
    moved = PhotoError(FailureKind.CHANGED, "there is a link, or no plain file, in its place")
    try:
        # Without waiting, should a pipe lie there.
        handle = os.open(file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError as error:
        raise PhotoError(FailureKind.VANISHED, "the file is gone") from error
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        raise (moved if is_link else PhotoError(FailureKind.UNREADABLE, str(error.strerror))) from error
    try:
        path = f"/proc/self/fd/{handle}"
        is_told = os.path.islink(path)
        if not stat.S_ISREG(os.fstat(handle).st_mode) or (os.readlink(path) != file if is_told else is_elsewhere(file)):
            raise moved
        yield path if is_told else file
        if not is_told and is_elsewhere(file):
            raise moved
    finally:
        os.close(handle)


def make_crop(file: str, crop: Crop, *, limit_px: int) -> bytes:
    """Cut a part out of a photo, pixel for pixel: JPEG, RGB, sRGB, upright, without any metadata.

    What lies outside the photo is left out. Where a RAW's preview is smaller than the RAW, its pixels are enlarged.

    Raises:
        PhotoError: it cannot be decoded, or the part lies outside.
    """
    decoded = decode(file, preview_px=PREVIEW.long_edge_px, limit_px=limit_px)
    right, bottom = min(crop.x + crop.width, decoded.width), min(crop.y + crop.height, decoded.height)
    if crop.x >= right or crop.y >= bottom:
        raise PhotoError(FailureKind.CHANGED, "it has become smaller since it was scored")
    across, down = decoded.image.width / decoded.width, decoded.image.height / decoded.height
    box = (crop.x * across, crop.y * down, right * across, bottom * down)
    if (across, down) == (1, 1):
        part = decoded.image.crop((crop.x, crop.y, right, bottom))
    else:
        part = decoded.image.resize((right - crop.x, bottom - crop.y), Image.Resampling.BILINEAR, box=box)
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        part.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 80 else 2, exif=b"")
        if buffer.tell() <= _MOST_BYTES:
            break
    return buffer.getvalue()[:_MOST_BYTES]
