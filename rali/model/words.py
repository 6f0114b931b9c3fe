"""What a model can say of a photo in words: the description that lies nearest to the photo's embedding.

A bundle may hold words: descriptions of what is wrong with a photo, each a vector in a space that photos share. They
take no part in a score, so the tensors are read here, by numpy alone, and kept from the network.

In the header's JSON: ``"words": {"descriptions": [{"text", "family"}, ...], "least_margin"}``, and two tensors of
float16 or float32: ``words.projection`` [T, D] and ``words.vectors`` [M, T], a row a description and in their order.
``least_margin`` is a number, or points [score, margin] by rising score, with lines between them and level before the
first and after the last; scores are shares of the model's scale. So a photo that scores low can have its fault named on
less evidence than one that scores high.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from rali.errors import DamagedModelError
from rali.model.bundle import WORDS_TENSORS, BundleInfo
from rali.photos.photo import display_path

# The family of the descriptions that find nothing wrong: they are compared with, and never shown.
FINE = "fine"
_READABLE_DTYPES = ("F16", "F32")


@dataclass(frozen=True)
class Description:
    """What a model says of a photo.

    Attributes:
        text: for people, as ``motion blur, strong``; safe to print.
        family: what kind of fault it is, whatever its strength: ``motion blur``.
        margin: by how much its cosine exceeds that of the nearest description of another family, above 0 to 2.
    """

    text: str
    family: str
    margin: float


@dataclass(frozen=True)
class Words:
    """A model's words.

    Shapes: D is the number of principal components, T the size of the space shared with sentences, M the number of
    descriptions.

    Attributes:
        texts, families: of the descriptions [M].
        projection: float32 [T, D], from the compressed embedding to the shared space.
        vectors: float32 [M, T], of unit length.
        least_margin: a description that wins by less is not said; points (score 0 to 1, margin), by rising score.
    """

    texts: Sequence[str]
    families: Sequence[str]
    projection: NDArray[np.float32]
    vectors: NDArray[np.float32]
    least_margin: Sequence[tuple[float, float]]

    @property
    def components(self) -> int:
        """D, the length of the embeddings that can be described."""
        return int(self.projection.shape[1])

    def describe(self, embeddings: NDArray[np.float16], scores: NDArray[np.float64]) -> list[Description | None]:
        """Describe photos; None for one that is fine, or that it is unsure of.

        Args:
            embeddings: compressed [N, D].
            scores: as shares of the model's scale, 0 to 1 [N].
        """
        with np.errstate(over="ignore", invalid="ignore"):
            projected = embeddings.astype(np.float32) @ self.projection.T  # [N, T]
            lengths = np.linalg.norm(projected, axis=1, keepdims=True)  # [N, 1]
        usable = np.isfinite(lengths) & (lengths > 0)  # an embedding too large for float16 was stored as infinite
        cosines = np.where(usable, projected, 0) / np.where(usable, lengths, 1) @ self.vectors.T  # [N, M]
        nearest = cosines.argmax(axis=1)  # [N]
        kinds = np.unique(self.families, return_inverse=True)[1]  # [M]
        rivals = np.where(kinds == kinds[nearest][:, None], -np.inf, cosines).max(axis=1)  # [N]
        margins = cosines.max(axis=1) - rivals  # [N]
        at_scores, least = zip(*self.least_margin, strict=True)
        sure = usable[:, 0] & (margins > 0) & (margins >= np.interp(scores, at_scores, least))
        return [
            Description(self.texts[at], self.families[at], float(margin))
            if known and self.families[at] != FINE
            else None
            for at, margin, known in zip(nearest, margins, sure, strict=True)
        ]


def read_words(info: BundleInfo) -> Words | None:
    """Read a bundle's words without its other tensors and without importing torch; None if it has none.

    Raises:
        DamagedModelError: it has words, and they are not whole.
    """
    if info.path.is_dir():  # a release as its authors lay it out
        return None
    try:
        with safe_open(info.path, framework="numpy") as file:
            header = json.loads(file.metadata()["rali"]).get("words")
            held = [name for name in WORDS_TENSORS if name in file.keys()]  # noqa: SIM118 (it is no dict)
            if header is None and not held:
                return None
            if header is None or len(held) < len(WORDS_TENSORS):
                raise ValueError("its descriptions and their vectors are not both there")
            for name in held:
                if file.get_slice(name).get_dtype() not in _READABLE_DTYPES:
                    raise ValueError(f"{name} is neither float16 nor float32")
            projection, vectors = (file.get_tensor(name).astype(np.float32) for name in WORDS_TENSORS)
        return _checked(header, projection, vectors, components=int(info.architecture["head"]["components"]))
    except (SafetensorError, OSError, KeyError, AttributeError, TypeError, ValueError, RecursionError) as error:
        raise DamagedModelError(
            f"{info.path} has words that cannot be used ({type(error).__name__}: {error}); get it again"
        ) from error


def _checked(
    header: Mapping[str, Any], projection: NDArray[np.float32], vectors: NDArray[np.float32], *, components: int
) -> Words:
    """Make words of what a file holds; raise TypeError, KeyError or ValueError if it does not fit together."""
    texts, families = ([entry[part] for entry in header["descriptions"]] for part in ("text", "family"))
    if not all(isinstance(text, str) and text for text in [*texts, *families]):
        raise TypeError("a description has no text or no family")
    if len(set(families)) < 2:
        raise ValueError("descriptions of fewer than two families cannot be compared")
    if projection.ndim != 2 or projection.shape[1] != components:
        raise ValueError(f"its projection of shape {projection.shape} does not take {components} components")
    if vectors.shape != (len(texts), len(projection)):
        raise ValueError(
            f"it has vectors of shape {vectors.shape} for {len(texts)} descriptions in {len(projection)} dimensions"
        )
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)  # [M, 1]
    if not (np.isfinite(projection).all() and np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("its vectors are not all finite and longer than nothing")
    given = header["least_margin"]
    pairs = given if isinstance(given, list) else [(0.0, given)]  # a number is for all scores
    points = [(float(score), float(margin)) for score, margin in pairs]
    in_order = all(one < other for (one, _), (other, _) in pairwise(points))
    # The cosines of two descriptions differ by 2 at most.
    if not points or not in_order or not all(0 <= score <= 1 and 0 <= margin <= 2 for score, margin in points):
        raise ValueError(f"a least margin of {given} means nothing")
    return Words(
        [display_path(text) for text in texts],
        families,
        projection,
        (vectors / lengths).astype(np.float32),
        points,
    )
