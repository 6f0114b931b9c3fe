"""Small pictures of photos: from the thumbnail in their EXIF where that is large enough, else from a reduced decode."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image

from rali.photos.color import to_srgb
from rali.photos.decode import decode
from rali.photos.exif import TURNS, tagged_orientation

# A change of anything that changes a thumbnail needs a new number: those that are kept were made by an older one.
THUMBNAIL_VERSION = 1
_JPEG_MAGIC = b"\xff\xd8\xff"
_EXIF_MAGIC = b"Exif\0\0"
# Shapes that differ by no more than a pixel or two of 160 are the same shape.
_SAME_SHAPE = 0.02
# The bars that cameras draw where a thumbnail must be 4:3 and the photo is not: levels of 255, JPEG's noise included.
_BAR_LEVEL = 24
# An EXIF segment is 64 kB: what claims to be larger than this in it is no thumbnail but a trap.
_LARGEST_EMBEDDED_PX = 4_000_000
_QUALITIES = (75, 60, 45, 30, 15)
# What Pillow raises on a thumbnail or EXIF that is damaged; the photo itself may still be whole.
_DAMAGE = (
    *(SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, OSError, OverflowError, struct.error),
    *(EOFError, Image.DecompressionBombError),
)


@dataclass(frozen=True)
class Size:
    """How large a thumbnail may be.

    Attributes:
        long_edge_px: it measures at most so much, and no more than the photo.
        most_bytes: its file is no larger; noise costs quality first, then pixels. At least 400.
    """

    long_edge_px: int
    most_bytes: int


def make_thumbnail(file: str, size: Size, *, limit_px: int) -> bytes:
    """Make a small picture of a photo: WebP, RGB, sRGB, upright, without any metadata.

    Args:
        file: path; of any format that :func:`rali.photos.decode.decode` reads.
        limit_px: refuse to decode a photo with more pixels than this.

    Raises:
        PhotoError: there is no thumbnail that will do in it, and it cannot be decoded.
    """
    image = _embedded(file, size.long_edge_px)
    if image is None:
        wish_px = size.long_edge_px
        image = decode(file, reduce_to_px=wish_px, preview_px=wish_px, limit_px=limit_px).image
    image.thumbnail((size.long_edge_px, size.long_edge_px), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return _encoded(image, size.most_bytes)


def _encoded(image: Image.Image, most_bytes: int) -> bytes:
    """Encode as WebP in the best quality that fits; make the picture smaller until one does."""
    while True:
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "WEBP", quality=quality, method=4, exif=b"", icc_profile=b"")
            if buffer.tell() <= most_bytes or image.size == (1, 1):
                return buffer.getvalue()
        image = image.resize((max(1, image.width * 3 // 4), max(1, image.height * 3 // 4)), Image.Resampling.BOX)


def _embedded(file: str, long_edge_px: int) -> Image.Image | None:
    """Return the thumbnail in a JPEG's EXIF, upright and in sRGB; None if there is none that will do."""
    try:
        with open(file, "rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if stream.read(len(_JPEG_MAGIC)) != _JPEG_MAGIC:
                return None
            stream.seek(0)
            with Image.open(stream, formats=("JPEG", "MPO")) as photo:
                found = _thumbnail_of(photo)
                if found is None:
                    return None
                thumbnail = _without_bars(found, photo.width / photo.height)
                if thumbnail is None or max(thumbnail.size) < min(long_edge_px, max(photo.size)):
                    return None
                turn = TURNS.get(tagged_orientation(photo) or 1)
                profile = photo.info.get("icc_profile")
            if profile:  # a thumbnail has the colours of its photo, and no profile of its own
                thumbnail.info.setdefault("icc_profile", profile)
            return to_srgb(thumbnail if turn is None else thumbnail.transpose(turn))
    except (*_DAMAGE, MemoryError):
        return None


def _thumbnail_of(photo: Image.Image) -> Image.Image | None:
    exif = photo.info.get("exif", b"")
    about = photo.getexif().get_ifd(ExifTags.IFD.IFD1)
    start, length = about.get(ExifTags.Base.JpegIFOffset), about.get(ExifTags.Base.JpegIFByteCount)
    if not exif.startswith(_EXIF_MAGIC) or type(start) is not int or type(length) is not int:
        return None
    data = exif[len(_EXIF_MAGIC) + start : len(_EXIF_MAGIC) + start + length]
    if start <= 0 or length <= 0 or len(data) < length:  # cut off: it would be half grey
        return None
    thumbnail = Image.open(io.BytesIO(data), formats=("JPEG",))
    if thumbnail.width * thumbnail.height > _LARGEST_EMBEDDED_PX:
        return None
    thumbnail.load()
    return thumbnail


def _without_bars(thumbnail: Image.Image, shape: float) -> Image.Image | None:
    """Cut a thumbnail to its photo's shape, width by height; None if it is of another picture than the photo.

    Programs that crop a photo leave its old thumbnail in it: there, what would be cut off is no black bar.
    """
    width, height = thumbnail.size
    own = width / height
    if abs(own / shape - 1) <= _SAME_SHAPE:
        return thumbnail
    bar_px = round((height - width / shape) / 2) if own < shape else round((width - height * shape) / 2)
    pixels = np.asarray(thumbnail.convert("L"))  # [height, width]
    if own > shape:
        pixels = pixels.T
    if not 0 < bar_px < len(pixels) // 3:
        return None
    if max(pixels[: bar_px - 1].max(initial=0), pixels[len(pixels) - bar_px + 1 :].max(initial=0)) > _BAR_LEVEL:
        return None
    inset_px = bar_px + 1  # the edge of a bar is blurred
    if own < shape:
        return thumbnail.crop((0, inset_px, width, height - inset_px))
    return thumbnail.crop((inset_px, 0, width - inset_px, height))
