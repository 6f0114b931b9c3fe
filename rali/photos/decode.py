"""Bytes to an upright sRGB picture, or the reason why not."""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from rali.errors import FailureKind, PhotoError
from rali.photos.color import as_stored, to_srgb
from rali.photos.exif import TURNS, Exposure, Shot, read_shot, read_tiff_shot, tagged_orientation
from rali.photos.fingerprint import content_hash
from rali.photos.sniff import Data, Format, is_whole, may_be_raw, sniff
from rali.photos.user_work import UserWork, embedded_work

# A change of anything that changes a decoded pixel needs a new number: it is part of every score's recipe.
DECODE_VERSION = 3
# Above this a file is mapped rather than read; below it reading is faster, and cannot fault if the file shrinks.
_MAP_ABOVE_BYTES = 256 * 1024 * 1024
_RAW_EDGE_BYTES = 64 * 1024
_CHANGED = "the file changed while it was read; score it again"
_NO_MEMORY = "decoding it needs more memory than a worker may take"
# Only these decoders may look at a file. Pillow has others (EPS runs Ghostscript) that no photo needs.
_PILLOW_FORMATS = {
    Format.JPEG: ("JPEG", "MPO"),
    Format.PNG: ("PNG",),
    Format.GIF: ("GIF",),
    Format.WEBP: ("WEBP",),
    Format.BMP: ("BMP",),
    Format.TIFF: ("TIFF",),
    Format.HEIF: ("HEIF",),
    Format.AVIF: ("AVIF",),
}


@dataclass(frozen=True)
class FileState:
    """What ``fstat`` said of the very file that was read."""

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Decoded:
    """A picture and what is known of it.

    Attributes:
        image: mode RGB, sRGB, upright; smaller than the photo if a reduced decode was asked for.
        width, height: of the photo itself, upright, in pixels.
        state: of the file while it was read.
        content_hash: 16 bytes.
        notes: what was odd but no failure, for people.
        user_work: what the user decided about it in other programs, see :mod:`rali.photos.user_work`.
    """

    image: Image.Image
    width: int
    height: int
    format: Format
    state: FileState
    content_hash: bytes
    shot: Shot
    notes: tuple[str, ...] = ()
    user_work: UserWork = field(default_factory=dict)


@dataclass(frozen=True)
class _Wish:
    """How :func:`decode` was asked to decode; see there."""

    reduce_to_px: int | None
    preview_px: int
    limit_px: int
    to_rgb: Callable[[Image.Image], Image.Image]


def decode(
    file: str, *, reduce_to_px: int | None = None, preview_px: int = 0, limit_px: int, srgb: bool = True
) -> Decoded:
    """Decode one photo.

    Args:
        file: path.
        reduce_to_px: if given, a JPEG, and a RAW's embedded one, may be decoded at 1/2, 1/4 or 1/8 of its size as long
            as its short edge keeps at least this many pixels. None decodes in full.
        preview_px: the least that a RAW's embedded preview must measure to be used.
        limit_px: refuse a photo with more pixels than this before decoding it.
        srgb: honour colour profiles and lay transparency over white; otherwise channel values stay as stored.

    Raises:
        PhotoError: the file is empty, of no known format, truncated, damaged, too large, or changed meanwhile.
    """
    try:
        with open(file, "rb") as stream:
            before = _state(stream)
            if before.size_bytes == 0:
                raise PhotoError(FailureKind.EMPTY, "the file is empty")
            with _contents(stream, before.size_bytes) as data:
                wish = _Wish(reduce_to_px, preview_px, limit_px, to_srgb if srgb else as_stored)
                decoded = _decode(file, stream, data, before, wish)
            if _state(stream) != before:
                raise PhotoError(FailureKind.CHANGED, _CHANGED)
            return decoded
    except FileNotFoundError as error:
        raise PhotoError(FailureKind.VANISHED, "the file is gone") from error
    except OSError as error:
        raise PhotoError(FailureKind.UNREADABLE, error.strerror or str(error)) from error
    except MemoryError as error:
        raise PhotoError(FailureKind.TOO_LARGE, _NO_MEMORY) from error


def read_header(file: str, format: Format) -> tuple[FileState, Shot]:
    """Read what a photo's header says of how it was taken, without its pixels; of a RAW, only one that is a TIFF.

    Args:
        format: as it was sniffed when the photo was decoded.

    Returns:
        The state of the very file that was read, and what it says; what is missing or damaged is left at its default.

    Raises:
        OSError: the file is gone, or cannot be read.
    """
    with open(file, "rb") as stream:
        state = _state(stream)
        if format is Format.RAW:
            return state, read_tiff_shot(stream)
        if format is Format.HEIF:
            _register_heif()
        try:
            with _pillow_errors():
                return state, read_shot(Image.open(stream, formats=_PILLOW_FORMATS[format]))
        except PhotoError:
            return state, Shot()


