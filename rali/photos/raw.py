"""RAW files: the embedded preview where it is large enough, else a demosaic at half size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

import rawpy
from PIL import Image, UnidentifiedImageError

from rali.errors import FailureKind, PhotoError
from rali.photos.exif import TURNS, tagged_orientation

# LibRaw's flips in EXIF's numbers.
_FLIP_TO_ORIENTATION = {0: 1, 3: 3, 5: 8, 6: 6}


@dataclass(frozen=True)
class Developed:
    """A RAW file's picture.

    Attributes:
        image: as the preview or the demosaic gives it.
        preview: the embedded preview's bytes, whether it was used or not, for the content hash; empty after a demosaic.
        turn: what turns ``image`` upright, if it is not.
        orientation: of the sensor's picture, in EXIF's numbers.
        width, height: of the sensor's picture.
    """

    image: Image.Image
    preview: bytes
    turn: Image.Transpose | None
    orientation: int
    width: int
    height: int


def develop(file: str, stream: BinaryIO, *, short_edge_px: int, limit_px: int) -> Developed:
    """Get a picture from a RAW file, reading no more of it than needed.

    Args:
        file: path of the RAW file.
        stream: the same file, opened.
        short_edge_px: the least that a preview must measure to be used instead of the sensor's data.
        limit_px: refuse a sensor with more pixels than this.

    Raises:
        PhotoError: LibRaw cannot read it, or what it holds is damaged.
    """
    try:
        with rawpy.imread(file if _is_utf8(file) else stream) as raw:
            sizes = raw.sizes
            if sizes.width * sizes.height > limit_px:
                raise PhotoError(
                    FailureKind.TOO_LARGE, f"{sizes.width} x {sizes.height} is over the limit of {limit_px:,} pixels"
                )
            image, preview = _preview(raw, limit_px)
            if image is None or min(image.size) < min(short_edge_px, sizes.width, sizes.height):
                image = Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True))
                turn = None  # LibRaw turned it
            else:
                turn = TURNS.get(_lies(image, sizes))
            return Developed(image, preview, turn, _FLIP_TO_ORIENTATION.get(sizes.flip, 1), sizes.width, sizes.height)
    except rawpy.LibRawFileUnsupportedError as error:
        raise PhotoError(FailureKind.UNSUPPORTED, "a RAW file of a kind that LibRaw does not know") from error
    except rawpy.LibRawIOError as error:
        raise PhotoError(FailureKind.TRUNCATED, "the RAW file ends before its picture does") from error
    except rawpy.LibRawError as error:
        raise PhotoError(FailureKind.CORRUPT, f"LibRaw: {_reason(error)}") from error


def _preview(raw: rawpy.RawPy, limit_px: int) -> tuple[Image.Image | None, bytes]:
    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None, b""
    if not isinstance(thumb.data, bytes):
        return Image.fromarray(thumb.data), thumb.data.tobytes()
    if b"\xff\xd9" not in thumb.data[-256:]:  # cut off; the sensor's data may be whole
        return None, b""
    try:
        image = Image.open(io.BytesIO(thumb.data), formats=("JPEG",))
    except (UnidentifiedImageError, OSError):
        return None, b""
    if image.width * image.height > limit_px:
        return None, b""
    return image, thumb.data


def _lies(preview: Image.Image, sizes: rawpy.ImageSizes) -> int:
    """Tell how a preview lies: as its own EXIF says, which LibRaw writes where there is none, else as the sensor does.

    Some cameras store it upright already; then its shape is not the sensor's, and what EXIF says is of the sensor.
    """
    orientation = tagged_orientation(preview) or _FLIP_TO_ORIENTATION.get(sizes.flip, 1)
    width, height = preview.size
    shaped_as_sensor = (width >= height) == (sizes.raw_width >= sizes.raw_height)
    return orientation if orientation < 5 or shaped_as_sensor else 1


def _is_utf8(file: str) -> bool:
    """Tell if rawpy can open ``file`` by its name, which is far faster than reading all of it into memory."""
    try:
        file.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return detail.decode("latin-1") if isinstance(detail, bytes) else str(detail)
