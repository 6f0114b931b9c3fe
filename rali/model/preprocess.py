"""From an upright RGB picture to the square of pixels that a model sees.

Free of torch on purpose: decoding workers run this, and a worker that imported torch would cost 200 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rali.errors import FailureKind, PhotoError

# A change of anything in this module that changes a pixel needs a new number: it is part of every score's recipe.
PREPROCESS_VERSION = 1
# A line of pixels, 1 x 5000, would be blown up to two million columns before its middle is cut out.
MAX_ASPECT = 50


@dataclass(frozen=True)
class Preprocessing:
    """How a model wants its pictures: CLIP's resize and crop, with the model's own numbers.

    Attributes:
        resize_px: length of the short edge after resizing.
        crop_px: side of the centre crop, at most ``resize_px``.
        mean, std: per channel, of pixel values in 0 to 1.
        resample: Pillow's name of the filter, in lower case.
        as_stored: take channel values as the file has them, without regard to its colour profile and transparency, as
            the authors of RALI do; otherwise they are converted to sRGB, over white.
    """

    resize_px: int
    crop_px: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resample: str = "bicubic"
    as_stored: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.crop_px <= self.resize_px <= 4096:
            raise ValueError(f"cannot crop {self.crop_px} pixels from a short edge of {self.resize_px}")
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError("mean and std need three channels, std above zero")
        if self.resample.upper() not in Image.Resampling.__members__:
            raise ValueError(f"unknown resampling {self.resample!r}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Read what :meth:`to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or makes no sense.
        """
        mean = tuple(float(value) for value in values["mean"])
        std = tuple(float(value) for value in values["std"])
        resample = str(values.get("resample", "bicubic"))
        return cls(
            resize_px=int(values["resize_px"]),
            crop_px=int(values["crop_px"]),
            mean=mean,  # type: ignore[arg-type]
            std=std,  # type: ignore[arg-type]
            resample=resample,
            as_stored=bool(values.get("as_stored", False)),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for a bundle's header."""
        # A default is left out, so that a new field with a default changes no model's identity.
        defaults = {field.name: field.default for field in fields(self)}
        return {name: value for name, value in asdict(self).items() if value != defaults[name]}

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the model's input."""
        return (self.crop_px, self.crop_px, 3)

    def resize(self, image: Image.Image) -> Image.Image:
        """Scale ``image`` (RGB) so that its short edge is ``resize_px``.

        Raises:
            PhotoError: the picture is more than 50 times as long as it is wide.
        """
        width, height = image.size
        short, long = sorted((width, height))
        if long > MAX_ASPECT * short:
            raise PhotoError(FailureKind.UNSUPPORTED, f"{width} x {height} is too narrow to be scored")
        # int() truncates, as the authors' image processor does: 6016 x 4016 becomes 575 x 384.
        target = int(self.resize_px * long / short)
        size = (self.resize_px, target) if width <= height else (target, self.resize_px)
        return image if image.size == size else image.resize(size, Image.Resampling[self.resample.upper()])

    def crop(self, resized: Image.Image) -> NDArray[np.uint8]:
        """Cut the centre square out of a resized picture: uint8 [crop_px, crop_px, 3]."""
        width, height = resized.size
        left, top = (width - self.crop_px) // 2, (height - self.crop_px) // 2
        return np.asarray(resized.crop((left, top, left + self.crop_px, top + self.crop_px)))
