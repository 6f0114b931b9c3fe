"""What a photo says of itself is read where it can be, and never stands in the way of the picture."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_images import DATE_TIME, MAKE, ORIENTATION, encoded, exif, picture, written
from PIL import Image

from rali.photos.decode import Decoded, decode
from rali.photos.exif import Shot, read_shot, read_tiff_shot

JPEG = encoded(picture(64, 48), "jpeg")


def _with_segment(payload: bytes) -> bytes:
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + JPEG[2:]


def _with_entries(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Make a JPEG of hand-made IFD0 entries: tag, kind, count, value (inline up to four bytes)."""
    values_at = 8 + 2 + 12 * len(entries) + 4
    table, values = struct.pack("<H", len(entries)), b""
    for tag, kind, count, value in entries:
        table += struct.pack("<HHI", tag, kind, count)
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack("<I", values_at + len(values))
            values += value
    return _with_segment(b"Exif\0\0II*\0\x08\0\0\0" + table + bytes(4) + values)


def _decoded(tmp_path: Path, data: bytes) -> Decoded:
    return decode(written(tmp_path / "photo", data), limit_px=1_000_000)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "avif", "heif"])
def test_time_and_camera_are_read_from_every_format_that_holds_them(tmp_path: Path, kind: str) -> None:
    about = exif(captured_at="2026:05:01 12:34:56", subseconds="123", make="Canon", model="Canon EOS 7D")
    shot = _decoded(tmp_path, encoded(picture(64, 48), kind, exif=about.tobytes())).shot
    assert shot == Shot(1, "2026-05-01T12:34:56.123", "Canon EOS 7D")


def test_a_photo_without_exif_is_upright_and_says_nothing(tmp_path: Path) -> None:
    assert _decoded(tmp_path, JPEG).shot == Shot()


@pytest.mark.parametrize(
    ("date_time", "subseconds", "expected"),
    [
        ("2026:05:01 12:34:56", None, "2026-05-01T12:34:56"),
        ("2026:05:01T12:34:56", None, "2026-05-01T12:34:56"),
        ("2026:05:01 12:34:56", "07", "2026-05-01T12:34:56.07"),
        ("2026:05:01 12:34:56", "7  ", "2026-05-01T12:34:56.7"),
        ("2026:05:01 12:34:56", "x", "2026-05-01T12:34:56"),
        ("2026:05:01 12:34:56", "0123456789", "2026-05-01T12:34:56"),
        ("2026:05:01 12:34:56+02:00", None, "2026-05-01T12:34:56"),
        ("0000:00:00 00:00:00", None, None),
        ("2026:00:00 00:00:00", None, None),
        ("2026:13:45 99:99:99", None, None),
        ("    :  :     :  :  ", None, None),
        ("yesterday", "5", None),
    ],
)
def test_a_time_is_a_real_one_or_none(
    tmp_path: Path, date_time: str, subseconds: str | None, expected: str | None
) -> None:
    about = exif(captured_at=date_time, subseconds=subseconds).tobytes()
    assert _decoded(tmp_path, encoded(picture(64, 48), "jpeg", exif=about)).shot.captured_at == expected


def test_the_time_of_the_file_serves_where_that_of_the_shot_is_missing(tmp_path: Path) -> None:
    about = Image.Exif()
    about[DATE_TIME] = "2020:02:29 08:00:00"
    assert _decoded(tmp_path, encoded(picture(64, 48), "jpeg", exif=about)).shot.captured_at == "2020-02-29T08:00:00"


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("Canon", "Canon EOS 7D", "Canon EOS 7D"),
        ("NIKON CORPORATION", "NIKON D70", "NIKON D70"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("SONY", None, "SONY"),
        (None, "X100", "X100"),
        ("  ", " ", None),
        ("Bad\x1b[31m\nMaker", "Y" * 500, ("Bad[31mMaker " + "Y" * 500)[:120]),
    ],
)
def test_the_camera_is_its_maker_and_model_on_one_clean_line(
    tmp_path: Path, make: str | None, model: str | None, expected: str | None
) -> None:
    about = exif(make=make, model=model).tobytes()
    assert _decoded(tmp_path, encoded(picture(64, 48), "jpeg", exif=about)).shot.camera == expected


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [
        (3, 1, b"\6\0"),
        (4, 1, b"\6\0\0\0"),
        (3, 3, b"\6\0\6\0\6\0"),
        (5, 1, struct.pack("<II", 6, 1)),
        (12, 1, struct.pack("<d", 6.0)),
    ],
    ids=["short", "long", "three shorts", "fraction", "float"],
)
def test_an_orientation_is_an_integer_however_it_was_written(
    tmp_path: Path, kind: int, count: int, value: bytes
) -> None:
    decoded = _decoded(tmp_path, _with_entries((ORIENTATION, kind, count, value)))
    assert type(decoded.shot.orientation) is int
    assert decoded.shot.orientation == 6
    assert decoded.image.size == (48, 64)
    assert pickle.loads(pickle.dumps(decoded.shot)) == decoded.shot


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_orientation_that_there_is_not_is_ignored(tmp_path: Path, value: int) -> None:
    decoded = _decoded(tmp_path, _with_entries((ORIENTATION, 3, 1, struct.pack("<H", value))))
    assert decoded.shot.orientation == 1
    assert decoded.image.size == (64, 48)


@pytest.mark.parametrize(
    "payload",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage!",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(40),
        b"Exif\0\0MM\0*\0\0\0\x08\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\0",  # the EXIF IFD is IFD0 again
        b"Exif\0\0" + bytes(60_000),
        b"Exif\0\0" + b"\xff" * 60_000,
    ],
    ids=["empty", "garbage", "offset beyond", "count beyond", "loop", "60 kB of zeros", "60 kB of ones"],
)
def test_damaged_exif_is_ignored_and_the_photo_is_read(tmp_path: Path, payload: bytes) -> None:
    decoded = _decoded(tmp_path, _with_segment(payload))
    assert decoded.shot == Shot()
    assert decoded.image.tobytes() == _decoded(tmp_path, JPEG).image.tobytes()


@pytest.mark.parametrize("tag", [MAKE, 0x8769, 0x8825, 0x9000, 0xA005, 0x0111, 0x0201])
@pytest.mark.parametrize("kind", [1, 5, 7, 10, 11, 12, 16])
def test_an_odd_tag_beside_the_orientation_does_not_cost_the_photo(tmp_path: Path, tag: int, kind: int) -> None:
    data = _with_entries((ORIENTATION, 3, 1, b"\6\0"), (tag, kind, 2, bytes(range(64))))
    assert _decoded(tmp_path, data).image.size == (48, 64)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of bad EXIF; decode() silences it
@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_any_exif_gives_a_shot(payload: bytes, tiff: bool) -> None:
    data = _with_segment(b"Exif\0\0" + (b"II*\0\x08\0\0\0" if tiff else b"") + payload)
    with Image.open(io.BytesIO(data)) as image:
        shot = read_shot(image)
    assert shot.orientation in range(1, 9)
    assert shot.camera is None or shot.camera.isprintable()


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of bad EXIF; decode() silences it
@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_file_gives_a_tiff_shot(data: bytes) -> None:
    assert read_tiff_shot(io.BytesIO(b"II*\0\x08\0\0\0" + data)).orientation in range(1, 9)
    assert read_tiff_shot(io.BytesIO(data)).orientation in range(1, 9)
