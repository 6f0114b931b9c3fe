"""Every pixel format ends as the sRGB levels that arithmetic says, within one level."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from make_images import (
    ADOBE_RGB,
    adobe_to_srgb,
    chunk,
    encoded,
    levels,
    matrix_profile,
    picture,
    png,
    rgb16_png,
    smooth,
    srgb_profile,
    written,
)
from numpy.typing import NDArray
from PIL import Image, ImageCms

from rali.errors import PhotoError
from rali.photos.color import to_srgb
from rali.photos.decode import decode

WIDTH, HEIGHT = 64, 48
RAMP = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
RGB = levels(picture(WIDTH, HEIGHT))
GREY = levels(picture(WIDTH, HEIGHT).convert("L"))
ALPHA = np.tile(np.linspace(0, 255, WIDTH).round(), (HEIGHT, 1))

Array = NDArray[np.float64]


def _grey(values: Array) -> Array:
    return np.repeat(np.clip(values, 0, 255)[:, :, None], 3, axis=2)


def _over_white(rgb: Array, alpha: Array) -> Array:
    share = alpha[:, :, None] / 255
    return rgb * share + 255 * (1 - share)


def _image(values: Array, kind: type[np.generic], mode: str | None = None) -> Image.Image:
    image = Image.fromarray(values.round().astype(kind) if kind is not np.float32 else values.astype(kind))
    assert mode is None or image.mode == mode
    return image


def _with_alpha(values: Array, mode: str) -> Image.Image:
    channels = values if values.ndim == 3 else values[:, :, None]
    return Image.fromarray(np.concatenate([channels, ALPHA[:, :, None]], axis=2).astype(np.uint8), mode)


def _palette_picture() -> tuple[Image.Image, Array]:
    image = picture(WIDTH, HEIGHT).quantize(64)
    palette = np.array(image.getpalette()[: 64 * 3], dtype=np.float64).reshape(-1, 3)
    return image, palette[np.asarray(image)]


def _palette_alpha_png() -> tuple[bytes, Array]:
    image, expected = _palette_picture()
    alphas = bytes(range(0, 256, 4))
    alpha = np.frombuffer(alphas, np.uint8)[np.asarray(image)].astype(np.float64)
    return encoded(image, "png", transparency=alphas), _over_white(expected, alpha)


def _colour_key_png() -> tuple[bytes, Array]:
    image = Image.new("RGB", (WIDTH, HEIGHT), (10, 20, 30))
    image.paste((200, 100, 50), (0, 0, WIDTH // 2, HEIGHT))
    expected = levels(image)
    expected[:, WIDTH // 2 :] = 255
    return encoded(image, "png", transparency=(10, 20, 30)), expected


def _grey_key_png() -> tuple[bytes, Array]:
    image = Image.new("L", (WIDTH, HEIGHT), 10)
    image.paste(200, (0, 0, WIDTH // 2, HEIGHT))
    expected = np.where(np.arange(WIDTH) < WIDTH // 2, 200.0, 255.0)
    return encoded(image, "png", transparency=10), _grey(np.tile(expected, (HEIGHT, 1)))


def _cmyk() -> tuple[bytes, Array]:
    inks = np.stack([255 - RGB[:, :, 0], 255 - RGB[:, :, 1], 255 - RGB[:, :, 2], np.full(GREY.shape, 50.0)], axis=2)
    expected = (255 - inks[:, :, :3]) * (255 - inks[:, :, 3:]) / 255
    return encoded(Image.fromarray(inks.astype(np.uint8), "CMYK"), "tiff"), expected


def _lab() -> tuple[bytes, Array]:
    flat = np.linspace(0, 255, WIDTH).round()
    lab = np.zeros((HEIGHT, WIDTH, 3), np.uint8)  # no colour: grey of lightness L
    lab[:, :, 0] = flat
    lightness = flat / 255 * 100
    luminance = np.where(lightness > 8, ((lightness + 16) / 116) ** 3, lightness / 903.3)
    srgb = np.where(luminance <= 0.0031308, luminance * 12.92, 1.055 * luminance ** (1 / 2.4) - 0.055) * 255
    image = Image.frombytes("LAB", (WIDTH, HEIGHT), lab.tobytes())
    return encoded(image, "tiff"), _grey(np.tile(srgb, (HEIGHT, 1)))


def _png16() -> tuple[bytes, Array]:
    values = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2).round().astype(np.uint16)
    return rgb16_png(values), values / 257.0


def _png_grey16() -> tuple[bytes, Array]:
    values = RAMP.round().astype(">u2")
    return png(WIDTH, HEIGHT, 16, 0, values.tobytes()), _grey(RAMP / 257)


def _png_grey_bits(bits: int) -> tuple[bytes, Array]:
    top = 2**bits - 1
    values = (np.arange(WIDTH) % (top + 1)).astype(np.uint8)
    packed = np.packbits(np.unpackbits(values[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    return png(WIDTH, HEIGHT, bits, 0, packed * HEIGHT), _grey(np.tile(values * 255.0 / top, (HEIGHT, 1)))


BLACK_WHITE = picture(WIDTH, HEIGHT).convert("1")
# fmt: off
FILES: dict[str, Callable[[], tuple[bytes, Array]]] = {
    "1 bit tiff":          lambda: (encoded(BLACK_WHITE, "tiff"), _grey(levels(BLACK_WHITE) * 255)),
    "1 bit png":           lambda: _png_grey_bits(1),
    "2 bit png":           lambda: _png_grey_bits(2),
    "4 bit png":           lambda: _png_grey_bits(4),
    "grey":                lambda: (encoded(_image(GREY, np.uint8), "png"), _grey(GREY)),
    "grey, 16 bit png":    _png_grey16,
    "grey, 16 bit tiff":   lambda: (encoded(_image(RAMP, np.uint16), "tiff"), _grey(RAMP / 257)),
    "grey, 32 bit tiff":   lambda: (encoded(_image(RAMP * 32000, np.int32, "I"), "tiff"),
                                    _grey(RAMP * 32000 / 0x01010101)),
    "grey, 16 in 32 bits": lambda: (encoded(_image(RAMP, np.int32, "I"), "tiff"), _grey(RAMP / 257)),
    "float, 0 to 1":       lambda: (encoded(_image(RAMP / 65535, np.float32, "F"), "tiff"), _grey(RAMP / 257)),
    "float, 0 to 255":     lambda: (encoded(_image(RAMP / 257, np.float32, "F"), "tiff"), _grey(RAMP / 257)),
    "float, 0 to 65535":   lambda: (encoded(_image(RAMP, np.float32, "F"), "tiff"), _grey(RAMP / 257)),
    "grey and alpha":      lambda: (encoded(_with_alpha(GREY, "LA"), "png"), _over_white(_grey(GREY), ALPHA)),
    "grey and a key":      _grey_key_png,
    "rgb":                 lambda: (encoded(picture(WIDTH, HEIGHT), "png"), RGB),
    "rgb, 16 bit png":     _png16,
    "rgb and alpha":       lambda: (encoded(_with_alpha(RGB, "RGBA"), "png"), _over_white(RGB, ALPHA)),
    "rgb and alpha, webp": lambda: (encoded(_with_alpha(RGB, "RGBA"), "webp", lossless=True, exact=True),
                                    _over_white(RGB, ALPHA)),
    "rgb and a key":       _colour_key_png,
    "palette":             lambda: (encoded(_palette_picture()[0], "png"), _palette_picture()[1]),
    "palette and alpha":   _palette_alpha_png,
    "palette, gif":        lambda: (encoded(_palette_picture()[0], "gif"), _palette_picture()[1]),
    "cmyk":                _cmyk,
    "lab":                 _lab,
}
# fmt: on


@pytest.mark.parametrize("name", FILES)
def test_every_mode_ends_within_one_level_of_the_arithmetic(tmp_path: Path, name: str) -> None:
    data, expected = FILES[name]()
    decoded = decode(written(tmp_path / "photo", data), limit_px=1_000_000).image
    assert decoded.mode == "RGB"
    assert np.abs(levels(decoded) - expected.round()).max() <= 1


def test_a_float_picture_with_holes_keeps_the_rest() -> None:
    values = (RAMP / 65535).astype(np.float32)
    values[0, :3] = (np.nan, np.inf, -np.inf)
    values[1, 0] = -5
    srgb = levels(to_srgb(Image.fromarray(values)))
    assert np.abs(srgb[2:] - _grey(RAMP / 257)[2:]).max() <= 1
    assert srgb[0, :3].max() == 0
    assert srgb[1, 0].max() == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV"])
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 3)])
def test_every_mode_of_pillow_becomes_rgb_at_any_size(mode: str, size: tuple[int, int]) -> None:
    converted = to_srgb(Image.new(mode, size))
    assert (converted.mode, converted.size) == ("RGB", size)


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "I;16B", "LAB"])
def test_deep_modes_become_rgb_even_if_black(mode: str) -> None:
    assert to_srgb(Image.new(mode, (5, 4))).mode == "RGB"


# --- profiles -----------------------------------------------------------------------------------------------------


def _profiled(profile: bytes, image: Image.Image | None = None) -> Array:
    image = image or picture(WIDTH, HEIGHT)
    image.info["icc_profile"] = profile
    return levels(to_srgb(image))


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg", "webp"])
def test_a_wide_gamut_photo_is_converted_to_srgb(tmp_path: Path, kind: str) -> None:
    options = {"quality": 100, "subsampling": 0} if kind == "jpeg" else {"lossless": True} if kind == "webp" else {}
    photo = smooth(WIDTH, HEIGHT)
    plain = decode(written(tmp_path / "plain", encoded(photo, kind, **options)), limit_px=1_000_000).image
    data = encoded(photo, kind, icc_profile=ADOBE_RGB, **options)
    wide = decode(written(tmp_path / "wide", data), limit_px=1_000_000).image
    expected = adobe_to_srgb(levels(plain))
    difference = np.abs(levels(wide) - expected)
    assert difference.mean() < 0.6
    assert np.percentile(difference, 99) <= 2
    assert np.abs(expected - levels(plain)).mean() > 3, "the profile should matter"


def test_a_photo_that_says_srgb_is_not_touched() -> None:
    assert (_profiled(srgb_profile()) == RGB).all()


@pytest.mark.parametrize(
    "profile",
    [b"x", b"\0" * 128, ADOBE_RGB[:200], ADOBE_RGB[:128] + b"\xff" * 400, srgb_profile()[:-100]],
    ids=["one byte", "zeros", "cut", "ones", "cut at its end"],
)
def test_a_broken_profile_is_ignored(profile: bytes) -> None:
    assert (_profiled(profile) == RGB).all()


def test_a_profile_for_other_channels_is_ignored() -> None:
    assert (_profiled(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()) == RGB).all()
    grey = Image.fromarray(GREY.astype(np.uint8))
    assert (_profiled(ADOBE_RGB, grey) == _grey(GREY)).all()


def test_a_profile_holds_for_a_palette_and_under_transparency() -> None:
    colours = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
    image = Image.new("RGB", (3, 1))
    for x, colour in enumerate(colours):
        image.putpixel((x, 0), colour)
    expected = adobe_to_srgb(levels(image))
    for picture_ in (image.quantize(3, dither=Image.Dither.NONE), image.convert("RGBA")):
        assert np.abs(_profiled(ADOBE_RGB, picture_) - expected).max() <= 2


def test_a_profile_that_swaps_colours_is_obeyed() -> None:
    swapped = matrix_profile(
        (0.1430804, 0.0606169, 0.7141733), (0.3850649, 0.7168786, 0.0971045), (0.4360747, 0.2225045, 0.0139322), 2.2
    )
    photo = _profiled(swapped, Image.new("RGB", (4, 4), (250, 10, 10)))
    assert photo[0, 0, 2] > 240
    assert photo[0, 0, 0] < 30


def test_a_compressed_profile_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    bomb = chunk(b"iCCP", b"rali\0\0" + zlib.compress(bytes(64 << 20)))
    data = png(WIDTH, HEIGHT, 8, 2, picture(WIDTH, HEIGHT).tobytes(), extra=bomb)
    with pytest.raises(PhotoError, match="too large"):
        decode(written(tmp_path / "photo.png", data), limit_px=1_000_000)


def test_the_reference_profile_is_one_that_colour_management_reads() -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(ADOBE_RGB))
    assert profile.profile.xcolor_space.strip() == "RGB"
    assert "rali wide" in (profile.profile.profile_description or "")
