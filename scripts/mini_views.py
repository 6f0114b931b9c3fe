"""What the embedded model is trained on: photos, views of them, and copies ruined in ways whose cost is known."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from rali.model.preprocess import Preprocessing

SEED = 2510
# TensorFlow's normalisation (x - 127) / 128 of the original weights, on pixels in 0 to 1.
PREPROCESSING = Preprocessing(384, 384, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)

PRISTINE_KADID_MEAN = 4.6  # what KADID's raters give distortions that nobody sees
WORST_SCORE = 5.0
WORTH_RUINING = 50.0
RUINED_COPIES = 3
CROP_WEIGHT = 0.5
RUINED_WEIGHT = 0.1  # 0.3 costs 0.01 SRCC on photos that nobody ruined
BLANK_FRAMES = 60
BLANK_SCORE = 8.0


Pixels = NDArray[np.uint8]
View = tuple[Pixels, float, float, int]  # pixels, score, weight in the loss, photo number

# KADID-10k's settings of levels 1 to 5, for those of its distortions that a few lines can make. Its pictures are
# 512x384, ours 384x384, so a blur of so many pixels means the same.
DISTORTIONS: dict[str, tuple[float, ...]] = {
    "gaussian blur": (0.1, 0.5, 1, 2, 5),
    "lens blur": (1, 2, 4, 6, 8),
    "motion blur": (1, 2, 4, 6, 10),
    "JPEG": (43, 36, 24, 7, 4),
    "white noise": (0.001, 0.002, 0.003, 0.005, 0.01),
    "impulse noise": (0.001, 0.005, 0.01, 0.02, 0.03),
    "multiplicative noise": (0.001, 0.005, 0.01, 0.02, 0.05),
    "darken": (0.05, 0.1, 0.2, 0.4, 0.8),
    "pixelate": (0.01, 0.05, 0.1, 0.2, 0.5),
}


def distort(picture: Pixels, name: str, strength: float, rng: np.random.Generator) -> Pixels:
    """Degrade ``picture`` [H, W, 3] as KADID-10k does; lens blur, darken and pixelate only nearly so."""
    image, x = Image.fromarray(picture), picture / 255.0
    side = picture.shape[0]
    match name:
        case "gaussian blur":
            return np.asarray(image.filter(ImageFilter.GaussianBlur(strength)))
        case "lens blur":  # a Gaussian as wide as the disc: a disc of radius r has a deviation of r / 2
            return np.asarray(image.filter(ImageFilter.GaussianBlur(strength / 2)))
        case "motion blur":
            x = np.mean([np.roll(x, shift, axis=1) for shift in range(-round(strength), round(strength) + 1)], axis=0)
        case "JPEG":
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=int(strength))
            return np.asarray(Image.open(buffer))
        case "white noise":
            x = x + rng.normal(0, strength**0.5, x.shape)
        case "multiplicative noise":
            x = x * (1 + rng.normal(0, strength**0.5, x.shape))
        case "impulse noise":
            draw = rng.random(x.shape)
            x = np.where(draw < strength / 2, 0, np.where(draw < strength, 1, x))
        case "darken":
            x = x ** (1 + 2 * strength)
        case "pixelate":
            small = max(2, round(side / (1 + 14 * strength)))
            coarse = image.resize((small, small), Image.Resampling.BILINEAR)
            return np.asarray(coarse.resize((side, side), Image.Resampling.NEAREST))
        case _:
            raise ValueError(f"unknown distortion {name!r}")
    ruined: Pixels = np.rint(x.clip(0, 1) * 255).astype(np.uint8)
    return ruined


def read_scores(path: Path) -> list[tuple[Path, float]]:
    """Read a Data-DeQA-Score file: each photo's path and mean opinion score."""
    return [(path.parent / entry["image"], float(entry["gt_score"])) for entry in json.loads(path.read_text("utf-8"))]


def seen(image: Image.Image) -> Pixels:
    """Return what the model sees of ``image``: uint8 [384, 384, 3]."""
    return PREPROCESSING.crop(PREPROCESSING.resize(image))


def training_views(scored: list[tuple[Path, float]], kadid: Path) -> Iterator[View]:
    """Yield pixels, score, weight and photo number: each photo as it is and mirrored, crops of it, ruined copies of it.

    The ruined copies teach what this data set hardly shows. KADID-10k says how much of its quality a pristine photo
    keeps under a distortion; a good photo is taken to keep the same share of what it has above WORST_SCORE.
    """
    with kadid.open(encoding="utf-8") as file:
        means = {(row["distortion"], int(row["level"])): float(row["mean"]) for row in csv.DictReader(file)}
    kept = {key: min(1.0, (mean - 1) / (PRISTINE_KADID_MEAN - 1)) for key, mean in means.items()}
    rng = np.random.default_rng(SEED)
    for number, (path, score) in enumerate(scored):
        image = Image.open(path).convert("RGB")
        whole = seen(image)
        yield whole, score, 1.0, number
        yield whole[:, ::-1], score, 1.0, number
        for mirrored in (False, True):
            side = round(min(image.size) * rng.uniform(0.8, 1.0))
            left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
            part = seen(image.crop((left, top, left + side, top + side)))
            yield part[:, ::-1] if mirrored else part, score, CROP_WEIGHT, number
        for _ in range(RUINED_COPIES if score >= WORTH_RUINING else 0):
            name, level = str(rng.choice(list(DISTORTIONS))), int(rng.integers(1, 6))
            ruined = distort(whole, name, DISTORTIONS[name][level - 1], rng)
            yield ruined, WORST_SCORE + (score - WORST_SCORE) * kept[name, level], RUINED_WEIGHT, number
    for number in range(BLANK_FRAMES):  # lens caps and blown skies: no photo of the data set is that empty
        colour = rng.integers(0, 256, 3) if number % 2 else np.full(3, 255 * number // (BLANK_FRAMES - 2))
        grain = rng.normal(0, rng.choice([0, 1, 4]), (384, 384, 3))
        blank = (colour + grain).clip(0, 255).astype(np.uint8)
        yield blank, BLANK_SCORE, RUINED_WEIGHT, len(scored) + number
