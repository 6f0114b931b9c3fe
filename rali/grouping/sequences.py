"""Frames that a photographer took to be used together: exposure brackets, panoramas, focus stacks.

All of this works on a *run*: places of frames of one body, in the order of time, none long after the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import fmean

from rali.grouping.clock import Span
from rali.grouping.frame import Frame
from rali.grouping.likeness import Likeness, Limits
from rali.photos.exif import Exposure

_UNKNOWN = Exposure()
_BRACKET_GAP_S, _PANORAMA_GAP_S = 3.0, 8.0
_BIAS_STEP_EV = 0.25  # a third of a stop is the smallest that cameras offer
_LIGHT_STEP_EV = 0.9  # from frame to frame; automatic exposure moves by less
_ONE_SCENE = Limits(bits=26, cosine=0.5, both_bits=0, both_cosine=1.0)
_STACK_BITS = 8
# Of a panorama, on average from frame to frame, in standard deviations.
_SLID = 3.0
_OVERLAP_COSINE = 0.5  # frames that share two thirds have 0.65 and more, 99 of 100 unrelated pairs less than this
_LEAST = 3


class Sequences:
    """Finds sequences in runs of frames.

    Args:
        frames, spans: of all frames [N]; those of a run have a span.
        likeness: of the same frames.
    """

    def __init__(self, frames: Sequence[Frame], spans: Sequence[Span | None], likeness: Likeness) -> None:
        self._frames, self._spans, self._likeness = frames, spans, likeness

    def gap_s(self, one: int, other: int) -> float:
        """Return how many seconds passed from the end of one frame's exposure to the start of a later one's."""
        first, second = self._spans[one], self._spans[other]
        if first is None or second is None:
            return math.inf
        return max(0.0, second.start - first.start - (self.exposure(one).exposure_s or 0.0))

    def exposure(self, place: int) -> Exposure:
        """Return what is known of how a frame was exposed."""
        return self._frames[place].exposure or _UNKNOWN

    # --- exposure brackets ------------------------------------------------------------------------------------

    def brackets(self, run: Sequence[int]) -> list[list[int]]:
        """Return the exposure brackets in a run; each frame of one has an exposure of its own.

        Evidence is a bias that steps, three different ones or more; the camera's word that it is bracketing; or, with
        all biases alike, three exposures of one scene that are a stop apart.
        """
        found = list(self._stepping(run, self._bias, _BIAS_STEP_EV, self._is_bracket))
        rest = without(run, found)
        found += self._stepping(rest, self._light, _LIGHT_STEP_EV, self._is_manual_bracket)
        rest = without(run, found)
        # Of white balance, say, or where the bias is not written.
        found += [
            part
            for part in self._parts(rest, lambda part, place: self.gap_s(part[-1], place) <= _BRACKET_GAP_S)
            if len(part) > 1 and all(self.exposure(place).drive == "bracket" for place in part)
        ]
        return found

    def _stepping(
        self,
        run: Iterable[int],
        level: Callable[[int], float | None],
        step: float,
        accept: Callable[[Sequence[int]], bool],
    ) -> Iterator[list[int]]:
        """Yield parts of a run in which no level comes twice: a level that does begins the next bracket."""

        def goes_on(part: Sequence[int], place: int) -> bool:
            own = level(place)
            return (
                own is not None
                and self._same_framing(part[-1], place)
                and self.gap_s(part[-1], place) <= _BRACKET_GAP_S
                and all((other := level(before)) is not None and abs(own - other) >= step for before in part)
            )

        return (part for part in self._parts(run, goes_on) if accept(part))

    def _is_bracket(self, part: Sequence[int]) -> bool:
        told = all(self.exposure(place).drive == "bracket" for place in part)
        return len(part) >= (2 if told else _LEAST)

    def _is_manual_bracket(self, part: Sequence[int]) -> bool:
        biases = {self._bias(place) or 0.0 for place in part}
        apertures = {self.exposure(place).f_number for place in part}
        alike = all(self._likeness.alike(one, other, _ONE_SCENE) for one, other in pairwise(part))
        return len(part) >= _LEAST and len(biases) == len(apertures) == 1 and alike

    def _bias(self, place: int) -> float | None:
        return self.exposure(place).bias_ev

    def _light(self, place: int) -> float | None:
        """Return how much light the sensor took in, times its sensitivity, in stops above some constant."""
        exposure = self.exposure(place)
        if exposure.exposure_s is None:
            return None
        return math.log2(exposure.exposure_s * (exposure.iso or 100.0) / (exposure.f_number or 1.0) ** 2)

    # --- panoramas --------------------------------------------------------------------------------------------

    def panoramas(self, run: Sequence[int]) -> list[list[int]]:
        """Return the panoramas in a run: three frames or more, exposed alike, each slid on from the last by as much."""

        def goes_on(part: Sequence[int], place: int) -> bool:
            last = part[-1]
            if self.gap_s(last, place) > _PANORAMA_GAP_S or not self._same_framing(last, place):
                return False
            if self._settings(last) != self._settings(place):
                return False
            cosine = self._likeness.cosine(last, place)
            if cosine is not None and cosine < _OVERLAP_COSINE:
                return False
            columns = self._likeness.slide(last, place).columns
            before = self._likeness.slide(part[-2], last).columns if len(part) > 1 else columns
            return columns * before > 0 and abs(columns - before) <= 1

        return [part for part in self._parts(run, goes_on) if len(part) >= _LEAST and self._evidence(part) >= _SLID]

    def _evidence(self, part: Sequence[int]) -> float:
        return fmean(self._likeness.slide(one, other).evidence for one, other in pairwise(part))

    def _settings(self, place: int) -> tuple[float | None, ...]:
        exposure = self.exposure(place)
        return exposure.exposure_s, exposure.f_number, exposure.iso

    def _same_framing(self, one: int, other: int) -> bool:
        a, b = self._frames[one], self._frames[other]
        focal_mm = self.exposure(one).focal_mm == self.exposure(other).focal_mm
        return (a.width, a.height) == (b.width, b.height) and focal_mm

    # --- focus stacks -----------------------------------------------------------------------------------------

    def is_focus_stack(self, part: Sequence[int]) -> bool:
        """Tell if three frames or more are one picture, exposed alike, with the focus moving steadily one way."""
        if len(part) < _LEAST or len({self._settings(place) for place in part}) > 1:
            return False
        distances = [self.exposure(place).distance_m for place in part]
        known = [distance for distance in distances if distance is not None]
        if len(known) < len(distances) or any(self._likeness.bits(part[0], place) > _STACK_BITS for place in part):
            return False
        return all(a < b for a, b in pairwise(known)) or all(a > b for a, b in pairwise(known))

    @staticmethod
    def _parts(run: Iterable[int], goes_on: Callable[[Sequence[int], int], bool]) -> Iterator[list[int]]:
        """Cut a run wherever ``goes_on`` says that a place does not belong to the part before it."""
        part: list[int] = []
        for place in run:
            if part and not goes_on(part, place):
                yield part
                part = []
            part.append(place)
        if part:
            yield part


def without(run: Sequence[int], parts: Iterable[Sequence[int]]) -> list[int]:
    """Return the places of a run that are in none of its parts, in order."""
    taken = {place for part in parts for place in part}
    return [place for place in run if place not in taken]
