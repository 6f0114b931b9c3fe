"""Any picture that Pillow opens, as 8-bit sRGB.

Pillow's own ``convert("RGB")`` clips 16-bit grey to white and turns float pictures black, so depth is scaled here.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_PROFILE_SPACE = {"RGB": "RGB", "RGBX": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert a loaded picture of any mode to ``RGB``.

    16-bit and float channels are scaled, transparency is laid over white, an embedded ICC profile is honoured if it
    fits the picture's channels (a broken one is ignored), and CMYK and LAB without a profile use Pillow's formulas.
    """
    profile = image.info.get("icc_profile")
    image = _to_eight_bit(image)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    elif "transparency" in image.info and image.mode in ("L", "RGB", "1"):
        image = image.convert("RGBA")
    if image.mode in _ALPHA_MODES:
        image = _over_white(image)
    if image.mode == "1":
        image = image.convert("L")
    if profile:
        image = _apply_profile(image, profile)
    if image.mode == "LAB":
        image = _lab_to_srgb(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def as_stored(image: Image.Image) -> Image.Image:
    """Convert a loaded picture to ``RGB`` with its channel values as the file has them: no profile, no transparency.

    This is how the authors of RALI decode (Pillow's ``convert("RGB")``), but for grey of more than 8 bits, which that
    clips to white and which is scaled here.
    """
    image = _to_eight_bit(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bit(image: Image.Image) -> Image.Image:
    """Scale grey of 16 or 32 bits, integer or float, to 8 bits; leave every other mode alone."""
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image, dtype=np.float64) / 257)
    if image.mode == "I":
        # Pillow reads 16-bit PNG and 32-bit TIFF into the same mode; only the values tell which it was.
        values = np.asarray(image).astype(np.int64) & 0xFFFFFFFF
        return _grey(values / (257 if values.max(initial=0) <= 0xFFFF else 0x01010101))
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        peak = values.max(initial=0.0)
        # Float pictures run from 0 to 1 by convention; those that do not were scaled from 8 or 16 bits.
        return _grey(values * (255 if peak <= 1 else 1 if peak <= 255 else 1 / 257))
    return image


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(values.clip(0, 255)).astype(np.uint8), mode="L")


def _over_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _PROFILE_SPACE.get(image.mode) or _is_srgb(source):
            return image
        return _transform(profile, image.mode).apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Make what converts from a profile: 2 ms, and the photos of a camera all have the same one."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, _srgb_profile(), mode, "RGB")


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Tell the many copies of sRGB, which need no conversion: it would round every pixel once more."""
    return "srgb" in (profile.profile.profile_description or "").lower()


@lru_cache(maxsize=1)
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _lab_to_srgb(image: Image.Image) -> Image.Image:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    transform = ImageCms.buildTransform(lab, _srgb_profile(), "LAB", "RGB")
    return transform.apply(image)
