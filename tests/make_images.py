"""Test pictures made in code: small, seeded, in every format and with every oddity that a test asks for."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from rali.photos.sniff import Format

ORIENTATION, MAKE, MODEL, DATE_TIME = 0x0112, 0x010F, 0x0110, 0x0132
EXIF_IFD, DATE_TIME_ORIGINAL, SUB_SEC_TIME_ORIGINAL = 0x8769, 0x9003, 0x9291

# --- pictures -----------------------------------------------------------------------------------------------------


def picture(width: int = 160, height: int = 120, seed: int = 1) -> Image.Image:
    """Make an RGB picture with smooth parts, edges and noise, no two quarters of it alike."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (4 + 3 * c) + rng.uniform(0, 6)) * np.cos(y / (5 + 2 * c)) for c in range(3)]
    pixels = (
        np.stack(waves, axis=-1) * 50 + 100 + np.stack([x / width, y / height, (x + y) / (width + height)], -1) * 60
    )
    pixels += rng.normal(0, 4, pixels.shape)
    pixels[: height // 3, : width // 4] = (220, 40, 30)  # tells which corner is up
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


def smooth(width: int = 160, height: int = 120) -> Image.Image:
    """Make an RGB picture that JPEG and its kin hardly change: for comparisons."""
    y, x = np.mgrid[0:height, 0:width]
    pixels = np.stack([255 * x / width, 255 * y / height, 128 + 60 * np.sin(x / 40)], axis=-1)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8), "RGB")


def levels(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image, dtype=np.float64)


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """Mean absolute difference in levels of 255; the pictures must measure the same."""
    assert one.size == other.size
    return float(np.abs(levels(one) - levels(other)).mean())


# --- files --------------------------------------------------------------------------------------------------------

WRITABLE = ("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif", "heif")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Encode ``image``; ``kind`` is Pillow's name of the format, in any case."""
    if kind.lower() == "heif":
        import pillow_heif

        pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    image.save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def written(file: Path, data: bytes) -> str:
    """Write ``data`` to ``file`` and return its name as rali takes it."""
    file.write_bytes(data)
    return str(file)


def every_format() -> dict[str, tuple[Format, bytes]]:
    """One small whole file of each container, and of each variant that ends in another way."""
    image = picture(96, 72)
    frames = [picture(48, 36, seed) for seed in (1, 2, 3)]
    thumbnail = encoded(picture(32, 24), "jpeg")
    return {
        "jpeg": (Format.JPEG, encoded(image, "jpeg")),
        "jpeg-progressive": (Format.JPEG, encoded(image, "jpeg", progressive=True)),
        "jpeg-grey": (Format.JPEG, encoded(image.convert("L"), "jpeg")),
        "jpeg-with-thumbnail": (Format.JPEG, with_thumbnail(encoded(image, "jpeg"), thumbnail)),
        "jpeg-restarts": (Format.JPEG, encoded(image, "jpeg", restart_marker_rows=1)),
        "png": (Format.PNG, encoded(image, "png")),
        "png-palette": (Format.PNG, encoded(image.quantize(64), "png")),
        "png-animated": (Format.PNG, encoded(frames[0], "png", save_all=True, append_images=frames[1:])),
        "gif": (Format.GIF, encoded(image, "gif")),
        "gif-animated": (Format.GIF, encoded(frames[0], "gif", save_all=True, append_images=frames[1:])),
        "webp": (Format.WEBP, encoded(image, "webp")),
        "webp-lossless": (Format.WEBP, encoded(image, "webp", lossless=True)),
        "webp-animated": (Format.WEBP, encoded(frames[0], "webp", save_all=True, append_images=frames[1:])),
        "bmp": (Format.BMP, encoded(image, "bmp")),
        "bmp-palette": (Format.BMP, encoded(image.quantize(64), "bmp")),
        "bmp-os2": (Format.BMP, os2_bmp(image)),
        "tiff": (Format.TIFF, encoded(image, "tiff")),
        "tiff-lzw": (Format.TIFF, encoded(image, "tiff", compression="tiff_lzw")),
        "tiff-deflate": (Format.TIFF, encoded(image, "tiff", compression="tiff_adobe_deflate")),
        "tiff-jpeg": (Format.TIFF, encoded(image, "tiff", compression="jpeg")),
        "tiff-big": (Format.TIFF, encoded(image, "tiff", big_tiff=True)),
        # Pillow pads what it appends pages to; the padding is no part of any page.
        "tiff-pages": (Format.TIFF, encoded(frames[0], "tiff", save_all=True, append_images=frames[1:])[:-4]),
        "avif": (Format.AVIF, encoded(image, "avif", speed=10)),
        "heif": (Format.HEIF, encoded(image, "heif")),
        "dng": (Format.RAW, dng()),
        "dng-with-preview": (Format.RAW, dng(preview=encoded(image, "jpeg"))),
        "dng-chained": (Format.RAW, dng(preview=encoded(image, "jpeg"), chained=True)),
    }


