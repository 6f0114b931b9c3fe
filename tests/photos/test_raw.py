"""RAW files: the preview where it serves, the sensor's data where it does not."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from make_images import dng, encoded, levels, lying, mean_difference, smooth, written
from PIL import Image

from rali.errors import FailureKind, PhotoError
from rali.photos.decode import Decoded, decode
from rali.photos.sniff import Format

SENSOR = (480, 360)
PREVIEW = smooth(*SENSOR)
LIMIT = 10_000_000


def _decoded(tmp_path: Path, data: bytes, **options: int) -> Decoded:
    return decode(written(tmp_path / "photo.dng", data), **{"limit_px": LIMIT, "preview_px": 200, **options})


def _preview(image: Image.Image = PREVIEW, **options: object) -> bytes:
    return encoded(image, "jpeg", quality=95, **options)


def _cut_preview(data: bytes, preview: bytes) -> bytes:
    """Overwrite a preview's second half, as a bad sector does."""
    half = len(preview) // 2
    return data.replace(preview, preview[:half] + bytes(len(preview) - half))


@pytest.mark.parametrize("chained", [False, True])
def test_a_preview_that_is_large_enough_is_used(tmp_path: Path, chained: bool) -> None:
    decoded = _decoded(tmp_path, dng(*SENSOR, preview=_preview(), chained=chained))
    assert decoded.format is Format.RAW
    assert (decoded.width, decoded.height) == SENSOR
    assert mean_difference(decoded.image, PREVIEW) < 2
    assert decoded.shot.camera == "Rali Test"


def test_without_a_preview_the_sensors_data_are_developed_at_half_size(tmp_path: Path) -> None:
    decoded = _decoded(tmp_path, dng(*SENSOR))
    assert decoded.image.size == (240, 180)
    assert (decoded.width, decoded.height) == SENSOR
    brightness = levels(decoded.image).mean(axis=(0, 2))
    assert brightness[-20:].mean() > brightness[:20].mean() + 50, "the made sensor is brighter on the right"


def test_a_preview_that_is_too_small_for_the_model_is_not_used(tmp_path: Path) -> None:
    data = dng(*SENSOR, preview=_preview(smooth(160, 120)))
    assert _decoded(tmp_path, data, preview_px=121).image.size == (240, 180)
    assert _decoded(tmp_path, data, preview_px=120).image.size == (160, 120)


def test_a_large_preview_is_reduced_as_a_jpeg_is(tmp_path: Path) -> None:
    decoded = _decoded(tmp_path, dng(*SENSOR, preview=_preview()), preview_px=90, reduce_to_px=90)
    assert decoded.image.size == (120, 90)
    assert (decoded.width, decoded.height) == SENSOR
    assert mean_difference(decoded.image, PREVIEW.resize((120, 90), Image.Resampling.BOX)) < 2


def test_the_sensors_data_are_developed_at_half_size_for_a_reduced_decode_too(tmp_path: Path) -> None:
    assert _decoded(tmp_path, dng(*SENSOR), reduce_to_px=20).image.size == (240, 180)


def test_a_preview_as_large_as_a_small_sensor_is_used_even_below_what_the_model_wants(tmp_path: Path) -> None:
    assert _decoded(tmp_path, dng(*SENSOR, preview=_preview()), preview_px=4000).image.size == SENSOR


def test_a_cut_preview_gives_way_to_the_sensors_data(tmp_path: Path) -> None:
    preview = _preview()
    decoded = _decoded(tmp_path, _cut_preview(dng(*SENSOR, preview=preview), preview))
    assert decoded.image.size == (240, 180)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("with_preview", [True, False])
def test_a_raw_is_turned_upright_once(tmp_path: Path, orientation: int, with_preview: bool) -> None:
    upright = smooth(360, 480) if orientation in (6, 8) else smooth(480, 360)
    lies = lying(upright, orientation)
    preview = _preview(lies) if with_preview else None
    decoded = _decoded(tmp_path, dng(*lies.size, preview=preview, orientation=orientation))
    assert (decoded.width, decoded.height) == upright.size
    assert decoded.shot.orientation == orientation
    if with_preview:
        assert mean_difference(decoded.image, upright) < 2
    else:
        assert decoded.image.size == (upright.width // 2, upright.height // 2)


def test_a_preview_that_some_cameras_store_upright_is_not_turned_again(tmp_path: Path) -> None:
    upright = smooth(360, 480)
    decoded = _decoded(tmp_path, dng(*SENSOR, preview=_preview(upright), orientation=6))
    assert mean_difference(decoded.image, upright) < 2
    assert (decoded.width, decoded.height) == (360, 480)


def test_a_time_that_nobody_wrote_is_not_invented(tmp_path: Path) -> None:
    # LibRaw gives a preview without EXIF some of its own, with the first second of 1970 in it.
    assert _decoded(tmp_path, dng(*SENSOR, preview=_preview())).shot.captured_at is None


def test_the_time_in_the_raw_is_read(tmp_path: Path) -> None:
    when: dict[int, tuple[int, bytes]] = {0x0132: (2, b"2026:05:01 12:34:56\0")}
    for preview in (None, _preview()):
        shot = _decoded(tmp_path, dng(*SENSOR, preview=preview, more=when)).shot
        assert shot.captured_at == "2026-05-01T12:34:56"


@pytest.mark.parametrize("with_preview", [True, False])
def test_a_raw_is_read_under_a_name_that_is_not_utf8(tmp_path: Path, with_preview: bool) -> None:
    data = dng(*SENSOR, preview=_preview() if with_preview else None)
    plain = decode(written(tmp_path / "photo.dng", data), limit_px=LIMIT)
    odd = decode(written(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.dng")), data), limit_px=LIMIT)
    assert odd.image.tobytes() == plain.image.tobytes()
    assert odd.content_hash == plain.content_hash


def test_a_sensor_over_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as caught:
        _decoded(tmp_path, dng(*SENSOR), limit_px=480 * 360 - 1)
    assert caught.value.kind is FailureKind.TOO_LARGE
    assert _decoded(tmp_path, dng(*SENSOR), limit_px=480 * 360)


def test_a_preview_that_claims_to_be_huge_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as in a worker
    preview = _preview()
    frame = preview.index(b"\xff\xc0") + 5
    bomb = preview[:frame] + struct.pack(">HH", 65500, 65500) + preview[frame + 4 :]
    decoded = _decoded(tmp_path, dng(*SENSOR, preview=preview).replace(preview, bomb))
    assert decoded.image.size == (240, 180)


@pytest.mark.parametrize("head", [b"FUJIFILMCCD-RAW ", b"IIRO\x08\0\0\0", b"IIU\0\x08\0\0\0", b"FOVb", b"\0MRM"])
@pytest.mark.parametrize("rest", [b"", bytes(500), b"\xff" * 500])
def test_a_raw_that_is_only_called_so_is_a_failure(tmp_path: Path, head: bytes, rest: bytes) -> None:
    with pytest.raises(PhotoError) as caught:
        _decoded(tmp_path, head + rest)
    assert caught.value.kind in (FailureKind.UNSUPPORTED, FailureKind.CORRUPT, FailureKind.TRUNCATED)


def test_a_dng_of_garbage_tags_is_a_failure_or_a_picture(tmp_path: Path) -> None:
    data = dng(96, 72)
    rng = np.random.default_rng(3)
    for _ in range(60):
        damaged = bytearray(data)
        for at in rng.integers(8, 400, 6):
            damaged[at] = rng.integers(256)
        with contextlib.suppress(PhotoError):
            assert _decoded(tmp_path, bytes(damaged)).image.mode == "RGB"
