"""What stands on the page, as texts: nothing in it can act on a terminal or a browser, and nothing is decided later."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rali import rank
from rali.catalog.records import Scoring
from rali.listing import RankedPhoto, Ranking
from rali.photos.photo import display_path
from rali.report.choice import Choice, GroupChoice
from rali.report.pictures import Pictures

_QUANTILES = {"lowest": 0, "5th percentile": 5, "median": 50, "95th percentile": 95, "highest": 100}


@dataclass(frozen=True)
class Tile:
    """One scored photo.

    Attributes:
        number: its id on the page.
        name, folder: of its file, the folder relative to the page's; safe to show.
        also: suffixes of the other files of its shot.
        score, percentile: as shown; ``value``: the score to sort by.
        level: 0 to 2, the lower, middle or upper part of the scale.
        taken: ``2026-05-01 12:00:00``, or nothing.
        why: what its model says is wrong with it, or nothing.
        small, preview: data URIs, or nothing.
        trouble: why it has no picture.
    """

    number: int
    name: str
    folder: str
    also: str
    score: str
    value: float
    level: int
    percentile: str
    taken: str
    why: str
    small: str
    preview: str
    trouble: str


@dataclass(frozen=True)
class GroupRow:
    """Photos that belong together.

    Attributes:
        kind: in a word.
        frames: how many there are, when the first was taken, and why the best is the best if scores do not say so.
        tiles: those that are on the page; ``best``: the number of the marked one; ``more``: how many are not shown.
    """

    kind: str
    frames: str
    tiles: Sequence[Tile]
    best: int | None
    more: int


@dataclass(frozen=True)
class FailureRow:
    """A photo without a score, and why."""

    name: str
    folder: str
    kind: str
    message: str


@dataclass(frozen=True)
class Bar:
    """One bar of the histogram: its range and count as text, its height as a share of the highest."""

    span: str
    low: str
    count: str
    height: float


@dataclass(frozen=True)
class Page:
    """All that the template shows.

    Attributes:
        title, place: of what; the folder that all photos lie in, if they share one.
        summary: how many, one sentence each.
        spread: names and values of quantiles.
        made_by: names and values of the scores' provenance.
        tiles: every photo, worst first.
        high: the upper end of the scale, under the histogram.
    """

    title: str
    place: str
    summary: Sequence[str]
    bars: Sequence[Bar]
    high: str
    spread: Sequence[tuple[str, str]]
    tiles: Sequence[Tile]
    worst: Sequence[Tile]
    best: Sequence[Tile]
    groups: Sequence[GroupRow]
    more_groups: int
    failures: Sequence[FailureRow]
    more_failures: int
    made_by: Sequence[tuple[str, str]]


def make_page(ranking: Ranking, choice: Choice, pictures: Pictures, made_by: Sequence[tuple[str, str]]) -> Page:
    """Put the page's texts together.

    Args:
        made_by: further lines about where the page is from, besides the scores' own.
    """
    scoring = ranking.scoring
    base = _common_folder([photo.record.path for photo in [*choice.photos, *choice.failures]])
    tiles = {photo.record.photo_id: _tile(photo, scoring, base, pictures) for photo in choice.photos}
    bars = rank.histogram(ranking.scores, low=scoring.score_low, high=scoring.score_high)
    return Page(
        title=f"Photos in {display_path(name)}" if (name := os.path.basename(base)) else "Photos",
        place=display_path(base) if name else "",
        summary=_summary(ranking, choice),
        bars=_bars(bars, scoring),
        high=scoring.edge_text(scoring.score_high),
        spread=_spread(ranking),
        tiles=list(tiles.values()),
        worst=[tiles[photo_id] for photo_id in choice.worst],
        best=[tiles[photo_id] for photo_id in choice.best],
        groups=[_group_row(group, tiles) for group in choice.groups],
        more_groups=choice.groups_in_all - len(choice.groups),
        failures=[_failure_row(photo, base) for photo in choice.failures],
        more_failures=len(ranking.failed) - len(choice.failures),
        made_by=[
            ("Model", f"{display_path(scoring.model_name)} ({scoring.model_id})"),
            ("Recipe", scoring.recipe),
            ("Scale", f"{scoring.score_low:g} to {scoring.score_high:g}, higher is better"),
            *((name, display_path(value)) for name, value in made_by),
        ],
    )


def _tile(photo: RankedPhoto, scoring: Scoring, base: str, pictures: Pictures) -> Tile:
    record = photo.record
    score = scoring.score_low if record.score is None else record.score
    folder, name = _place(record.path, base)
    suffixes = [os.path.splitext(companion)[1].removeprefix(".").upper() for companion in record.companions]
    return Tile(
        number=record.photo_id,
        name=name,
        folder=folder,
        also=display_path(" ".join(suffixes)),
        score=scoring.text(score),
        value=score,
        level=scoring.level(score),
        percentile="" if photo.percentile is None else f"{photo.percentile:.0f}",
        taken=display_path((record.captured_at or "").replace("T", " ")[:19]),
        why="" if photo.why is None else display_path(photo.why.text),
        small=pictures.small.get(record.photo_id, ""),
        preview=pictures.previews.get(record.photo_id, ""),
        trouble=display_path(pictures.troubles.get(record.photo_id, "")),
    )


def _place(path: Path, base: str) -> tuple[str, str]:
    folder = os.path.relpath(path.parent, base)
    return "" if folder == os.curdir else display_path(folder), display_path(path.name)


def _common_folder(paths: Sequence[Path]) -> str:
    return os.path.commonpath([path.parent for path in paths]) if paths else os.sep


def _summary(ranking: Ranking, choice: Choice) -> list[str]:
    scored, shown = len(ranking.ids), len(choice.photos)
    lines = [f"{scored:,} scored photos"]
    if shown < scored:
        lines.append(f"{shown:,} of them are on this page: the worst, the best and the largest groups")
    if ranking.failed:
        lines.append(f"{len(ranking.failed):,} could not be scored")
    if ranking.unscored:
        lines.append(f"{ranking.unscored:,} have no score by this model yet")
    return lines


def _spread(ranking: Ranking) -> list[tuple[str, str]]:
    if not len(ranking.scores):
        return []
    values = np.percentile(ranking.scores, list(_QUANTILES.values()))
    return [(name, ranking.scoring.text(float(v))) for name, v in zip(_QUANTILES, values, strict=True)]


def _bars(bins: Sequence[rank.Bin], scoring: Scoring) -> list[Bar]:
    most = max([each.count for each in bins], default=0) or 1
    return [
        Bar(
            span=f"{scoring.edge_text(each.low)} to {scoring.edge_text(each.high)}",
            low=scoring.edge_text(each.low),
            count=f"{each.count:,}",
            height=each.count / most,
        )
        for each in bins
    ]


def _group_row(chosen: GroupChoice, tiles: dict[int, Tile]) -> GroupRow:
    group = chosen.group
    shown = [tiles[photo_id] for photo_id in chosen.shown if photo_id in tiles]
    taken = min([tile.taken for tile in shown if tile.taken], default="")
    return GroupRow(
        kind=display_path(group.kind),
        frames="".join(
            (
                f"{len(group.photo_ids):,} frames",
                f", {taken}" if taken else "",
                f"; best: {display_path(group.chosen_by)}" if group.chosen_by else "",
            )
        ),
        tiles=shown,
        best=group.best_id,
        more=len(group.photo_ids) - len(shown),
    )


def _failure_row(photo: RankedPhoto, base: str) -> FailureRow:
    folder, name = _place(photo.record.path, base)
    kind, message = photo.record.failure_kind or "", photo.record.failure_message or ""
    return FailureRow(name, folder, display_path(kind), display_path(message))