def with_thumbnail(jpeg: bytes, thumbnail: bytes) -> bytes:
    """Put an EXIF segment that holds a whole small JPEG in front of a JPEG's own segments."""
    ifd1_at = 8 + 2 + 4
    thumbnail_at = ifd1_at + 2 + 2 * 12 + 4
    tiff = b"II*\0" + struct.pack("<IHI", 8, 0, ifd1_at)
    tiff += struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, thumbnail_at, 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


def os2_bmp(image: Image.Image) -> bytes:
    """Encode the bitmap of OS/2 1.x: a header of 12 bytes, which Pillow cannot write."""
    width, height = image.size
    row_bytes = (width * 3 + 3) // 4 * 4
    rows = levels(image).astype(np.uint8)[::-1, :, ::-1]
    body = b"".join(row.tobytes().ljust(row_bytes, b"\0") for row in rows)
    return (
        b"BM" + struct.pack("<IHHI", 26 + len(body), 0, 0, 26) + struct.pack("<IHHHH", 12, width, height, 1, 24) + body
    )


def exif(
    orientation: object = None,
    captured_at: str | None = None,
    subseconds: str | None = None,
    make: str | None = None,
    model: str | None = None,
) -> Image.Exif:
    """Make the EXIF that a camera writes."""
    made = Image.Exif()
    for tag, value in ((ORIENTATION, orientation), (MAKE, make), (MODEL, model)):
        if value is not None:
            made[tag] = value
    details = made.get_ifd(EXIF_IFD)
    if captured_at is not None:
        details[DATE_TIME_ORIGINAL] = captured_at
    if subseconds is not None:
        details[SUB_SEC_TIME_ORIGINAL] = subseconds
    return made


def lying(upright: Image.Image, orientation: int) -> Image.Image:
    """Turn an upright picture as a sensor in that EXIF orientation records it."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return upright.transpose(undo[orientation]) if orientation in undo else upright


# --- pixel formats that Pillow cannot write -----------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """Make a PNG out of unfiltered rows; ``extra`` are whole chunks in front of the pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    row_bytes = len(rows) // height
    filtered = b"".join(b"\0" + rows[at : at + row_bytes] for at in range(0, len(rows), row_bytes))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(filtered)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def rgb16_png(values: NDArray[np.uint16]) -> bytes:
    """Encode uint16 [height, width, 3] as a PNG of 16 bits a channel."""
    height, width, _ = values.shape
    return png(width, height, 16, 2, values.astype(">u2").tobytes())


