"""The photos that a review is about, as the catalog knows them: by number, and for the page without any path."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rali.catalog.catalog import Catalog
from rali.catalog.records import Mark, Scope, Scoring
from rali.grouping.bursts import Burst
from rali.listing import rank_photos
from rali.photos.photo import display_path
from rali.thumbnails.making import Request, requests_for


@dataclass(frozen=True)
class Library:
    """The scored photos of a scope.

    Attributes:
        roots: the folders and files asked for; of the whole catalog, the topmost folders that hold photos.
        requests: photo id -> file and what it holds, so that its picture can be made.
        alike: content hash -> ids of all photos that hold it: a mark is a mark of all.
        marks: photo id -> what the user decided, if anything.
        columns: for the page: what there is to know of each photo, worst first.
    """

    scoring: Scoring
    scope: Scope
    roots: tuple[str, ...]
    requests: Mapping[int, Request]
    alike: Mapping[bytes, Sequence[int]]
    marks: dict[int, Mark]
    columns: Mapping[str, Any]


def load_library(catalog: Catalog, scoring: Scoring, scope: Scope) -> Library:
    """Look up all scored photos of a scope.

    Raises:
        PathError: the catalog knows no photo in the scope.
    """
    ranking = rank_photos(catalog, scoring, scope)
    records = list(catalog.records(ranking.ids, scoring))
    percentiles = dict(zip(ranking.ids.tolist(), ranking.percentiles.tolist(), strict=True))
    requests = requests_for(catalog, [os.fspath(record.path) for record in records])
    alike: dict[bytes, list[int]] = {}
    for record, request in zip(records, requests, strict=True):
        if request.content_hash is not None:
            alike.setdefault(request.content_hash, []).append(record.photo_id)
    folders: dict[str, int] = {}
    # Made once of each: a million photos lie in a few thousand folders.
    places = [folders.setdefault(os.path.dirname(request.file), len(folders)) for request in requests]
    columns = {
        "id": [record.photo_id for record in records],
        "name": [display_path(record.path.name) for record in records],
        "folder": places,
        "score": [_finite(record.score) for record in records],
        "percentile": [round(percentiles[record.photo_id], 1) for record in records],
        # With parts of a second: they alone tell in what order a burst was taken.
        "taken": [display_path((record.captured_at or "")[:23].replace("T", " ")) for record in records],
        "width": [record.width or 0 for record in records],
        "height": [record.height or 0 for record in records],
        "also": [display_path(" ".join(map(_suffix, record.companions))) for record in records],
    }
    marks = {photo.photo_id: photo.mark for photo in catalog.candidates(scoring, scope) if photo.mark is not None}
    return Library(
        scoring=scoring,
        scope=scope,
        roots=tuple(scope.roots) or tuple(_topmost(folders)),
        requests={record.photo_id: request for record, request in zip(records, requests, strict=True)},
        alike=alike,
        marks=marks,
        columns={
            "low": scoring.score_low,
            "high": scoring.score_high,
            "model": f"{display_path(scoring.model_name)} ({scoring.model_id})",
            "recipe": scoring.recipe,
            "folders": [display_path(folder) for folder in folders],
            "failed": len(ranking.failed),
            "unscored": ranking.unscored,
            "photos": columns,
        },
    )


def groups_for_page(bursts: Iterable[Burst], library: Library) -> list[dict[str, Any]]:
    """Describe groups by the ids of their photos, best first; one photo stands for all that hold the same."""
    return [
        {"kind": burst.kind, "whole": burst.kept_whole, "photos": ids}
        for burst in bursts
        if len(ids := [_first_known(frame.frame.files, library) for frame in burst.frames]) > 1 and None not in ids
    ]


def _first_known(files: Iterable[Any], library: Library) -> int | None:
    return next((file.photo_id for file in files if file.photo_id in library.requests), None)


def _topmost(folders: Iterable[str]) -> list[str]:
    """Return the folders that lie in no other of them."""
    found: list[str] = []
    for folder in sorted(folders, key=lambda each: each.rstrip(os.sep) + os.sep):
        if not found or not folder.startswith(found[-1].rstrip(os.sep) + os.sep):
            found.append(folder)
    return found


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].removeprefix(".").upper()


def _finite(score: float | None) -> float | None:
    return round(score, 3) if score is not None and math.isfinite(score) else None
