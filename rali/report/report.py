"""A ranking as one HTML file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

from rali.config import Settings
from rali.errors import DamagedModelError
from rali.explain import explain
from rali.listing import RankedPhoto, Ranking
from rali.model.registry import find_by_id
from rali.report.choice import Group, choose
from rali.report.html import render_page
from rali.report.page import make_page
from rali.report.pictures import PREVIEW, SMALL, PictureMaker, Pictures, preview_order, previews_that_fit
from rali.thumbnails.cache import ThumbnailCache


@dataclass(frozen=True)
class Report:
    """A report that was made.

    Attributes:
        html: all of it.
        photos: how many scored photos are on it; ``without_picture``: how many of them could not be pictured.
        notices: what people should know besides.
    """

    html: str
    photos: int
    without_picture: int
    notices: Sequence[str] = ()


def make_report(
    ranking: Ranking,
    settings: Settings,
    cache: ThumbnailCache,
    *,
    groups: Iterable[Group] = (),
    count: int = 500,
    on_picture: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> Report:
    """Make the report of a ranking: at most ``count`` photos, in 3 MB up to 500 of them, and in proportion above.

    Args:
        groups: photos that belong together; those that have no score, or lie outside the ranking, are left out.
        on_picture: is told whenever there is one more picture.
        stop: asked all the time; once true, no more pictures are made.

    Raises:
        WorkersError: no process that decodes can be started.
    """
    choice = choose(ranking, groups, count=count)
    photos, notices = _explained(ranking, choice.photos, settings)
    choice = replace(choice, photos=photos)
    files = {photo.record.photo_id: str(photo.record.path) for photo in photos}
    maker = PictureMaker(ranking.catalog, files, settings, cache, on_picture=on_picture, stop=stop)
    made_by = _made_by(ranking, settings)
    small, troubles = maker.make(list(files), SMALL)
    pictures = Pictures(small, {}, troubles)
    html = render_page(make_page(ranking, choice, pictures, made_by))
    wanted = [photo_id for photo_id in preview_order(choice) if photo_id in small]
    # As many as fit if each is as large as may be; they are not, and so there is room for more.
    while wanted and (room := previews_that_fit(len(files), len(html.encode()))):
        more, _ = maker.make(wanted[:room], PREVIEW)
        wanted = wanted[room:]
        pictures = replace(pictures, previews={**pictures.previews, **more})
        html = render_page(make_page(ranking, choice, pictures, made_by))
    return Report(html, len(files), len(files) - len(small), notices)


def _explained(
    ranking: Ranking, photos: Sequence[RankedPhoto], settings: Settings
) -> tuple[Sequence[RankedPhoto], list[str]]:
    try:
        return list(explain(ranking.catalog, ranking.scoring, photos, model=settings.model)), []
    except DamagedModelError as error:  # the scores are no worse for it
        return photos, [f"Nothing can be said of why: {error}"]


def _made_by(ranking: Ranking, settings: Settings) -> list[tuple[str, str]]:
    info = find_by_id(ranking.scoring.model_id, settings.model, ranking.scoring.model_name)
    meaning = [] if info is None else [("Scores", info.score_meaning)]
    made_at = time.strftime("%Y-%m-%d %H:%M")
    return [*meaning, ("Made", f"{made_at} by rali {version('rali')}")]
