"""How much a time stamp says."""

from __future__ import annotations

import pytest

from rali.grouping.clock import bodies_of, may_be_one_moment, spans_of
from rali.grouping.frame import Frame
from rali.photos.exif import Exposure


def widths(*stamps: str | None, camera: str | None = "A") -> list[float | None]:
    """Return how long a span each stamp of one camera stands for, in seconds."""
    frames = [Frame(key, stamp, camera, None, 0, 3, 2) for key, stamp in enumerate(stamps)]
    spans = spans_of(frames, bodies_of(frames))
    return [None if span is None else round(span.end - span.start, 6) for span in spans]


def test_a_stamp_is_as_fine_as_it_is_written() -> None:
    assert widths("2026-05-01T12:00:07.250", "2026-05-01T12:00:07.5", "2026-05-01T12:00:07") == [0.001, 0.1, 1.0]


def test_parts_of_a_second_that_are_always_zero_are_none() -> None:
    assert widths("2026-05-01T12:00:07.00", "2026-05-01T12:01:09.00") == [1.0, 1.0]
    assert widths("2026-05-01T12:00:07.00", "2026-05-01T12:01:09.31") == [0.01, 0.01]


def test_seconds_that_are_always_zero_are_none() -> None:
    assert widths("2026-05-01T12:00:00", "2026-05-01T12:01:00", "2026-05-01T12:05:00") == [60.0, 60.0, 60.0]
    assert widths("2026-05-01T12:00:00", "2026-05-01T12:01:09") == [1.0, 1.0]


def test_midnight_to_the_second_is_a_date() -> None:
    assert widths("2026-05-01T00:00:00", "2026-05-01T12:01:09", "2026-05-01T12:01:19") == [86400.0, 1.0, 1.0]


def test_a_stamp_that_a_hundred_photos_share_is_made_up() -> None:
    assert set(widths(*["2026-05-01T12:00:03"] * 100)) == {86400.0}


@pytest.mark.parametrize("stamp", [None, "", "yesterday", "2026-13-01T00:00:00"])
def test_what_is_no_time_is_none(stamp: str | None) -> None:
    assert widths(stamp) == [None]


def test_a_serial_number_counts_only_where_a_camera_has_several() -> None:
    def frame(key: int, camera: str, serial: str | None) -> Frame:
        return Frame(key, None, camera, Exposure(body=serial), 0, 3, 2)

    frames = [frame(1, "A", "1"), frame(2, "A", None), frame(3, "B", "1"), frame(4, "B", "2")]

    assert bodies_of(frames) == [("A", None), ("A", None), ("B", "1"), ("B", "2")]


def test_only_what_contradicts_keeps_two_moments_apart() -> None:
    frames = [
        Frame(key, stamp, "A", None, 0, 3, 2)
        for key, stamp in enumerate(["2026-05-01T12:30:05", "2026-05-01T00:00:00", "2026-05-02T00:00:00", None])
    ]
    noon, day, next_day, unknown = spans_of(frames, bodies_of(frames))

    assert may_be_one_moment(noon, day)
    assert may_be_one_moment(noon, unknown)
    assert not may_be_one_moment(noon, next_day)
