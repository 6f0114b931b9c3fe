"""A file is what its bytes say, and it is whole or it is not."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from make_images import chunk, directory, dng, encoded, every_format, picture

from rali.photos.sniff import Format, is_whole, may_be_raw, sniff

FILES = every_format()


@pytest.mark.parametrize("name", FILES)
def test_each_format_is_known_by_its_bytes_and_whole(name: str) -> None:
    expected, data = FILES[name]
    assert sniff(data) == expected
    assert is_whole(data, expected)


@pytest.mark.parametrize("name", sorted(FILES.keys() - {"bmp-os2"}))  # whose header does not tell; its decoder does
def test_a_file_that_lost_one_byte_is_not_whole(name: str) -> None:
    format, data = FILES[name]
    assert not is_whole(data[:-1], format)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"%PDF-1.7\n" + b"x" * 100,
        b"%!PS-Adobe-3.0 EPSF-3.0\n" + b"x" * 100,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>" + b" " * 100,
        b"BM" + b"hello, this is a text that begins as a bitmap does",
        b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(64),  # a film
        b"RIFF\0\0\1\0WAVEfmt " + bytes(64),
        b"PK\3\4" + bytes(64),
        b"8BPS" + bytes(64),
    ],
    ids=["empty", "zeros", "pdf", "eps", "svg", "text", "mp4", "wav", "zip", "psd"],
)
def test_what_is_no_photo_has_no_format(data: bytes) -> None:
    assert sniff(data) is None


@pytest.mark.parametrize(
    ("brand", "others", "format"),
    [
        (b"heic", b"mif1heic", Format.HEIF),
        (b"mif1", b"mif1heic", Format.HEIF),
        (b"mif1", b"mif1avif", Format.AVIF),
        (b"avif", b"avifmif1", Format.AVIF),
        (b"avis", b"avifmsf1", Format.AVIF),
        (b"crx ", b"crx isom", Format.RAW),
        (b"qt  ", b"qt  ", None),
    ],
)
def test_box_files_are_told_apart_by_their_brands(brand: bytes, others: bytes, format: Format | None) -> None:
    box = b"ftyp" + brand + bytes(4) + others
    assert sniff(struct.pack(">I", len(box) + 4) + box + bytes(64)) == format


@pytest.mark.parametrize(
    "tags",
    [{50706: (1, bytes([1, 4, 0, 0]))}, {259: (3, [34713])}, {262: (3, [32803])}],
    ids=["dng", "nikon compression", "colour filter array"],
)
def test_a_tiff_with_sensor_data_is_a_raw(tags: dict[int, tuple[int, list[int] | bytes]]) -> None:
    data = b"II*\0\x08\0\0\0" + directory(8, tags)
    assert sniff(data) is Format.RAW
    assert may_be_raw(data[:64])


def test_sensor_data_below_or_behind_the_first_directory_make_a_raw() -> None:
    for chained in (False, True):
        data = dng(preview=encoded(picture(96, 72), "jpeg"), chained=chained).replace(
            struct.pack("<HHI", 50706, 1, 4), struct.pack("<HHI", 50707, 1, 4)
        )  # takes the DNG version away
        assert sniff(data) is Format.RAW


def test_an_end_marker_inside_the_exif_thumbnail_does_not_make_a_jpeg_whole() -> None:
    _, data = FILES["jpeg-with-thumbnail"]
    assert data.count(b"\xff\xd9") == 2
    assert not is_whole(data[: len(data) - 2], Format.JPEG)


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "webp", "tiff", "dng", "heif"])
def test_bytes_behind_the_end_do_no_harm(name: str) -> None:
    format, data = FILES[name]
    assert is_whole(data + b"\0" * 100, format)


def test_a_semicolon_inside_its_data_does_not_end_a_gif() -> None:
    _, data = FILES["gif"]
    cuts = [at + 1 for at in range(800, len(data) - 1) if data[at] == 0x3B]
    assert cuts, "the picture should hold that byte"
    assert not any(is_whole(data[:cut], Format.GIF) for cut in cuts)


def test_a_jpeg_filled_up_with_zeros_is_not_whole() -> None:
    _, data = FILES["jpeg"]
    assert not is_whole(data[: len(data) // 2].ljust(len(data), b"\0"), Format.JPEG)


def test_a_chunk_that_is_called_like_the_end_is_not_the_end_of_a_png() -> None:
    _, data = FILES["png"]
    end = chunk(b"IEND", b"")
    assert data.endswith(end)
    assert not is_whole(data[:-12] + chunk(b"tEXt", b"IEND"), Format.PNG)


def test_a_big_tiff_that_points_beyond_any_file_is_not_whole() -> None:
    for offset in (2**64 - 2, 2**63 - 2, 2**40):
        data = b"II+\0\x08\0\0\0" + struct.pack("<Q", offset) + bytes(64)
        assert sniff(data) is Format.TIFF
        assert not is_whole(data, Format.TIFF)


def test_directories_that_point_at_each_other_are_read_once() -> None:
    data = b"II*\0\x08\0\0\0" + directory(8, {256: (4, [1])}, following=8)
    assert is_whole(data, Format.TIFF)


def test_thousands_of_tags_that_share_a_million_values_are_not_unpacked() -> None:
    count = 4000
    entries = b"".join(struct.pack("<HHII", 1000 + tag, 4, 1 << 18, 64) for tag in range(count))
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4 + (1 << 20))
    assert sniff(data) is Format.TIFF  # a test that fails does not end


HEADS = st.sampled_from([data[:48] for _, data in FILES.values()])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.tuples(HEADS, st.binary(max_size=300)).map(b"".join)))
def test_any_bytes_have_a_format_or_none_and_are_whole_or_not(data: bytes) -> None:
    sniff(data)
    for format in Format:
        assert is_whole(data, format) in (True, False)
