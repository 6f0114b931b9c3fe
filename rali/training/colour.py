"""sRGB, linear light and CIE Lab, by look-up tables: quick enough to ruin a picture while it is being trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # [H, W, 3], sRGB
Floats = NDArray[np.float32]

# IEC 61966-2-1: the transfer curve, and sRGB's primaries in CIE XYZ under D65.
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
LUMINANCE = RGB_TO_XYZ[1]  # weights of linear R, G, B
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601: weights of R, G, B as stored

STEPS = 65535  # of linear light; one step moves the darkest tone by a twentieth of a grey level
KNEE = 6 / 29  # where CIE Lab's cube root turns into a straight line

_stored = np.arange(256) / 255
_light = np.arange(STEPS + 1) / STEPS
_power = ((_stored + 0.055) / 1.055) ** 2.4
_TO_LINEAR: Floats = np.where(_stored <= 0.04045, _stored / 12.92, _power).astype(np.float32)
_curve = np.where(_light <= 0.0031308, 12.92 * _light, 1.055 * _light ** (1 / 2.4) - 0.055)
_TO_SRGB: Pixels = np.rint(255 * _curve).astype(np.uint8)
_TO_F: Floats = np.where(_light > KNEE**3, np.cbrt(_light), _light / (3 * KNEE**2) + 4 / 29).astype(np.float32)

# Rows that sum to 1, so that white is (1, 1, 1) and grey has no colour in Lab.
_WHITENED = RGB_TO_XYZ / RGB_TO_XYZ.sum(axis=1, keepdims=True)
_UNWHITENED = np.linalg.inv(_WHITENED)


def _steps(light: Floats) -> NDArray[np.uint16]:
    return np.asarray(light.clip(0, 1) * STEPS + 0.5, np.uint16)


def to_linear(picture: Pixels) -> Floats:
    """Turn sRGB uint8 into linear light, 0 to 1."""
    return _TO_LINEAR[picture]


def to_srgb(light: Floats) -> Pixels:
    """Turn linear light into sRGB uint8; what lies outside 0 to 1 is clipped."""
    return _TO_SRGB[_steps(light)]


def to_lab(picture: Pixels) -> tuple[Floats, Floats, Floats]:
    """Return CIE Lab planes [H, W] of sRGB: L from 0 to 100, a and b about -110 to 110."""
    f = _TO_F[_steps(to_linear(picture) @ _WHITENED.T)]  # [H, W, 3]
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def from_lab(lightness: Floats, a: Floats, b: Floats) -> Pixels:
    """Return sRGB of CIE Lab planes [H, W]; colours that sRGB has not are clipped channel by channel."""
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)  # [H, W, 3]
    xyz = np.where(f > KNEE, f * f * f, 3 * KNEE**2 * (f - 4 / 29))
    return to_srgb(xyz @ _UNWHITENED.T)


def as_pixels(x: Floats) -> Pixels:
    """Round values of 0 to 1 to uint8; what lies outside is clipped."""
    return np.asarray(x.clip(0, 1) * 255 + 0.5, np.uint8)


def as_floats(picture: Pixels) -> Floats:
    """Turn uint8 into values of 0 to 1, as stored (not linear light)."""
    return picture * np.float32(1 / 255)
