"""What the embedded model's head is trained on: photos, views of them, and ruined copies, with what is wrong."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rali.model.preprocess import Preprocessing
from rali.training.distortions import KINDS, Family, distort
from rali.training.faults import Fault, compress, expose, moved, shrunk, worsened
from rali.training.words import DESCRIPTIONS, NOTHING_WRONG, Description, Strength, description_of

SEED = 2510
# TensorFlow's normalisation (x - 127) / 128 of the original weights, on pixels in 0 to 1. Kernel regression on what the
# ImageNet weights make of all 929, in ten folds: SRCC 0.841 for all of the photo at 384 px, 0.849 for the middle 384 of
# 512, 0.853 for the middle 448.
PREPROCESSING = Preprocessing(512, 448, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)

PRISTINE_KADID_MEAN = 4.6  # what KADID's raters give distortions that nobody sees
WORST_SCORE = 5.0
RUINED_COPIES = 4
CROP_WEIGHT = 0.5
GREY_WEIGHT = 0.5
TWIN_WEIGHT = 0.4
RUINED_WEIGHT = 0.1  # 0.3 costs 0.01 SRCC on photos that nobody ruined
SMALL_COPIES = 3  # of each photo
SMALL_WEIGHT = 0.6
# How often a photo gets a fault, and then more of it. More light is what is hardest to learn: dark photos gain by it.
LADDERS = Counter[Fault]({"overexposure": 3, "underexposure": 2, "noise": 1, "blur": 1, "compression": 1})
BLANK_FRAMES = 60
BLANK_SCORE = 8.0
# Photographers' own faults, which KADID's curves in sRGB hardly are: stops, what is left of the quality, and in words.
EXPOSURES: tuple[tuple[float, float, Family, Strength], ...] = (
    (-1, 0.85, Family.UNDEREXPOSED, Strength.SLIGHT),
    (-2, 0.6, Family.UNDEREXPOSED, Strength.MODERATE),
    (-3, 0.35, Family.UNDEREXPOSED, Strength.STRONG),
    (-4, 0.15, Family.UNDEREXPOSED, Strength.STRONG),
    (1, 0.8, Family.OVEREXPOSED, Strength.SLIGHT),
    (2, 0.5, Family.OVEREXPOSED, Strength.MODERATE),
    (3, 0.2, Family.OVEREXPOSED, Strength.STRONG),
)
EXPOSED_SHARE = 0.2  # of the ruined copies

Pixels = NDArray[np.uint8]


class Role(IntEnum):
    """What a view is to its photo."""

    NATURAL = 0  # the photo as it is, mirrored, a part of it, or without colour: as good
    TWIN = 1  # saved again, or moved by part of a pixel: as good, to the point
    RUINED = 2  # by a fault of which KADID's raters tell what it costs
    BLANK = 3  # an empty frame, no photo's
    WEAK = 4  # the photo with a fault, and ...
    STRONG = 5  # ... with more of it: nobody knows the scores, but they fall
    SMALL = 6  # shrunk amid its mirror image: as good; the WEAK and STRONG right after it are made of it


AS_GOOD = (Role.NATURAL, Role.TWIN, Role.SMALL)


class View(NamedTuple):
    """A picture [H, W, 3], its score, its weight in the loss, its photo's number and role, and what is wrong if known.

    Steps of ladders have a score and a weight of 0.
    """

    pixels: Pixels
    score: float
    weight: float
    photo: int
    role: Role
    said: Description | None = None


def read_scores(path: Path) -> list[tuple[Path, float]]:
    """Read a Data-DeQA-Score file: each photo's path and mean opinion score."""
    return [(path.parent / entry["image"], float(entry["gt_score"])) for entry in json.loads(path.read_text("utf-8"))]


def seen(image: Image.Image) -> Pixels:
    """Return what the model sees of ``image``: uint8 [448, 448, 3]."""
    return PREPROCESSING.crop(PREPROCESSING.resize(image))


def kept_shares(kadid: Path) -> dict[tuple[str, int], float]:
    """Read how much of its quality a pristine photo keeps under each distortion and level, 0 to 1."""
    with kadid.open(encoding="utf-8") as file:
        means = {(row["distortion"], int(row["level"])): float(row["mean"]) for row in csv.DictReader(file)}
    return {key: min(1.0, (mean - 1) / (PRISTINE_KADID_MEAN - 1)) for key, mean in means.items()}


