"""How alike two frames are: by their difference hashes, and by the model's embeddings where there are any.

Each sees what the other does not, measured on 45 scenes of LIVE In the Wild in 440 x 330 pixels: blur, exposure
and compression change few bits of a hash (95 % of frames within 5 of 64; 11 at two stops too much) and may turn an
embedding around; a shift by a tenth of the frame changes 31 bits and leaves the cosine above 0.9, where that of
different scenes is below 0.75.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rali.grouping.frame import Frame

HASH_BITS = 64
# Near-duplicates without evidence of time: a picture that was scaled, re-encoded or slightly brightened.
DUPLICATE_BITS = 3
_DUPLICATE_COSINE = 0.5
_SAME_SHAPE = 1.03  # of widths through heights: what is cut is no copy
_LEAST_DETAIL_BITS = 8  # fewer rising or falling edges than this: fog, night, a blank sheet, which all look alike
_BLOCKS = 6  # of a hash; two hashes that differ in 3 bits agree in 3 of 6 blocks
_NEXT = 32  # how many neighbours in a bucket are looked at: buckets of more are one picture over and over
_SHAPES = 4  # how many frames of one hash are compared with those of another: not all need have the same shape
_GRID = 8
_SHIFTS = (1, 2, 3, 4, 5)  # columns; of more there is too little left to compare
_LEAST_EVIDENCE = 2.2
_UNMOVED_BITS = 6


class Limits(NamedTuple):
    """How alike two frames must be: so few different bits, or so high a cosine, or the third and fourth together."""

    bits: int
    cosine: float
    both_bits: int
    both_cosine: float


class Slide(NamedTuple):
    """How content moved from one frame to another.

    Attributes:
        columns: eighths of the frame to the left; below 0 to the right, 0 if it did not, or cannot be told.
        evidence: standard deviations above chance.
    """

    columns: int
    evidence: float


class Likeness:
    """Compares frames, given by their places in a list.

    Args:
        frames: N frames.
        vectors: key of a frame -> embedding [D]; frames without one are compared by hash alone.
    """

    def __init__(self, frames: Sequence[Frame], vectors: Mapping[int, NDArray[np.float16]]) -> None:
        self._keys = [frame.key for frame in frames]
        self._hashes = [frame.difference_hash for frame in frames]
        self._vectors = vectors

    def bits(self, one: int, other: int) -> int:
        """Return how many bits of the hashes differ, 0 to 64."""
        return (self._hashes[one] ^ self._hashes[other]).bit_count()

    def cosine(self, one: int, other: int) -> float | None:
        """Return the cosine of the embeddings, -1 to 1; None where one is missing."""
        a, b = self._vectors.get(self._keys[one]), self._vectors.get(self._keys[other])
        if a is None or b is None or a.shape != b.shape:
            return None
        # Widened here, not once for all: a million of them would take half a gigabyte.
        both = np.stack([a, b]).astype(np.float32)
        if not np.isfinite(both).all():
            return None
        (square, product), (_, other_square) = (both @ both.T).tolist()
        lengths = math.sqrt(square * other_square)
        return product / lengths if lengths > 0 else None

    def alike(self, one: int, other: int, limits: Limits) -> bool:
        """Tell if two frames are as alike as ``limits`` ask."""
        bits = self.bits(one, other)
        if bits <= limits.bits:
            return True
        cosine = self.cosine(one, other)
        return cosine is not None and (
            cosine >= limits.cosine or (bits <= limits.both_bits and cosine >= limits.both_cosine)
        )

    def slide(self, one: int, other: int) -> Slide:
        """Tell how far the content of ``other`` lies to the left of where it lies in ``one``.

        It is told where the columns that both frames show agree in more bits than by chance, and more than unmoved.
        Unrelated frames do so now and then: one slide alone is weak evidence, several that go on alike are strong.
        """
        if self.bits(one, other) <= _UNMOVED_BITS:
            return Slide(0, 0.0)
        a, b = self._hashes[one], self._hashes[other]
        found = max(
            (
                Slide(sign * shift, _agreement(left, right, shift))
                for shift in _SHIFTS
                for sign, left, right in ((1, a, b), (-1, b, a))
            ),
            key=lambda slide: slide.evidence,
        )
        return found if found.evidence > max(_LEAST_EVIDENCE, _agreement(a, b, 0)) else Slide(0, 0.0)


def near_duplicates(frames: Sequence[Frame], likeness: Likeness) -> Iterator[tuple[int, int, int]]:
    """Yield pairs of places of frames that look the same picture, as (bits, one, other), one < other, each once.

    Time and memory grow with the number of frames, not with its square: hashes are compared only where 3 of their 6
    blocks are equal, which no pair within 3 bits escapes; of those that share a hash, each with the first.
    """
    places: dict[int, list[int]] = {}
    for place, frame in enumerate(frames):
        if _LEAST_DETAIL_BITS <= frame.difference_hash.bit_count() <= HASH_BITS - _LEAST_DETAIL_BITS:
            places.setdefault(frame.difference_hash, []).append(place)
    hashes = sorted(places)
    for place, other, bits in _all_pairs(hashes, places):
        if not _same_shape(frames[place], frames[other]):
            continue
        cosine = likeness.cosine(place, other)
        if cosine is None or cosine >= _DUPLICATE_COSINE:
            yield bits, *sorted((place, other))  # type: ignore[misc]


def _all_pairs(hashes: Sequence[int], places: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, int, int]]:
    for value in hashes:
        first, *others = places[value]
        for number, other in enumerate(others):
            yield first, other, 0
            if number:
                yield others[number - 1], other, 0  # the first may be of another shape
    for one, other in _close(hashes):
        bits = (hashes[one] ^ hashes[other]).bit_count()
        for place in places[hashes[one]][:_SHAPES]:
            for match in places[hashes[other]][:_SHAPES]:
                yield place, match, bits


def _close(hashes: Sequence[int]) -> set[tuple[int, int]]:
    """Return pairs of places of different hashes that differ in at most 3 bits."""
    values = np.array(hashes, dtype=np.uint64)  # [N], ascending
    edges = np.linspace(0, HASH_BITS, _BLOCKS + 1).astype(int)
    masks = [sum(1 << bit for bit in range(edges[i], edges[i + 1])) for i in range(_BLOCKS)]
    found: set[tuple[int, int]] = set()
    for chosen in combinations(masks, _BLOCKS - DUPLICATE_BITS):
        keys = values & np.uint64(sum(chosen))
        order = np.argsort(keys, kind="stable")
        ordered, hashed = keys[order], values[order]
        for step in range(1, _NEXT + 1):
            together = ordered[step:] == ordered[:-step]
            if not together.any():
                break
            close = together & (np.bitwise_count(hashed[step:] ^ hashed[:-step]) <= DUPLICATE_BITS)
            at = np.flatnonzero(close)
            pairs = np.sort(np.stack([order[at], order[at + step]], axis=1), axis=1)
            found.update(map(tuple, pairs.tolist()))
    return found


def _same_shape(one: Frame, other: Frame) -> bool:
    a, b = one.width * other.height, other.width * one.height
    return max(a, b) <= _SAME_SHAPE * min(a, b)


def _agreement(left: int, right: int, shift: int) -> float:
    """Tell how much better ``right``, moved right by ``shift`` of 8 columns, agrees with ``left`` than by chance.

    Returns:
        Standard deviations of chance: 0 for unrelated pictures, at most 8.
    """
    columns = _GRID - shift
    compared = columns * _GRID
    # In each row of 8 bits, the first column is the highest bit.
    kept = sum(((1 << columns) - 1) << (_GRID * row) for row in range(_GRID))
    moved = left & kept  # the last columns of ``left`` ...
    same = moved ^ ((right >> shift) & kept)  # ... against the first of ``right``
    return (compared / 2 - same.bit_count()) / (math.sqrt(compared) / 2)
