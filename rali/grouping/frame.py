"""What grouping knows of one frame, and what it says of several."""

from __future__ import annotations

from typing import Literal, NamedTuple

from rali.photos.exif import Exposure

# In words for people; all but a burst and duplicates are kept whole.
Kind = Literal["burst", "duplicates", "bracket", "focus stack", "panorama"]
KEPT_WHOLE: frozenset[Kind] = frozenset({"bracket", "focus stack", "panorama"})


class Frame(NamedTuple):
    """One content, whatever its file names (a tuple, because there is one for every photo).

    Attributes:
        key: tells it from every other frame; groups do not depend on anything else of its value.
        captured_at: see :class:`rali.photos.exif.Shot`.
        camera: maker and model.
        exposure: None if nobody has looked.
        difference_hash: 64 bits, unsigned.
        width, height: in pixels, upright.
    """

    key: int
    captured_at: str | None
    camera: str | None
    exposure: Exposure | None
    difference_hash: int
    width: int
    height: int


class Group(NamedTuple):
    """Two frames or more that belong together.

    Attributes:
        kind: what they are.
        keys: of the frames, in the order in which they were taken; those without a time come last.
    """

    kind: Kind
    keys: tuple[int, ...]
