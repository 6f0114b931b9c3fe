"""The pictures on the page, and how many of the larger ones it has room for."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from rali.catalog.catalog import Catalog
from rali.config import Settings
from rali.photos.thumbnail import Size
from rali.report.choice import Choice, inwards
from rali.thumbnails.cache import ThumbnailCache
from rali.thumbnails.making import make_thumbnails, requests_for

# A page of 500 photos stays below 3 MB: that much a mail takes, and a phone opens at once.
_PAGE_BYTES = 3_000_000
_PAGE_PHOTOS = 500
# As large as the thumbnails that cameras write into EXIF. In base64: 1.7 MB of 500 photos at most.
SMALL = Size(long_edge_px=160, most_bytes=2_600)
PREVIEW = Size(long_edge_px=640, most_bytes=36_000)
# Processes are not started for fewer.
_FEWEST_PREVIEWS = 3
_URI_START = "data:image/webp;base64,"
# A preview in base64, its data URI's start and what stands around it.
_PREVIEW_ON_PAGE_BYTES = (PREVIEW.most_bytes + 2) // 3 * 4 + 60


@dataclass(frozen=True)
class Pictures:
    """Pictures as data URIs, by photo id.

    Attributes:
        small: of every photo that could be read.
        previews: larger ones, of as many photos as the page has room for.
        troubles: why a photo has no picture.
    """

    small: Mapping[int, str] = field(default_factory=dict)
    previews: Mapping[int, str] = field(default_factory=dict)
    troubles: Mapping[int, str] = field(default_factory=dict)


class PictureMaker:
    """Makes the pictures of some photos.

    Args:
        files: absolute paths, by photo id.
        on_picture: is told whenever there is one more.
        stop: asked all the time; once true, no more pictures are made.
    """

    def __init__(
        self,
        catalog: Catalog,
        files: Mapping[int, str],
        settings: Settings,
        cache: ThumbnailCache,
        *,
        on_picture: Callable[[], None],
        stop: Callable[[], bool],
    ) -> None:
        self._catalog = catalog
        self._files = files
        self._settings = settings
        self._cache = cache
        self._on_picture = on_picture
        self._stop = stop

    def make(self, photo_ids: Sequence[int], size: Size) -> tuple[dict[int, str], dict[int, str]]:
        """Return data URIs, and why there is none, by photo id.

        Raises:
            WorkersError: no process that decodes can be started.
        """
        ids = {self._files[photo_id]: photo_id for photo_id in photo_ids}
        made: dict[int, str] = {}
        troubles: dict[int, str] = {}
        requests = requests_for(self._catalog, ids)
        for file, result in make_thumbnails(requests, size, self._settings, self._cache, stop=self._stop):
            if isinstance(result, bytes):
                made[ids[file]] = _URI_START + base64.b64encode(result).decode("ascii")
            else:
                troubles[ids[file]] = result.message
            self._on_picture()
        return made, troubles


def previews_that_fit(photos: int, page_bytes: int) -> int:
    """Return how many previews a page of so many photos surely has room for, if it takes so many bytes by now."""
    most_bytes = max(_PAGE_BYTES, _PAGE_BYTES * photos // _PAGE_PHOTOS)
    room = max(0, (most_bytes - page_bytes) // _PREVIEW_ON_PAGE_BYTES)
    return room if room >= _FEWEST_PREVIEWS else 0


def preview_order(choice: Choice) -> list[int]:
    """Return all photo ids, those first of which a larger picture tells most: both ends, then best frames."""
    ends = [photo_id for pair in zip_longest(choice.worst, choice.best) for photo_id in pair]
    marked = [group.group.best_id for group in choice.groups]
    frames = [best for group, best in zip(choice.groups, marked, strict=True) if best in group.shown]
    others = inwards([photo.record.photo_id for photo in choice.photos])
    return list(dict.fromkeys(photo_id for photo_id in [*ends, *frames, *others] if photo_id is not None))
