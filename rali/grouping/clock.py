"""When frames were taken, as far as their time stamps can be trusted.

A stamp is read as a span of time: of a thousandth of a second where the camera writes that much, of a minute where it
never writes seconds, of a day where there is only a date. What is longer than a second tells no burst.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rali.grouping.frame import Frame

_SECOND, _MINUTE, _DAY = 1.0, 60.0, 86_400.0
_EPOCH = datetime(1970, 1, 1)
# What takes more than this in a second (30 a second is fast) and does not say which part of it, has a made-up stamp.
_MOST_IN_A_SECOND = 40


class Span(NamedTuple):
    """When a frame was taken: between two moments, in seconds since 1970 by its camera's clock."""

    start: float
    end: float

    @property
    def is_exact(self) -> bool:
        """Tell if it can be evidence of a burst."""
        return self.end - self.start <= _SECOND


class _Stamp(NamedTuple):
    second: float  # whole
    fraction: str  # its digits


Body = tuple[str | None, str | None]


def bodies_of(frames: Sequence[Frame]) -> list[Body]:
    """Return the body that took each frame: camera, and serial number where there are several of that camera."""
    serials: dict[str | None, set[str]] = {}
    for frame in frames:
        if frame.exposure is not None and frame.exposure.body is not None:
            serials.setdefault(frame.camera, set()).add(frame.exposure.body)
    # A single one need not be told apart, least of all from the same body's frames that have lost the number.
    several = {camera for camera, found in serials.items() if len(found) > 1}
    return [
        (frame.camera, frame.exposure.body if frame.exposure is not None and frame.camera in several else None)
        for frame in frames
    ]


def spans_of(frames: Sequence[Frame], bodies: Sequence[Body]) -> list[Span | None]:
    """Return when each frame was taken; None without a time stamp.

    How much a body's stamps say is told from all of them: zeros that never change are no measurement.
    """
    stamps = [_parse(frame.captured_at) for frame in frames]
    by_body: dict[Body, list[_Stamp]] = {}
    for stamp, body in zip(stamps, bodies, strict=True):
        if stamp is not None:
            by_body.setdefault(body, []).append(stamp)
    has_fractions = {body: any(stamp.fraction.strip("0") for stamp in found) for body, found in by_body.items()}
    has_seconds = {
        body: has_fractions[body] or 2 * sum(stamp.second % _MINUTE != 0 for stamp in found) >= len(found)
        for body, found in by_body.items()
    }
    crowds = {body: Counter(stamp.second for stamp in found) for body, found in by_body.items()}
    return [
        None if stamp is None else _span(stamp, has_fractions[body], has_seconds[body], crowds[body][stamp.second])
        for stamp, body in zip(stamps, bodies, strict=True)
    ]


def _span(stamp: _Stamp, has_fractions: bool, has_seconds: bool, crowd: int) -> Span:
    if stamp.fraction and has_fractions:
        start = stamp.second + float(f".{stamp.fraction}")
        return Span(start, start + 10.0 ** -len(stamp.fraction))
    if stamp.second % _DAY == 0 or crowd > _MOST_IN_A_SECOND:
        start = stamp.second - stamp.second % _DAY
        return Span(start, start + _DAY)
    return Span(stamp.second, stamp.second + (_SECOND if has_seconds else _MINUTE))


def _parse(captured_at: str | None) -> _Stamp | None:
    if captured_at is None:
        return None
    moment, _, fraction = captured_at.partition(".")
    try:
        return _Stamp((datetime.fromisoformat(moment) - _EPOCH).total_seconds(), fraction if fraction.isdigit() else "")
    except ValueError:
        return None


def may_be_one_moment(one: Span | None, other: Span | None) -> bool:
    """Tell if nothing in two time stamps contradicts that they are of one moment."""
    if one is None or other is None:
        return True
    return one.start <= other.end + _SECOND and other.start <= one.end + _SECOND