def png_header_of(width: int, height: int) -> bytes:
    """Make a PNG that claims a size and holds next to nothing: a bomb, or a very large photo's first bytes."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# --- TIFF by hand, and DNG ----------------------------------------------------------------------------------------

Values = Sequence[int] | bytes
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}
_LETTERS = {3: "H", 4: "I", 5: "I", 10: "i"}


def directory(at: int, tags: Mapping[int, tuple[int, Values]], following: int = 0) -> bytes:
    """Lay out one little-endian IFD at offset ``at``, its longer values behind it."""
    values_at = at + 2 + 12 * len(tags) + 4
    entries, values = struct.pack("<H", len(tags)), b""
    for tag in sorted(tags):
        kind, value = tags[tag]
        data = value if isinstance(value, bytes) else struct.pack(f"<{len(value)}{_LETTERS[kind]}", *value)
        entries += struct.pack("<HHI", tag, kind, len(data) // _SIZES[kind])
        if len(data) <= 4:
            entries += data.ljust(4, b"\0")
        else:
            entries += struct.pack("<I", values_at + len(values))
            values += data + bytes(len(data) % 2)
    return entries + struct.pack("<I", following) + values


def dng(
    width: int = 96,
    height: int = 72,
    *,
    preview: bytes | None = None,
    orientation: int = 1,
    chained: bool = False,
    more: Mapping[int, tuple[int, Values]] | None = None,
) -> bytes:
    """Make a DNG of a 16-bit colour filter array, as small as LibRaw takes.

    With ``preview`` (a JPEG) that is IFD0 and the sensor's data hang below it, or behind it if ``chained``.
    """
    y, x = np.mgrid[0:height, 0:width]
    mosaic = (8000 + 40000 * x / width * (0.5 + 0.5 * y / height)).astype("<u2").tobytes()
    about: dict[int, tuple[int, Values]] = {
        MAKE: (2, b"Rali\0"),
        MODEL: (2, b"Rali Test\0"),
        ORIENTATION: (3, [orientation]),
        50706: (1, bytes([1, 4, 0, 0])),  # DNGVersion
        50708: (2, b"Rali Test\0"),  # UniqueCameraModel
        50721: (10, [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]),  # ColorMatrix1
        50728: (5, [1, 1, 1, 1, 1, 1]),  # AsShotNeutral
        50778: (3, [21]),  # CalibrationIlluminant1
        **(more or {}),
    }
    sensor: dict[int, tuple[int, Values]] = {
        254: (4, [0]),
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [16]),
        259: (3, [1]),
        262: (3, [32803]),
        277: (3, [1]),
        278: (4, [height]),
        279: (4, [len(mosaic)]),
        33421: (3, [2, 2]),
        33422: (1, bytes([0, 1, 1, 2])),
        50717: (4, [65535]),  # WhiteLevel
    }
    head = b"II*\0" + struct.pack("<I", 8)
    if preview is None:
        tags = {**about, **sensor, 273: (4, [0])}
        pixels_at = 8 + len(directory(8, tags))
        return head + directory(8, {**tags, 273: (4, [pixels_at])}) + mosaic
    with Image.open(io.BytesIO(preview)) as opened:
        preview_width, preview_height = opened.size
    first: dict[int, tuple[int, Values]] = {
        **about,
        254: (4, [1]),
        256: (4, [preview_width]),
        257: (4, [preview_height]),
        258: (3, [8, 8, 8]),
        259: (3, [7]),
        262: (3, [6]),
        273: (4, [0]),
        277: (3, [3]),
        278: (4, [preview_height]),
        279: (4, [len(preview)]),
    }
    if not chained:
        first[330] = (4, [0])
    second_at = 8 + len(directory(8, first))
    preview_at = second_at + len(directory(second_at, {**sensor, 273: (4, [0])}))
    pixels_at = preview_at + len(preview) + len(preview) % 2
    first[273] = (4, [preview_at])
    if not chained:
        first[330] = (4, [second_at])
    ifds = directory(8, first, second_at if chained else 0)
    ifds += directory(second_at, {**sensor, 273: (4, [pixels_at])})
    return head + ifds + preview + bytes(len(preview) % 2) + mosaic


# --- colour profiles ----------------------------------------------------------------------------------------------


def matrix_profile(red: Sequence[float], green: Sequence[float], blue: Sequence[float], gamma: float) -> bytes:
    """Make an ICC v2 display profile from its primaries' XYZ (adapted to D50) and a gamma."""

    def xyz(values: Sequence[float]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    description = b"desc\0\0\0\0" + struct.pack(">I", 11) + b"rali wide \0" + bytes(4 + 4 + 2 + 1 + 67)
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    blocks = {
        b"desc": description,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        b"rXYZ": xyz(red),
        b"gXYZ": xyz(green),
        b"bXYZ": xyz(blue),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, at = struct.pack(">I", len(blocks)), b"", 128 + 4 + 12 * len(blocks)
    for name, data in blocks.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    size = at + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    return header.ljust(128, b"\0") + table + body


# Adobe RGB (1998): XYZ of its primaries adapted to D50, gamma 2.2. Source: brucelindbloom.com, "RGB/XYZ Matrices".
ADOBE_RGB = matrix_profile(
    (0.6097559, 0.3111242, 0.0194811), (0.2052401, 0.6256560, 0.0608902), (0.1492240, 0.0632197, 0.7448387), 2.19921875
)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def adobe_to_srgb(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert Adobe RGB levels to sRGB levels by the textbook: the reference for the profile above."""
    to_xyz = np.array(
        [[0.6097559, 0.2052401, 0.1492240], [0.3111242, 0.6256560, 0.0632197], [0.0194811, 0.0608902, 0.7448387]]
    )
    srgb_to_xyz = np.array(
        [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
    )
    linear = (pixels / 255) ** 2.19921875
    srgb = np.clip(linear @ to_xyz.T @ np.linalg.inv(srgb_to_xyz).T, 0, 1)
    encoded_values = np.where(srgb <= 0.0031308, srgb * 12.92, 1.055 * srgb ** (1 / 2.4) - 0.055)
    return np.asarray(encoded_values * 255)
