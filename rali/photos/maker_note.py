"""What some cameras write for themselves: the burst that a frame belongs to, and how the shutter was released.

Apple, Canon, Nikon and Sony alone: others have no documented place for them. Source of the tags: exiftool.org/TagNames.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, NamedTuple

Drive = Literal["single", "continuous", "bracket"]

_MAX_ENTRIES = 500
_ASCII, _SHORT = 2, 3  # types of TIFF's
_APPLE, _APPLE_IFD_AT, _APPLE_BURST = b"Apple iOS\0", 14, 0x000B
_NIKON, _NIKON_TIFF_AT, _NIKON_SHOOTING_MODE = b"Nikon\0\x02", 10, 0x0089
_NIKON_CONTINUOUS, _NIKON_BRACKETS = 1 << 0, 1 << 4 | 1 << 6 | 1 << 8  # of exposure, white balance, D-Lighting
_CANON_SETTINGS, _CANON_DRIVE_AT = 0x0001, 5
_CANON_SHOT, _CANON_BRACKETING_AT = 0x0004, 16
_CANON_CONTINUOUS = frozenset({1, 3, 4, 5, 8, 10})
_SONY, _SONY_IFD_AT, _SONY_RELEASE_MODE = (b"SONY DSC ", b"SONY CAM ", b"SONY MOBILE"), 12, 0xB049
_SONY_DRIVES: dict[int, Drive] = {0: "single", 2: "continuous", 5: "bracket", 6: "bracket", 8: "bracket"}


class _Entry(NamedTuple):
    tag: int
    kind: int
    length: int
    value: bytes  # four bytes: the value itself, or where it lies


def read_maker_note(note: bytes, *, make: str, byte_order: str) -> tuple[str | None, Drive | None]:
    """Read a maker note: the camera's name for the burst, and how the shutter was released; None where it says neither.

    Args:
        note: the tag's bytes, whatever they are.
        make: of the camera, as EXIF has it.
        byte_order: of the EXIF around it, ``<`` or ``>``.
    """
    try:
        if note.startswith(_APPLE):
            return _apple_burst(note), None
        if note.startswith(_NIKON):
            return None, _nikon_drive(note)
        if make.upper().startswith("CANON"):  # its notes begin with no name
            return None, _canon_drive(note, byte_order)
        if note.startswith(_SONY) and make.upper().startswith("SONY"):
            return None, _sony_drive(note, byte_order)
    except (struct.error, UnicodeDecodeError):  # shorter than it says, or not what it says
        pass
    return None, None


def _apple_burst(note: bytes) -> str | None:
    for entry in _entries(note, _APPLE_IFD_AT, ">"):
        if entry.tag == _APPLE_BURST and entry.kind == _ASCII and 4 < entry.length <= 64:
            (at,) = struct.unpack(">I", entry.value)
            text = note[at : at + entry.length].rstrip(b"\0").decode("ascii")
            return text if text.isprintable() and text else None
    return None


def _nikon_drive(note: bytes) -> Drive | None:
    tiff = note[_NIKON_TIFF_AT:]
    order = {b"MM": ">", b"II": "<"}.get(tiff[:2])
    if order is None:
        return None
    (first,) = struct.unpack_from(f"{order}I", tiff, 4)
    for entry in _entries(tiff, first, order):
        if entry.tag == _NIKON_SHOOTING_MODE and entry.kind == _SHORT:
            (bits,) = struct.unpack_from(f"{order}H", entry.value)
            if bits & _NIKON_BRACKETS:
                return "bracket"
            return "continuous" if bits & _NIKON_CONTINUOUS else "single"
    return None


def _canon_drive(note: bytes, order: str) -> Drive | None:
    # Programs that write EXIF anew may turn its byte order around, and leave the note as it is.
    if struct.unpack_from(f"{order}H", note)[0] > _MAX_ENTRIES:
        order = "<" if order == ">" else ">"
    settings = _canon_numbers(note, order, _CANON_SETTINGS)
    shot = _canon_numbers(note, order, _CANON_SHOT)
    if len(shot) > _CANON_BRACKETING_AT and shot[_CANON_BRACKETING_AT] != 0:
        return "bracket"
    if len(settings) <= _CANON_DRIVE_AT:
        return None
    return "continuous" if settings[_CANON_DRIVE_AT] in _CANON_CONTINUOUS else "single"


def _canon_numbers(note: bytes, order: str, tag: int) -> tuple[int, ...]:
    """Return the numbers of one of Canon's lists; none if it is not there.

    Where values lie is counted from the start of the whole EXIF, which is not here. But the first of them lies right
    behind the directory, and each list begins with its own length in bytes, by which a wrong guess is found out.
    """
    entries = list(_entries(note, 0, order))
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}
    far = [entry for entry in entries if entry.length * sizes.get(entry.kind, 1) > 4]
    places = {entry.tag: struct.unpack(f"{order}I", entry.value)[0] for entry in far}
    if not places:
        return ()
    base = min(places.values()) - (2 + 12 * len(entries) + 4)
    for entry in far:
        if entry.tag == tag and entry.kind == _SHORT and entry.length <= _MAX_ENTRIES:
            numbers = struct.unpack_from(f"{order}{entry.length}H", note, places[tag] - base)
            return numbers if numbers[0] == 2 * entry.length else ()
    return ()


def _sony_drive(note: bytes, order: str) -> Drive | None:
    for entry in _entries(note, _SONY_IFD_AT, order):
        if entry.tag == _SONY_RELEASE_MODE and entry.kind == _SHORT:
            (mode,) = struct.unpack_from(f"{order}H", entry.value)
            return _SONY_DRIVES.get(mode)
    return None


def _entries(data: bytes, at: int, order: str) -> Iterator[_Entry]:
    """Yield the entries of the TIFF directory at ``at``; one that is longer than any real one is none."""
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for number in range(count if count <= _MAX_ENTRIES else 0):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, at + 2 + 12 * number)
        place = at + 2 + 12 * number + 8
        yield _Entry(tag, kind, length, data[place : place + 4])
