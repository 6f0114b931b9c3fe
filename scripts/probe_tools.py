"""What probing a model needs: the model as the product runs it, photos to run it on, and figures that have goals."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rali.config import Settings
from rali.errors import PhotoError
from rali.evaluate import LabelledImage, read_labels
from rali.model.scorer import Scorer, Scores
from rali.model.words import Description, Words
from rali.photos.decode import decode
from rali.photos.photo import display_path
from rali.training.colour import Floats, Pixels

Points = NDArray[np.float64]
Photo = tuple[str, Pixels]


@dataclass(frozen=True)
class Figure:
    """Something measured.

    Attributes:
        value: None where there was no case to measure it on.
        cases: how many it rests on.
        least, most: the goal, either or none of them.
        note: what else there is to say, for people.
    """

    part: str
    name: str
    value: float | None
    cases: int
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Tell if the goal is reached; None where there is no goal or nothing to measure."""
        if self.value is None or (self.least is None and self.most is None):
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def line(self) -> str:
        """Put it into a line for people."""
        goal = (
            f">= {self.least:.1f}" if self.least is not None else f"<= {self.most:.1f}" if self.most is not None else ""
        )
        verdict = {True: "pass", False: "FAIL", None: ""}[self.passed]
        value = "-" if self.value is None else f"{self.value:.3f}" if "CC" in self.name else f"{self.value:.1f}"
        return f"  {self.name:42} {value:>7} {goal:>8} {verdict:4} {self.cases:5}  {self.note}".rstrip()


@dataclass(frozen=True)
class Model:
    """A model that scores as the product does: the encoder in float32, the head in float64, on the CPU."""

    scorer: Scorer
    words: Words | None

    @property
    def edge_px(self) -> int:
        """Short edge of what the model's input is the middle of."""
        return self.scorer.info.preprocessing.resize_px

    def read(self, path: Path) -> tuple[Pixels, bytes]:
        """Decode a photo in full: [H, W, 3], and the hash of its content."""
        srgb = not self.scorer.info.preprocessing.as_stored
        decoded = decode(os.fspath(path), limit_px=Settings.limit_px, preview_px=self.edge_px, srgb=srgb)
        return np.asarray(decoded.image), decoded.content_hash

    def run(self, pictures: Iterable[Pixels]) -> Scores:
        """Resize, crop and score pictures of any size."""
        preprocessing = self.scorer.info.preprocessing
        squares = [preprocessing.crop(preprocessing.resize(Image.fromarray(picture))) for picture in pictures]
        return self.scorer.score(np.stack(squares))

    def score(self, pictures: Iterable[Pixels]) -> Points:
        """Score pictures of any size, on a scale of 0 to 100: [B]."""
        return 100 * self._shares(self.run(pictures))

    def describe(self, scored: Scores, words: Words) -> list[Description | None]:
        """Say what is wrong with pictures that were run, in ``words``: the model's own, or changed ones."""
        return words.describe(scored.embeddings, self._shares(scored))

    def _shares(self, scored: Scores) -> NDArray[np.float64]:
        """Return scores as shares of the model's scale, 0 to 1: [B]."""
        low, high = self.scorer.info.score_low, self.scorer.info.score_high
        shares: NDArray[np.float64] = (scored.scores - low) / (high - low)
        return shares


@dataclass(frozen=True)
class Rated:
    """Photos with people's scores: pictures, their scores [N] and the model's [N], both 0 to 100."""

    pictures: Sequence[Pixels]
    human: Points
    predicted: Points

    def best(self, share: float) -> list[Pixels]:
        """Return the photos that people like best."""
        return [self.pictures[at] for at in np.argsort(-self.human, kind="stable")[: int(len(self.human) * share)]]

    def worst(self, share: float) -> list[Pixels]:
        """Return the photos that people like least."""
        return [self.pictures[at] for at in np.argsort(self.human, kind="stable")[: int(len(self.human) * share)]]


# --- photos -----------------------------------------------------------------------------------------------------------


def rated_photos(model: Model, iqa: Path) -> Rated:
    """Read val.json's photos and score them."""
    images: Sequence[LabelledImage] = read_labels([iqa / "val.json"], iqa).images
    pictures = [model.read(Path(image.file))[0] for image in images]
    return Rated(pictures, np.array([image.gt_score for image in images]), model.score(pictures))


def photos_in(model: Model, folder: Path) -> Iterator[Photo]:
    """Yield name and picture of each photo as large as the model's input, copies left out."""
    seen: set[bytes] = set()
    for inner in [folder / name for name in ("kodak", "cameras") if (folder / name).is_dir()] or [folder]:
        for path in sorted(path for path in inner.iterdir() if path.is_file()):
            try:
                picture, content = model.read(path)
            except PhotoError:  # a README, or a file that is broken
                continue
            if content not in seen and min(picture.shape[:2]) >= model.scorer.info.preprocessing.crop_px:
                seen.add(content)
                yield display_path(path.relative_to(folder)), picture


def smaller(picture: Pixels, edge_px: float) -> Pixels:
    """Scale a picture down to a short edge of ``edge_px``, if it is larger."""
    share = edge_px / min(picture.shape[:2])
    if share >= 1:
        return picture
    height, width = (round(length * share) for length in picture.shape[:2])
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


# --- changes ---------------------------------------------------------------------------------------------------------


def subject_of(picture: Pixels) -> Floats:
    """Return how much of each pixel [H, W, 1] belongs to a subject in the middle, 0 to 1, with a soft edge."""
    rows, columns = (np.linspace(-1, 1, length, dtype=np.float32) for length in picture.shape[:2])
    distance = np.hypot(rows[:, None], columns)  # 1 in the middle of an edge
    share: Floats = ((0.9 - distance) / 0.4).clip(0, 1)[..., None].astype(np.float32)
    return share