def training_views(scored: list[tuple[Path, float]], kept: Mapping[tuple[str, int], float]) -> Iterator[View]:
    """Yield each photo as it is, mirrored, in parts, without colour, changed as nobody sees, ruined, and ever worse.

    Then it comes shrunk, each time with a fault and more of it right after; at the end come blank frames.

    The ruined copies teach what this data set hardly shows. KADID-10k says how much of its quality a pristine photo
    keeps under a distortion; any photo is taken to keep the same share of what it has above WORST_SCORE.
    """
    rng = np.random.default_rng(SEED)
    good = float(np.quantile([score for _, score in scored], 0.75))
    for number, (path, score) in enumerate(scored):
        image = Image.open(path).convert("RGB")
        whole = seen(image)
        fine = NOTHING_WRONG if score >= good else None
        yield View(whole, score, 1.0, number, Role.NATURAL, fine)
        yield View(whole[:, ::-1], score, 1.0, number, Role.NATURAL, fine)
        for mirrored in (False, True):
            side = round(min(image.size) * rng.uniform(0.8, 1.0))
            left, top = (int(rng.integers(0, length - side + 1)) for length in image.size)
            part = seen(image.crop((left, top, left + side, top + side)))
            yield View(part[:, ::-1] if mirrored else part, score, CROP_WEIGHT, number, Role.NATURAL)
        # Photos without colour are few in the data set, and none the worse for it.
        yield View(seen(image.convert("L").convert("RGB")), score, GREY_WEIGHT, number, Role.NATURAL, fine)
        yield from (View(twin, score, TWIN_WEIGHT, number, Role.TWIN) for twin in _twins(np.asarray(image), rng))
        for _ in range(RUINED_COPIES):
            yield _ruined(whole, score, number, kept, rng)
        for fault in LADDERS.elements():
            weak, strong = worsened(whole, rng, fault)
            yield View(weak, 0.0, 0.0, number, Role.WEAK)
            yield View(strong, 0.0, 0.0, number, Role.STRONG)
        for _ in range(SMALL_COPIES):
            small, weak, strong = _small_ladder(whole, rng)
            yield View(small, score, SMALL_WEIGHT, number, Role.SMALL)
            yield View(weak, 0.0, 0.0, number, Role.WEAK)
            yield View(strong, 0.0, 0.0, number, Role.STRONG)
    for number in range(BLANK_FRAMES):  # lens caps and blown skies: no photo of the data set is that empty
        colour = rng.integers(0, 256, 3) if number % 2 else np.full(3, 255 * number // (BLANK_FRAMES - 2))
        grain = rng.normal(0, rng.choice([0, 1, 4]), (PREPROCESSING.crop_px, PREPROCESSING.crop_px, 3))
        blank = (colour + grain).clip(0, 255).astype(np.uint8)
        yield View(blank, BLANK_SCORE, RUINED_WEIGHT, len(scored) + number, Role.BLANK)


def plain_views(scored: list[tuple[Path, float]]) -> Iterator[View]:
    """Yield each photo as it is."""
    for number, (path, score) in enumerate(scored):
        yield View(seen(Image.open(path).convert("RGB")), score, 1.0, number, Role.NATURAL)


def _twins(picture: Pixels, rng: np.random.Generator) -> Iterator[Pixels]:
    """Yield what the model sees of a picture that was saved again, and of one that was moved by part of a pixel."""
    yield seen(Image.fromarray(compress(picture, 95)))
    by_px = rng.choice([-1, 1]) * rng.uniform(0.25, 0.75) * min(picture.shape[:2]) / PREPROCESSING.resize_px
    yield seen(Image.fromarray(moved(picture, float(by_px))))


def _small_ladder(whole: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels, Pixels]:
    """Shrink a picture amid its mirror image: as it is, compressed, and compressed more.

    A camera's photo has many times the pixels that the model sees. Its detail is finer than that of the data set's
    photos, which are as small as the model's input, and JPEG's blocks are smaller: to a model that knows blocks of 8
    pixels alone, they look like more detail.
    """
    share = rng.uniform(0.5, 1.0)
    quality, factor = rng.uniform(20, 80), rng.uniform(1.4, 3.0)
    copies = whole, compress(whole, round(quality)), compress(whole, round(quality / factor))
    small, weak, strong = (shrunk(each, share) for each in copies)
    return small, weak, strong


def _ruined(
    whole: Pixels, score: float, number: int, kept: Mapping[tuple[str, int], float], rng: np.random.Generator
) -> View:
    if rng.random() < EXPOSED_SHARE:
        stops, share, family, strength = EXPOSURES[int(rng.integers(len(EXPOSURES)))]
        pixels = expose(whole, stops + rng.uniform(-0.4, 0.4))
        said: Description | None = next(
            each for each in DESCRIPTIONS if (each.family, each.strength) == (family, strength)
        )
    else:
        kind, level = str(rng.choice(list(KINDS))), int(rng.integers(1, 6))
        pixels, share, known = distort(whole, kind, level, rng), kept[kind, level], description_of(kind, level)
        # A ruined copy is no example of a photo without faults, seen or not.
        said = None if known == NOTHING_WRONG else known
    return View(pixels, WORST_SCORE + (score - WORST_SCORE) * share, RUINED_WEIGHT, number, Role.RUINED, said)
