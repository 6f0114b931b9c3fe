"""Small pictures of photos."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_images import encoded, every_format, exif, lying, mean_difference, picture, smooth, with_thumbnail, written
from PIL import Image

from rali.errors import FailureKind, PhotoError
from rali.photos.thumbnail import Size, make_thumbnail

SMALL = Size(long_edge_px=160, most_bytes=3_000)
LIMIT_PX = 100_000_000


def thumbnail_of(file: str, size: Size = SMALL) -> Image.Image:
    image = Image.open(io.BytesIO(make_thumbnail(file, size, limit_px=LIMIT_PX)))
    assert (image.format, image.mode) == ("WEBP", "RGB")
    return image


@pytest.mark.parametrize("kind", every_format())
def test_every_format_gives_a_small_webp(kind: str, tmp_path: Path) -> None:
    image = thumbnail_of(written(tmp_path / "a", every_format()[kind][1]))

    assert max(image.size) <= 160


def test_it_is_as_small_as_asked_even_if_the_photo_is_noise(tmp_path: Path) -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (600, 800, 3), dtype=np.uint8))
    file = written(tmp_path / "a.png", encoded(noise, "png"))

    assert len(make_thumbnail(file, SMALL, limit_px=LIMIT_PX)) <= 3_000
    assert len(make_thumbnail(file, Size(640, 400), limit_px=LIMIT_PX)) <= 400


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_upright(orientation: int, tmp_path: Path) -> None:
    upright = smooth(480, 320)
    stored = encoded(lying(upright, orientation), "jpeg", exif=exif(orientation), quality=95)
    image = thumbnail_of(written(tmp_path / "a.jpg", stored), Size(240, 30_000))

    assert mean_difference(image, upright.resize((240, 160))) < 6


def with_embedded(photo: Image.Image, embedded: Image.Image) -> bytes:
    """Make a JPEG whose EXIF holds another picture, so that a test can tell which of the two was used."""
    return with_thumbnail(encoded(photo, "jpeg"), encoded(embedded, "jpeg"))


RED, BLUE = (200, 20, 20), (20, 20, 200)


def is_red(image: Image.Image) -> bool:
    red, _, blue = np.asarray(image).reshape(-1, 3).mean(axis=0)
    return bool(red > blue)


def test_a_large_enough_thumbnail_in_exif_is_used(tmp_path: Path) -> None:
    file = written(
        tmp_path / "a.jpg", with_embedded(Image.new("RGB", (800, 600), BLUE), Image.new("RGB", (160, 120), RED))
    )

    assert is_red(thumbnail_of(file))
    assert not is_red(thumbnail_of(file, Size(320, 30_000)))  # too small for that


def test_the_bars_of_a_thumbnail_are_cut_off(tmp_path: Path) -> None:
    barred = Image.new("RGB", (160, 120))
    barred.paste(Image.new("RGB", (160, 107), RED), (0, 6))
    file = written(tmp_path / "a.jpg", with_embedded(Image.new("RGB", (900, 600), BLUE), barred))

    image = thumbnail_of(file)

    assert is_red(image)
    assert np.asarray(image.convert("L")).min() > 40
    assert image.width / image.height == pytest.approx(1.5, abs=0.06)


def test_a_thumbnail_of_another_crop_is_not_used(tmp_path: Path) -> None:
    file = written(
        tmp_path / "a.jpg", with_embedded(Image.new("RGB", (600, 600), BLUE), Image.new("RGB", (160, 120), RED))
    )

    assert not is_red(thumbnail_of(file))


@pytest.mark.parametrize("embedded", [b"", b"\xff\xd8\xff", b"no picture", encoded(picture(160, 120), "jpeg")[:-900]])
def test_a_damaged_thumbnail_in_exif_costs_nothing(embedded: bytes, tmp_path: Path) -> None:
    data = with_thumbnail(encoded(Image.new("RGB", (800, 600), BLUE), "jpeg"), embedded)

    assert not is_red(thumbnail_of(written(tmp_path / "a.jpg", data)))


def test_no_metadata_gets_into_it(tmp_path: Path) -> None:
    data = encoded(picture(), "jpeg", exif=exif(1, make="Secret Maker", model="Secret Model"))
    file = written(tmp_path / "a.jpg", data)

    assert b"Secret" not in make_thumbnail(file, SMALL, limit_px=LIMIT_PX)


def test_what_is_no_photo_fails_with_its_reason(tmp_path: Path) -> None:
    for data, kind in ((b"", FailureKind.EMPTY), (b"text", FailureKind.UNSUPPORTED)):
        with pytest.raises(PhotoError) as failure:
            make_thumbnail(written(tmp_path / "a", data), SMALL, limit_px=LIMIT_PX)
        assert failure.value.kind is kind
    with pytest.raises(PhotoError) as failure:
        make_thumbnail(str(tmp_path / "none"), SMALL, limit_px=LIMIT_PX)
    assert failure.value.kind is FailureKind.VANISHED


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=12), end=st.integers(4, 6000))
def test_hostile_bytes_give_a_thumbnail_or_our_own_error(
    changes: list[tuple[int, int]], end: int, tmp_path: Path
) -> None:
    data = bytearray(with_embedded(picture(120, 90), picture(160, 120))[:end])
    for at, value in changes:
        if at < len(data):
            data[at] = value
    with contextlib.suppress(PhotoError):
        thumbnail_of(written(tmp_path / "a.jpg", bytes(data)))
