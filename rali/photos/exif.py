"""What a photo says of itself: when, with which camera, which way up, how it was exposed."""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO

from PIL import Image

from rali.photos.maker_note import Drive, read_maker_note

_MAKE, _MODEL, _ORIENTATION, _DATE_TIME = 0x010F, 0x0110, 0x0112, 0x0132
_EXIF_IFD, _DATE_TIME_ORIGINAL, _SUBSECONDS, _SUBSECONDS_ORIGINAL = 0x8769, 0x9003, 0x9290, 0x9291
_EXPOSURE_TIME, _F_NUMBER, _ISO, _BIAS, _EXPOSURE_MODE = 0x829A, 0x829D, 0x8827, 0x9204, 0xA402
_SUBJECT_DISTANCE, _FOCAL_LENGTH, _BODY_SERIAL, _MAKER_NOTE = 0x9206, 0x920A, 0xA431, 0x927C
_AUTO_BRACKET = 2
_FURTHEST_M = 10_000.0  # cameras write 4294967295 for "infinity" and 0 for "unknown"
_DATE_TIME_FORM = re.compile(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
# What turns a picture of each orientation upright. ImageOps.exif_transpose would also rewrite the EXIF, and fail where
# one of its tags is odd.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises on EXIF that is damaged, as opposed to a photo that is.
_BAD_EXIF = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error, OverflowError)


@dataclass(frozen=True)
class Exposure:
    """How a photo was exposed and by which body, as far as its file says; None where it does not.

    Attributes:
        body: serial number of the camera.
        burst: what the camera calls the burst that it belongs to.
        drive: how the shutter was released; ``bracket`` where EXIF says so, too.
        exposure_s: how long, in seconds.
        bias_ev: exposure compensation, in stops.
        f_number: of the aperture.
        iso: of the sensor.
        focal_mm: focal length.
        distance_m: of what was focused on.
    """

    body: str | None = None
    burst: str | None = None
    drive: Drive | None = None
    exposure_s: float | None = None
    bias_ev: float | None = None
    f_number: float | None = None
    iso: float | None = None
    focal_mm: float | None = None
    distance_m: float | None = None


@dataclass(frozen=True)
class Shot:
    """How a photo was taken.

    Attributes:
        orientation: EXIF's 1 to 8; 1 is upright and the default.
        captured_at: local time of the camera, ``2026-05-01T12:00:00.123``; as many sub-second digits as it wrote.
        camera: maker and model.
        exposure: see there.
    """

    orientation: int = 1
    captured_at: str | None = None
    camera: str | None = None
    exposure: Exposure = Exposure()


def read_shot(image: Image.Image) -> Shot:
    """Read an opened picture's EXIF; what is missing or damaged there is left at its default."""
    try:
        return _shot(image.getexif())
    except _BAD_EXIF:
        return Shot()


def tagged_orientation(image: Image.Image) -> int | None:
    """Return EXIF's orientation, 1 to 8; None if there is none, or a damaged one."""
    try:
        return _orientation(image.getexif())
    except _BAD_EXIF:
        return None


def read_tiff_shot(file: BinaryIO) -> Shot:
    """Read the EXIF of a TIFF-based RAW file, without its pixels."""
    exif = Image.Exif()
    try:
        exif.load_from_fp(file)
        return _shot(exif)
    except _BAD_EXIF:
        return Shot()


def _shot(exif: Image.Exif) -> Shot:
    try:
        details = dict(exif.get_ifd(_EXIF_IFD))
    except _BAD_EXIF:
        details = {}
    return Shot(
        orientation=_orientation(exif) or 1,
        captured_at=_captured_at(
            details.get(_DATE_TIME_ORIGINAL) or exif.get(_DATE_TIME),
            details.get(_SUBSECONDS_ORIGINAL) or details.get(_SUBSECONDS),
        ),
        camera=_camera(exif.get(_MAKE), exif.get(_MODEL)),
        exposure=_exposure(details, exif.get(_MAKE), exif.endian or "<"),
    )


def _orientation(exif: Image.Exif) -> int | None:
    orientation = exif.get(_ORIENTATION)
    # Written as a fraction it equals an integer and is none.
    return int(orientation) if orientation is not None and orientation in range(1, 9) else None


def _captured_at(date_time: object, subseconds: object) -> str | None:
    match = _DATE_TIME_FORM.match(_text(date_time))
    if not match:
        return None
    try:
        year, month, day, hour, minute, second = map(int, match.groups())
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError:  # "0000:00:00 00:00:00" where the clock was never set, month 13 where the EXIF is damaged
        return None
    digits = _text(subseconds)
    fraction = f".{digits}" if digits.isdigit() and digits.isascii() and len(digits) <= 9 else ""
    return f"{moment.isoformat()}{fraction}"


def _camera(make: object, model: object) -> str | None:
    maker, name = _text(make), _text(model)
    # "Canon" + "Canon EOS 7D" is "Canon EOS 7D".
    if maker and not name.lower().startswith(maker.split()[0].lower()):
        name = f"{maker} {name}".strip()
    return name[:120] or None


def _exposure(details: dict[int, Any], make: object, byte_order: str) -> Exposure:
    note = details.get(_MAKER_NOTE)
    burst, drive = (
        read_maker_note(note, make=_text(make), byte_order=byte_order) if isinstance(note, bytes) else (None, None)
    )
    return Exposure(
        body=_text(details.get(_BODY_SERIAL))[:64] or None,
        burst=burst,
        drive="bracket" if details.get(_EXPOSURE_MODE) == _AUTO_BRACKET else drive,
        exposure_s=_number(details.get(_EXPOSURE_TIME), above=0, below=100_000),
        bias_ev=_number(details.get(_BIAS), above=-20, below=20),
        f_number=_number(details.get(_F_NUMBER), above=0, below=1000),
        iso=_number(details.get(_ISO), above=0, below=1e8),
        focal_mm=_number(details.get(_FOCAL_LENGTH), above=0, below=100_000),
        distance_m=_number(details.get(_SUBJECT_DISTANCE), above=0, below=_FURTHEST_M),
    )


def _number(value: Any, *, above: float, below: float) -> float | None:
    """Return a tag's value, the first of several, if it is a number in between; else None."""
    if isinstance(value, tuple):
        value = value[0] if value else None
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and above < number < below else None


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "".join(filter(str.isprintable, value)).strip() if isinstance(value, str) else ""
