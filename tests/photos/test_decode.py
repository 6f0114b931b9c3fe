"""A file becomes an upright picture of all of its content, or a failure that says why; nothing else."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_images import (
    WRITABLE,
    directory,
    encoded,
    every_format,
    exif,
    levels,
    lying,
    mean_difference,
    picture,
    png_header_of,
    smooth,
    written,
)
from PIL import Image

from rali.errors import FailureKind, PhotoError
from rali.photos.decode import Decoded, decode

LIMIT = 10_000_000
FILES = every_format()
# What a file of which a part is missing may be called; never a success.
DAMAGED = {FailureKind.EMPTY, FailureKind.UNSUPPORTED, FailureKind.TRUNCATED, FailureKind.CORRUPT}


def _decoded(tmp_path: Path, data: bytes, name: str = "photo", **options: int) -> Decoded:
    return decode(written(tmp_path / name, data), **{"limit_px": LIMIT, **options})


def _failure(tmp_path: Path, data: bytes, name: str = "photo", **options: int) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        _decoded(tmp_path, data, name, **options)
    assert "\n" not in caught.value.message
    return caught.value


# --- whole files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_format_decodes_to_its_picture(tmp_path: Path, name: str) -> None:
    format, data = FILES[name]
    decoded = _decoded(tmp_path, data, preview_px=64)
    assert decoded.format is format
    assert decoded.image.mode == "RGB"
    assert decoded.state.size_bytes == len(data)
    if name != "dng":
        assert decoded.image.size == (decoded.width, decoded.height)
        expected = picture(*decoded.image.size)
        grey = expected.convert("L").convert("RGB")
        assert mean_difference(decoded.image, grey if "grey" in name else expected) < 8


@pytest.mark.parametrize("name", FILES)
def test_the_name_of_a_file_does_not_matter(tmp_path: Path, name: str) -> None:
    format, data = FILES[name]
    images = set()
    for wrong in ("photo.jpg", "photo.png", "photo.nef", "photo", "photo.txt"):
        decoded = _decoded(tmp_path, data, wrong)
        assert decoded.format is format
        images.add(decoded.image.tobytes())
    assert len(images) == 1


@pytest.mark.parametrize("kind", ["gif", "webp", "png", "tiff", "avif"])
def test_of_several_pictures_the_first_is_taken_and_that_is_noted(tmp_path: Path, kind: str) -> None:
    frames = [picture(48, 36, seed) for seed in (1, 2, 3)]
    options = {"lossless": True} if kind == "webp" else {"speed": 10} if kind == "avif" else {}
    alone = _decoded(tmp_path, encoded(frames[0], kind, **options))
    several = _decoded(tmp_path, encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert mean_difference(several.image, alone.image) < 3
    assert (len(alone.notes), len(several.notes)) == (0, 1)


def test_a_tiff_of_many_directories_is_read_at_once_and_a_loop_of_them_ends(tmp_path: Path) -> None:
    count, pixels = 20_000, bytes(32 * 24 * 3)
    tags: dict[int, tuple[int, list[int] | bytes]] = {
        256: (4, [32]), 257: (4, [24]), 258: (3, [8, 8, 8]), 259: (3, [1]), 262: (3, [2]), 273: (4, [0]),
        277: (3, [3]), 278: (4, [24]), 279: (4, [len(pixels)]),
    }  # fmt: skip
    step = len(directory(8, tags))
    tags[273] = (4, [8 + count * step])
    ifds = [directory(8 + step * at, tags, 8 + step * (at + 1)) for at in range(count - 1)]
    for last in (0, 8):
        data = b"II*\0\x08\0\0\0" + b"".join(ifds) + directory(8 + step * (count - 1), tags, last) + pixels
        started = time.monotonic()
        assert _decoded(tmp_path, data).image.size == (32, 24)
        assert time.monotonic() - started < 5


# --- files that are none, or not all there ------------------------------------------------------------------------


def test_an_empty_file_is_a_failure_of_its_own_kind(tmp_path: Path) -> None:
    assert _failure(tmp_path, b"").kind is FailureKind.EMPTY


@pytest.mark.parametrize(
    "data",
    [
        b"garbage" * 100,
        bytes(10_000),
        b"x",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"\x00\x00\x01\x00\x01\x00\x10\x10" + bytes(100),
        b"P6 4 4 255\n" + bytes(48),
    ],
    ids=["text", "zeros", "one byte", "eps", "pdf", "svg", "ico", "ppm"],
)
@pytest.mark.parametrize("name", ["photo.jpg", "photo.nef"])
def test_what_is_no_photo_is_refused_whatever_its_name(tmp_path: Path, data: bytes, name: str) -> None:
    assert _failure(tmp_path, data, name).kind is FailureKind.UNSUPPORTED


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_a_failure_wherever_it_was_cut(tmp_path: Path, name: str) -> None:
    _, data = FILES[name]
    cuts = {len(data) * part // 16 for part in range(16)} | {len(data) - lost for lost in range(1, 9)}
    for cut in sorted(cuts):
        failure = _failure(tmp_path, data[:cut], preview_px=64)
        assert failure.kind in DAMAGED, f"cut to {cut} of {len(data)} bytes"
    assert _failure(tmp_path, data[: len(data) // 2], preview_px=64).kind is FailureKind.TRUNCATED


@pytest.mark.parametrize("name", ["jpeg", "jpeg-progressive", "png", "tiff-lzw", "gif"])
def test_a_half_copied_file_filled_up_with_zeros_is_not_scored_half_grey(tmp_path: Path, name: str) -> None:
    _, data = FILES[name]
    assert _failure(tmp_path, data[: len(data) // 2].ljust(len(data), b"\0")).kind in DAMAGED


def test_damage_inside_a_png_is_a_failure_and_no_bad_exif(tmp_path: Path) -> None:
    _, data = FILES["png"]
    at = data.index(b"IDAT") + 400
    assert _failure(tmp_path, data[:at] + b"zzzz" + data[at + 4 :]).kind is FailureKind.CORRUPT
    assert _failure(tmp_path, data[:6000] + data[-12:]).kind in DAMAGED


# --- the file system ----------------------------------------------------------------------------------------------


def test_a_file_that_is_gone_or_a_folder_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as gone:
        decode(str(tmp_path / "gone.jpg"), limit_px=LIMIT)
    assert gone.value.kind is FailureKind.VANISHED
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(PhotoError) as folder:
        decode(str(tmp_path / "folder.jpg"), limit_px=LIMIT)
    assert folder.value.kind is FailureKind.UNREADABLE


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(tmp_path: Path) -> None:
    file = Path(written(tmp_path / "photo.jpg", FILES["jpeg"][1]))
    file.chmod(0)
    with pytest.raises(PhotoError) as caught:
        decode(str(file), limit_px=LIMIT)
    assert caught.value.kind is FailureKind.UNREADABLE


@pytest.mark.parametrize("name", ["jpeg", "tiff"])  # one is read, one is mapped
def test_a_file_that_changes_while_it_is_read_is_a_failure(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path / "photo", FILES[name][1])
    real = Image.open

    def touching(*args: object, **options: object) -> Image.Image:
        os.utime(file, ns=(1, 1))
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", touching)
    with pytest.raises(PhotoError) as caught:
        decode(file, limit_px=LIMIT)
    assert caught.value.kind is FailureKind.CHANGED


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    for kind in WRITABLE:
        file = Path(os.fsdecode(os.fsencode(tmp_path) + f"/caf\\xe9.{kind}".encode("latin-1")))
        assert decode(written(file, encoded(picture(), kind)), limit_px=LIMIT).image.size == (160, 120)


# --- sizes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (65535, 1), (1, 65535), (65500, 8)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff", "gif"])
def test_the_oddest_sizes_are_decoded_or_refused(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    try:
        data = encoded(Image.new("RGB", size, "red"), kind)
    except OSError:
        pytest.skip("the encoder cannot")
    decoded = _decoded(tmp_path, data, reduce_to_px=768)
    assert (decoded.width, decoded.height) == size


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (13_000, 13_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_its_pixels_are_decoded(tmp_path: Path, width: int, height: int) -> None:
    assert _failure(tmp_path, png_header_of(width, height), limit_px=150_000_000).kind is FailureKind.TOO_LARGE


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
def test_a_bomb_costs_no_memory(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{side}.png", png_header_of(side, side)) for side in (50_000, 13_000)]
    child = textwrap.dedent("""
        import resource, sys
        from PIL import Image
        from rali.photos.decode import decode
        from rali.errors import PhotoError
        Image.MAX_IMAGE_PIXELS = None
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))
        for limit_px in (150_000_000, 5_000_000_000):
            for file in sys.argv[1:]:
                try:
                    decode(file, limit_px=limit_px)
                except PhotoError as error:
                    print(error.kind)
    """)
    done = subprocess.run([sys.executable, "-c", child, *files], capture_output=True, text=True, timeout=25, check=True)
    assert done.stdout.split() == ["too-large"] * 4


def test_a_photo_of_200_megapixels_is_under_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as in a worker
    header = png_header_of(16_320, 12_240)
    with pytest.raises(PhotoError) as caught:
        _decoded(tmp_path, header, limit_px=199_756_799)
    assert caught.value.kind is FailureKind.TOO_LARGE

    def loaded(_: object) -> None:
        raise OSError("got as far as the pixels")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", loaded)  # spares 600 MB
    with pytest.raises(PhotoError, match="as far as the pixels"):
        _decoded(tmp_path, header, limit_px=199_756_800)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_real_photo_of_200_megapixels_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    file = tmp_path / "large.jpg"
    smooth(1020, 765).resize((16_320, 12_240)).save(file, quality=80)
    decoded = decode(str(file), limit_px=500_000_000)
    assert decoded.image.size == (16_320, 12_240)


# --- orientation --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff", "webp", "jpeg", "avif", "heif"])
def test_each_orientation_ends_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    upright = smooth(96, 64)
    options: dict[str, object] = {"lossless": True} if kind == "webp" else {}
    if kind in ("jpeg", "avif", "heif"):
        options = {"quality": 95}
    data = encoded(lying(upright, orientation), kind, exif=exif(orientation).tobytes(), **options)
    if kind == "heif":  # pillow_heif turns while it writes; what it wrote must come out as it went in
        upright = lying(upright, orientation) if _decoded(tmp_path, data).image.size != upright.size else upright
    decoded = _decoded(tmp_path, data)
    assert decoded.image.size == (decoded.width, decoded.height) == upright.size
    difference = mean_difference(decoded.image, upright)
    assert difference == 0 if kind in ("png", "tiff", "webp") else difference < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(1000, 999), (999, 1000), (1000, 1000)])
def test_width_and_height_are_the_photos_own_after_a_reduced_decode(
    tmp_path: Path, orientation: int, size: tuple[int, int]
) -> None:
    data = encoded(Image.new("RGB", size), "jpeg", exif=exif(orientation).tobytes())
    decoded = _decoded(tmp_path, data, reduce_to_px=100)
    assert (decoded.width, decoded.height) == (size if orientation < 5 else size[::-1])


# --- the fast recipe ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_reduced_decode_keeps_twice_the_models_input_and_its_look(
    tmp_path: Path, mode: str, progressive: bool
) -> None:
    data = encoded(picture(1200, 800).convert(mode), "jpeg", quality=90, progressive=progressive)
    full, reduced = _decoded(tmp_path, data), _decoded(tmp_path, data, reduce_to_px=384)
    assert reduced.image.size == (600, 400)
    assert (reduced.width, reduced.height) == (full.width, full.height) == (1200, 800)
    assert reduced.content_hash == full.content_hash
    size = (288, 192)
    one, other = (decoded.image.resize(size, Image.Resampling.BICUBIC) for decoded in (full, reduced))
    assert mean_difference(one, other) < 1.5


@pytest.mark.parametrize(
    ("short_px", "expected"), [(300, 300), (384, 384), (767, 767), (768, 384), (1535, 768), (1536, 384), (3100, 388)]
)
def test_a_reduced_decode_never_falls_below_what_was_asked_for(tmp_path: Path, short_px: int, expected: int) -> None:
    data = encoded(Image.new("RGB", (short_px + 9, short_px)), "jpeg")
    assert min(_decoded(tmp_path, data, reduce_to_px=384).image.size) == expected


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "bmp"])
def test_only_a_jpeg_is_reduced(tmp_path: Path, kind: str) -> None:
    assert _decoded(tmp_path, encoded(picture(800, 600), kind), reduce_to_px=64).image.size == (800, 600)


# --- anything at all ----------------------------------------------------------------------------------------------

SMALL = {name: data for name, (_, data) in FILES.items() if len(data) < 30_000}


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """One of our files with some bytes changed, taken out or put in."""
    data = bytearray(SMALL[draw(st.sampled_from(sorted(SMALL)))])
    for _ in range(draw(st.integers(1, 8))):
        # Most of what can go wrong stands in the headers.
        at = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([64, 512, 30_000])))))
        change = draw(st.sampled_from(["byte", "word", "cut", "insert", "double"]))
        if change == "byte":
            data[at] = draw(st.integers(0, 255))
        elif change == "word":
            data[at : at + 4] = struct.pack("<I", draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])))
        elif change == "cut" and len(data) > 100:
            del data[at : at + draw(st.integers(1, 50))]
        elif change == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        else:
            data[at:at] = data[at : at + 100]
    return bytes(data)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
def test_of_mutated_photos_only_our_own_error_escapes(tmp_path: Path, data: bytes) -> None:
    file = written(tmp_path / "mutated", data)
    with contextlib.suppress(PhotoError):
        decoded = decode(file, reduce_to_px=48, preview_px=48, limit_px=1_000_000)
        assert decoded.image.mode == "RGB"
        assert decoded.shot.orientation in range(1, 9)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([b"", *(data[:32] for data in SMALL.values())]), st.binary(max_size=400))
def test_of_random_bytes_only_our_own_error_escapes(tmp_path: Path, head: bytes, data: bytes) -> None:
    file = written(tmp_path / "random", head + data)
    with contextlib.suppress(PhotoError):
        decode(file, limit_px=1_000_000)


# --- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_the_eight_orientations_of_a_real_photo_show_the_same(shared: Path, shape: str) -> None:
    pictures = []
    for number in range(1, 9):
        decoded = decode(str(shared / "photos" / "orientation" / f"{shape}_{number}.jpg"), limit_px=LIMIT)
        assert decoded.shot.orientation == number
        assert (decoded.width > decoded.height) == (shape == "Landscape")
        pictures.append(decoded.image.resize((60, 60), Image.Resampling.BOX))
    for other in pictures[1:]:
        # The number of the file is drawn into each of them.
        assert np.median(np.abs(levels(pictures[0]) - levels(other))) < 4


def test_every_broken_file_decodes_or_says_why_not(shared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = sorted((shared / "photos" / "broken").iterdir())
    assert len(files) > 90
    for file in files:
        try:
            decoded = decode(str(file), limit_px=LIMIT)
        except PhotoError as error:
            reason = error.message
        else:
            reason = decoded.image.mode
        assert reason
        assert "\n" not in reason
    capfd.readouterr()  # libtiff writes to stderr by itself


@pytest.mark.slow
def test_every_odd_file_of_a_modern_format_decodes_or_says_why_not(shared: Path) -> None:
    outcomes: dict[str, list[str]] = {}
    for file in sorted((shared / "photos" / "formats").iterdir()):
        try:
            decoded = decode(str(file), limit_px=50_000_000, preview_px=384)
        except PhotoError as error:
            outcomes.setdefault(str(error.kind), []).append(file.name)
        else:
            assert decoded.image.mode == "RGB"
            outcomes.setdefault("ok", []).append(file.name)
    assert len(outcomes["ok"]) >= 85
    assert all(name.endswith(".jxl") for name in outcomes["unsupported"])
    assert "pillow_heif__truncated.heic" in outcomes["truncated"]


def test_no_half_of_a_real_camera_jpeg_is_scored(shared: Path, tmp_path: Path) -> None:
    for file in sorted((shared / "photos" / "cameras").glob("*.jpg"))[::12]:
        data = file.read_bytes()
        with contextlib.suppress(PhotoError):
            decode(str(file), limit_px=LIMIT)
            for part in range(1, 16, 3):
                assert _failure(tmp_path, data[: len(data) * part // 16]).kind in DAMAGED


def test_a_decoded_picture_needs_its_file_no_more(tmp_path: Path) -> None:
    for _, data in FILES.values():
        decoded = _decoded(tmp_path, data)
        os.unlink(tmp_path / "photo")
        assert io.BytesIO(decoded.image.tobytes()).getbuffer().nbytes == np.prod(decoded.image.size) * 3
