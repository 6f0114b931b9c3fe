"""How a photo was exposed, by which body, in which burst: EXIF's own tags and what four makers add."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_images import encoded, picture
from PIL import Image, TiffImagePlugin

from rali.photos.decode import read_header
from rali.photos.exif import Exposure, read_shot
from rali.photos.maker_note import read_maker_note
from rali.photos.sniff import Format

EXIF_IFD = 0x8769
BODY, TIME, APERTURE, ISO, BIAS, MODE, FOCAL, DISTANCE = (
    0xA431, 0x829A, 0x829D, 0x8827, 0x9204, 0xA402, 0x920A, 0x9206,
)  # fmt: skip


def jpeg(tags: dict[int, Any], make: str | None = None) -> bytes:
    exif = Image.Exif()
    if make is not None:
        exif[0x010F] = make
    exif.get_ifd(EXIF_IFD).update(tags)
    return encoded(picture(32, 24), "jpeg", exif=exif.tobytes())


def exposure_of(tags: dict[int, Any], make: str | None = None) -> Exposure:
    return read_shot(Image.open(io.BytesIO(jpeg(tags, make)))).exposure


def rational(top: int, bottom: int) -> TiffImagePlugin.IFDRational:
    return TiffImagePlugin.IFDRational(top, bottom)


def directory(entries: list[tuple[int, int, int, bytes]], order: str) -> bytes:
    """Make a TIFF directory of tag, type, count and four bytes each."""
    body = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0") for tag, kind, count, value in entries
    )
    return struct.pack(f"{order}H", len(entries)) + body + bytes(4)


def apple(burst: bytes) -> bytes:
    at = 14 + 2 + 12 + 4
    entry = (0x000B, 2, len(burst), struct.pack(">I", at))
    return b"Apple iOS\0\0\1MM" + directory([entry], ">") + burst


def nikon(mode: int, order: str = ">") -> bytes:
    mark = b"MM\0*" if order == ">" else b"II*\0"
    entries = [(0x0001, 7, 4, b"0210"), (0x0089, 3, 1, struct.pack(f"{order}H", mode))]
    return b"Nikon\0\2\x10\0\0" + mark + struct.pack(f"{order}I", 8) + directory(entries, order)


def canon(drive: int, bracketing: int = 0, order: str = "<", shift: int = 0x2B6) -> bytes:
    """Make a note whose values lie ``shift`` bytes farther on than they would if the file began with the note."""
    settings = struct.pack(f"{order}6H", 12, 2, 0, 3, 0, drive)
    shot = struct.pack(f"{order}17H", 34, *[0] * 15, bracketing)
    first = 2 + 3 * 12 + 4 + shift
    entries = [
        (0x0001, 3, 6, struct.pack(f"{order}I", first)),
        (0x0003, 3, 1, struct.pack(f"{order}H", 7)),
        (0x0004, 3, 17, struct.pack(f"{order}I", first + len(settings))),
    ]
    return directory(entries, order) + settings + shot


def sony(mode: int, order: str = "<") -> bytes:
    return b"SONY DSC \0\0\0" + directory([(0xB049, 3, 1, struct.pack(f"{order}H", mode))], order)


def test_exifs_own_tags_are_read() -> None:
    tags = {
        BODY: "0123456", TIME: rational(1, 250), APERTURE: rational(28, 10), ISO: 400, BIAS: rational(-2, 3),
        FOCAL: rational(50, 1), DISTANCE: rational(225, 100), MODE: 0,
    }  # fmt: skip

    found = exposure_of(tags)

    assert found.body == "0123456"
    assert found.drive is None
    assert (found.exposure_s, found.f_number, found.iso) == (0.004, 2.8, 400.0)
    assert (found.focal_mm, found.distance_m) == (50.0, 2.25)
    assert found.bias_ev == pytest.approx(-2 / 3)


def test_exposure_mode_tells_a_bracket() -> None:
    assert exposure_of({MODE: 2}).drive == "bracket"


@pytest.mark.parametrize(
    "tags",
    [{DISTANCE: rational(0xFFFFFFFF, 1)}, {DISTANCE: rational(0, 1)}, {DISTANCE: rational(0, 0)},
     {TIME: rational(0, 1)}, {TIME: rational(1, 0)}, {BIAS: rational(154, 1)}, {ISO: 0}],
)  # fmt: skip
def test_what_no_camera_can_have_meant_is_left_out(tags: dict[int, Any]) -> None:
    assert exposure_of(tags) == Exposure()


def test_apple_names_the_burst() -> None:
    assert read_maker_note(apple(b"6C3B2A10-F00D\0"), make="Apple", byte_order=">") == ("6C3B2A10-F00D", None)


@pytest.mark.parametrize(
    ("mode", "drive"), [(0, "single"), (1, "continuous"), (0x20, "single"), (0x11, "bracket"), (0x40, "bracket")]
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_nikon_tells_the_drive(mode: int, drive: str, order: str) -> None:
    assert read_maker_note(nikon(mode, order), make="NIKON", byte_order="<") == (None, drive)


@pytest.mark.parametrize(("mode", "drive"), [(0, "single"), (2, "continuous"), (5, "bracket"), (65535, None)])
def test_sony_tells_the_drive_in_the_byte_order_of_the_file(mode: int, drive: str | None) -> None:
    for order in "<>":
        assert read_maker_note(sony(mode, order), make="SONY", byte_order=order) == (None, drive)


@pytest.mark.parametrize(
    ("mode", "bracketing", "drive"),
    [(0, 0, "single"), (1, 0, "continuous"), (5, 0, "continuous"), (0, 65535, "bracket")],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_canon_tells_the_drive_wherever_the_note_lies(mode: int, bracketing: int, drive: str, order: str) -> None:
    for shift in (0, 0x2B6):
        note = canon(mode, bracketing, order, shift)
        assert read_maker_note(note, make="Canon", byte_order=order) == (None, drive)
    assert read_maker_note(note, make="Canon", byte_order=">" if order == "<" else "<") == (None, drive)
    assert read_maker_note(note, make="Casio", byte_order=order) == (None, None)


def test_canons_lists_that_do_not_begin_with_their_length_are_not_believed() -> None:
    note = canon(1).replace(struct.pack("<2H", 12, 2), struct.pack("<2H", 14, 2))

    assert read_maker_note(note, make="Canon", byte_order="<") == (None, None)


def test_a_maker_note_is_found_in_a_file() -> None:
    assert exposure_of({0x927C: apple(b"ABCDEF\0")}, "Apple").burst == "ABCDEF"


@given(
    start=st.sampled_from([apple(b"ABCDEF\0"), nikon(1), sony(2), canon(1), b""]),
    make=st.sampled_from(["SONY", "Canon"]),
    cut=st.integers(0, 60),
    rest=st.binary(max_size=80),
)
def test_notes_of_any_bytes_raise_nothing(start: bytes, make: str, cut: int, rest: bytes) -> None:
    burst, drive = read_maker_note(start[:cut] + rest, make=make, byte_order="<")

    assert burst is None or burst.isprintable()
    assert drive in (None, "single", "continuous", "bracket")


@pytest.mark.parametrize(
    ("kind", "format"),
    [("jpeg", Format.JPEG), ("png", Format.PNG), ("webp", Format.WEBP), ("tiff", Format.TIFF),
     ("heif", Format.HEIF), ("avif", Format.AVIF)],
)  # fmt: skip
def test_a_header_is_read_without_the_pixels(kind: str, format: Format, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[TIME] = rational(1, 250)
    file = tmp_path / "a"
    file.write_bytes(encoded(picture(64, 48), kind, exif=exif.tobytes()))

    state, shot = read_header(str(file), format)

    assert state.size_bytes == file.stat().st_size
    assert shot.exposure.exposure_s == 0.004


def test_a_header_that_is_damaged_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(b"\xff\xd8\xff and no more")

    assert read_header(str(file), Format.JPEG)[1].exposure == Exposure()
