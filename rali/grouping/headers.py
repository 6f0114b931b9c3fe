"""How photos were exposed that were scored by a rali which did not look: read from their headers, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise

from rali.catalog.catalog import Catalog
from rali.catalog.frames import FrameFile, ScoredFrame, store_exposures
from rali.grouping.clock import bodies_of, spans_of
from rali.grouping.frame import Frame
from rali.photos.decode import read_header
from rali.photos.exif import Exposure
from rali.photos.sniff import Format

# Further apart than any frames that an exposure can tell something about.
_APART_S = 15.0
_STORED_AT_ONCE = 1000


def with_exposures(
    catalog: Catalog, frames: Sequence[ScoredFrame], *, on_start: Callable[[int], None]
) -> list[ScoredFrame]:
    """Return ``frames`` with the exposures of all that stand close to another in time, as far as their files are there.

    What is read is stored, so that it is read once. A file that is gone, or that is not the one which was scored, is
    passed over, and looked for again the next time.

    Args:
        on_start: told how many headers are about to be read, if any.
    """
    waiting = _waiting(frames)
    if waiting:
        on_start(len(waiting))
    known: dict[int, Exposure] = {}
    fresh: dict[int, Exposure] = {}
    for place in waiting:
        frame = frames[place]
        exposure = next((found for file in frame.files if (found := _read(file, frame.format)) is not None), None)
        if exposure is not None:
            fresh[frame.content_id] = exposure
        if len(fresh) >= _STORED_AT_ONCE:
            store_exposures(catalog, fresh)
            known |= fresh
            fresh = {}
    if fresh:
        store_exposures(catalog, fresh)
        known |= fresh
    return [frame._replace(exposure=known.get(frame.content_id, frame.exposure)) for frame in frames]


def plain(frame: ScoredFrame) -> Frame:
    """Return what grouping needs of a frame."""
    return Frame(
        key=frame.content_id,
        captured_at=frame.captured_at,
        camera=frame.camera,
        exposure=frame.exposure,
        difference_hash=frame.difference_hash,
        width=frame.width,
        height=frame.height,
    )


def _waiting(frames: Sequence[ScoredFrame]) -> list[int]:
    """Return the places of frames without an exposure that have a neighbour in time, by the same camera."""
    plain_frames = [plain(frame) for frame in frames]
    spans = spans_of(plain_frames, bodies_of(plain_frames))
    by_time = sorted(
        (frame.camera or "", span.start, place)
        for place, (frame, span) in enumerate(zip(frames, spans, strict=True))
        if span is not None and span.is_exact
    )
    found: set[int] = set()
    for (camera, start, place), (next_camera, next_start, next_place) in pairwise(by_time):
        if camera == next_camera and next_start - start <= _APART_S:
            found |= {place, next_place}
    return sorted(place for place in found if frames[place].exposure is None)


def _read(file: FrameFile, format: Format) -> Exposure | None:
    """Return how a photo was exposed; None if its file is not there as it was scored."""
    try:
        state, shot = read_header(os.fspath(file.path), format)
    except OSError:
        return None
    return shot.exposure if (state.inode, state.size_bytes, state.mtime_ns) == file.state else None
