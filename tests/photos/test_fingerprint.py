"""Two fingerprints: one for the same bytes, one for the same look."""

from __future__ import annotations

import io
import mmap
from pathlib import Path

import numpy as np
from make_images import dng, encoded, picture
from PIL import Image, ImageEnhance

from rali.photos.decode import decode
from rali.photos.fingerprint import CONTENT_HASH_BYTES, content_hash, difference_hash

LIMIT = 10_000_000


def _distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def test_the_content_hash_does_not_depend_on_how_the_bytes_are_split() -> None:
    data = encoded(picture(), "jpeg")
    whole = content_hash([data])
    assert len(whole) == CONTENT_HASH_BYTES
    assert content_hash([data[:100], memoryview(data)[100:]]) == whole
    assert content_hash([data[:-1]]) != whole


def test_a_mapped_file_hashes_as_a_read_one(tmp_path: Path) -> None:
    file = tmp_path / "photo"
    file.write_bytes(encoded(picture(), "tiff"))
    with file.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert content_hash([memoryview(mapped)]) == content_hash([file.read_bytes()])


def test_a_copy_under_another_name_has_the_same_content_hash(tmp_path: Path) -> None:
    data = encoded(picture(), "jpeg")
    hashes = set()
    for name in ("a.jpg", "copy of a.jpeg", "wrong.png"):
        (tmp_path / name).write_bytes(data)
        hashes.add(decode(str(tmp_path / name), limit_px=LIMIT).content_hash)
    assert len(hashes) == 1


def test_raws_of_one_size_are_told_apart_by_what_they_show(tmp_path: Path) -> None:
    one = dng(400, 300)
    other = bytearray(one)
    other[-200:] = bytes(200)
    hashes = set()
    for name, data in (("a.dng", one), ("b.dng", one), ("c.dng", bytes(other))):
        (tmp_path / name).write_bytes(data)
        hashes.add(decode(str(tmp_path / name), limit_px=LIMIT).content_hash)
    assert len(hashes) == 2


def test_the_difference_hash_fits_64_bits_without_a_sign() -> None:
    rising = Image.fromarray(np.tile(np.linspace(0, 255, 90, dtype=np.uint8), (80, 1))).convert("RGB")
    assert difference_hash(rising) == 2**64 - 1
    assert difference_hash(Image.new("RGB", (50, 50), "grey")) == 0


def test_look_alikes_have_difference_hashes_close_by_and_others_have_not() -> None:
    photo = picture(600, 400)
    again = Image.open(io.BytesIO(encoded(photo, "jpeg", quality=40))).resize((300, 200))
    brighter = ImageEnhance.Brightness(photo).enhance(1.1)
    assert _distance(difference_hash(photo), difference_hash(again)) <= 4
    assert _distance(difference_hash(photo), difference_hash(brighter)) <= 6
    assert _distance(difference_hash(photo), difference_hash(picture(600, 400).rotate(180))) >= 15


def test_the_smallest_and_the_narrowest_picture_have_a_difference_hash() -> None:
    for size in ((1, 1), (1, 5000), (5000, 1)):
        assert 0 <= difference_hash(Image.new("RGB", size, "red")) < 2**64
