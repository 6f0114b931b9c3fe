"""RAW files: the embedded preview where it is large enough, else a demosaic at half size."""

from __future__ import annotations

import io
from dataclasses import dataclass

import rawpy
from PIL import Image, UnidentifiedImageError

from rali.errors import FailureKind, PhotoError

# LibRaw's flips in terms of Pillow's: what turns the sensor's picture upright.
_FLIPS = {3: Image.Transpose.ROTATE_180, 5: Image.Transpose.ROTATE_90, 6: Image.Transpose.ROTATE_270}
_FLIP_TO_ORIENTATION = {0: 1, 3: 3, 5: 8, 6: 6}
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Developed:
    """A RAW file's picture.

    Attributes:
        image: as the preview or the demosaic gives it.
        preview: the preview's bytes, for the content hash; empty after a demosaic.
        transpose: what still has to be done to turn ``image`` upright, if its own EXIF does not say so.
        orientation: of the sensor's picture, in EXIF's numbers.
        width, height: of the sensor's picture.
    """

    image: Image.Image
    preview: bytes
    transpose: Image.Transpose | None
    orientation: int
    width: int
    height: int


def develop(file: str, *, short_edge_px: int, limit_px: int) -> Developed:
    """Get a picture from a RAW file, reading no more of it than needed.

    Args:
        file: path of the RAW file.
        short_edge_px: the least that a preview must measure to be used instead of the sensor's data.
        limit_px: refuse a sensor with more pixels than this.

    Raises:
        PhotoError: LibRaw cannot read it, or what it holds is damaged.
    """
    try:
        with rawpy.imread(file) as raw:
            sizes = raw.sizes
            if sizes.width * sizes.height > limit_px:
                raise PhotoError(
                    FailureKind.TOO_LARGE, f"{sizes.width} x {sizes.height} is over the limit of {limit_px:,} pixels"
                )
            image, preview = _preview(raw)
            transpose = None
            if image is None or min(image.size) < min(short_edge_px, sizes.width, sizes.height):
                image, preview = Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True)), b""
            elif image.getexif().get(_ORIENTATION_TAG, 0) not in range(1, 9):
                transpose = _needed_flip(image, sizes)
            return Developed(
                image, preview, transpose, _FLIP_TO_ORIENTATION.get(sizes.flip, 1), sizes.width, sizes.height
            )
    except rawpy.LibRawFileUnsupportedError as error:
        raise PhotoError(FailureKind.UNSUPPORTED, "a RAW file of a kind that LibRaw does not know") from error
    except rawpy.LibRawIOError as error:
        raise PhotoError(FailureKind.TRUNCATED, "the RAW file ends before its picture does") from error
    except rawpy.LibRawError as error:
        raise PhotoError(FailureKind.CORRUPT, f"LibRaw: {_reason(error)}") from error


def _preview(raw: rawpy.RawPy) -> tuple[Image.Image | None, bytes]:
    try:
        thumb = raw.extract_thumb()
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None, b""
    if not isinstance(thumb.data, bytes):
        return Image.fromarray(thumb.data), thumb.data.tobytes()
    if b"\xff\xd9" not in thumb.data[-256:]:  # cut off; the sensor's data may be whole
        return None, b""
    try:
        return Image.open(io.BytesIO(thumb.data), formats=("JPEG",)), thumb.data
    except (UnidentifiedImageError, OSError):
        return None, b""


def _needed_flip(preview: Image.Image, sizes: rawpy.ImageSizes) -> Image.Transpose | None:
    """Turn a preview that lies as the sensor does; some cameras store it upright already."""
    width, height = preview.size
    lies_sideways = (width >= height) == (sizes.raw_width >= sizes.raw_height)
    return _FLIPS.get(sizes.flip) if sizes.flip == 3 or lies_sideways else None


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return detail.decode("latin-1") if isinstance(detail, bytes) else str(detail)