def _decode(file: str, stream: BinaryIO, data: Data, state: FileState, wish: _Wish) -> Decoded:
    format = sniff(data)
    if format is None:
        raise PhotoError(FailureKind.UNSUPPORTED, "not a photo in a format that rali reads")
    if not is_whole(data, format):
        raise PhotoError(FailureKind.TRUNCATED, "the end of the file is missing")
    if format is Format.RAW:
        return _decode_raw(file, stream, data, state, wish)
    if format is Format.HEIF:
        _register_heif()
    identity = content_hash([memoryview(data)])
    with _pillow_errors():
        image = Image.open(io.BytesIO(data) if isinstance(data, bytes) else stream, formats=_PILLOW_FORMATS[format])
        width, height = image.size
        if width * height > wish.limit_px:
            raise PhotoError(FailureKind.TOO_LARGE, f"{width} x {height} is over the limit of {wish.limit_px:,} pixels")
        if format is Format.PNG:  # Pillow looks for EXIF behind the pixels, and damage to them would pass for bad EXIF
            image.load()
        shot = read_shot(image)
        notes = ("holds several pictures: the first is scored",) if getattr(image, "is_animated", False) else ()
        if format is Format.JPEG and wish.reduce_to_px is not None:
            image.draft(None, (wish.reduce_to_px, wish.reduce_to_px))
        image.load()
        # Some of Pillow's plugins have turned it while loading, and taken the tag away.
        turn = TURNS.get(tagged_orientation(image) or 1)
        upright = wish.to_rgb(image if turn is None else image.transpose(turn))
    if turn is not None and _lies_sideways(shot.orientation):
        width, height = height, width
    return Decoded(upright, width, height, format, state, identity, shot, notes, embedded_work(data))


def _decode_raw(file: str, stream: BinaryIO, data: Data, state: FileState, wish: _Wish) -> Decoded:
    from rali.photos import raw  # LibRaw takes a tenth of a second to load, and most folders hold no RAW

    with _pillow_errors():
        developed = raw.develop(file, stream, short_edge_px=wish.preview_px, limit_px=wish.limit_px)
        image = developed.image
        own_shot = read_shot(image)
        if wish.reduce_to_px is not None:
            image.draft(None, (wish.reduce_to_px, wish.reduce_to_px))  # of a demosaic, nothing
        image.load()
        upright = wish.to_rgb(image if developed.turn is None else image.transpose(developed.turn))
    stream.seek(0)
    container = read_tiff_shot(stream)
    captured_at = container.captured_at or own_shot.captured_at
    # LibRaw writes EXIF into a preview that has none, with the epoch for a time that it does not know.
    if captured_at is not None and captured_at < "1970-01-02":
        captured_at = None
    exposure = container.exposure if container.exposure != Exposure() else own_shot.exposure
    shot = Shot(developed.orientation, captured_at, own_shot.camera or container.camera, exposure)
    width, height = developed.width, developed.height
    if _lies_sideways(developed.orientation):
        width, height = height, width
    # 30 MB are not read for a key: size, both ends (which hold the metadata) and the preview tell RAWs apart.
    parts = [str(state.size_bytes).encode(), data[:_RAW_EDGE_BYTES], data[-_RAW_EDGE_BYTES:], developed.preview]
    user_work = embedded_work(data)
    if user_work:  # a rating can be written into a RAW without a change to any of these
        parts.append(json.dumps(user_work, sort_keys=True).encode())
    return Decoded(upright, width, height, Format.RAW, state, content_hash(parts), shot, user_work=user_work)


def _lies_sideways(orientation: int) -> bool:
    """Tell if width and height change places when a picture of this orientation is turned upright."""
    return orientation >= 5


@lru_cache(maxsize=1)
def _register_heif() -> None:
    import pillow_heif  # a tenth of a second to load, and most folders hold no HEIC

    pillow_heif.register_heif_opener()


@contextmanager
def _contents(stream: BinaryIO, size_bytes: int) -> Iterator[Data]:
    """Give the file's bytes: read, or mapped where most of them will not be needed."""
    head = stream.read(64)
    stream.seek(0)
    if size_bytes > _MAP_ABOVE_BYTES or may_be_raw(head):
        try:
            mapped = mmap(stream.fileno(), size_bytes, access=ACCESS_READ)
        except ValueError as error:  # it became shorter since its size was asked for
            raise PhotoError(FailureKind.CHANGED, _CHANGED) from error
        with mapped:
            yield mapped
    else:
        yield stream.read()


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Turn what Pillow and its plugins raise on damaged files into a PhotoError, and silence their warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise PhotoError(FailureKind.TOO_LARGE, "over Pillow's own pixel limit") from error
    except UnidentifiedImageError as error:
        raise PhotoError(FailureKind.CORRUPT, "its header is damaged") from error
    except MemoryError as error:
        raise PhotoError(FailureKind.TOO_LARGE, _NO_MEMORY) from error
    except OSError as error:
        kind = FailureKind.TRUNCATED if "truncated" in str(error).lower() else FailureKind.CORRUPT
        raise PhotoError(kind, _one_line(error)) from error
    # Decoders meet hostile bytes with whatever comes up: IndexError, struct.error, KeyError, SyntaxError ...
    except Exception as error:
        raise PhotoError(FailureKind.CORRUPT, f"{type(error).__name__}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _state(stream: BinaryIO) -> FileState:
    info = os.fstat(stream.fileno())
    return FileState(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)
