"""What explains photos takes them a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from fakes import scored, write_changed, write_tiny_bundle

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope
from rali.catalog.rows import IDS_AT_ONCE
from rali.errors import DamagedModelError
from rali.explain import explain
from rali.listing import RankedPhoto, Wanted, rank_photos
from rali.model.bundle import read_info

PHOTOS = 2 * IDS_AT_ONCE + 10
BLURRED = [3.0, 0.0, 1.0, 0.0, 0.0, 0.0]


def test_of_a_million_photos_only_those_that_are_being_shown_are_held(own_world: Path) -> None:
    info = write_tiny_bundle(own_world / "models" / "tiny.safetensors", words=True)
    with Catalog(own_world / "catalog.db") as catalog:
        scoring = catalog.scoring(info, "fast-1.1-half")
        catalog.store([scored(f"/p/{at}.jpg", at, inode=at + 1, vector=BLURRED) for at in range(PHOTOS)], scoring)
        ranking = rank_photos(catalog, scoring, Scope())
        taken: list[RankedPhoto] = []

        def taking() -> Iterator[RankedPhoto]:
            for photo in ranking.each(Wanted()):
                taken.append(photo)
                yield photo

        photos = explain(catalog, scoring, taking())

        assert taken == []
        shown = list(islice(photos, 3))
        assert [photo.why.text for photo in shown if photo.why] == ["motion blur, strong"] * 3
        assert len(taken) == IDS_AT_ONCE
        assert [photo.record.score for photo in [*shown, *photos]] == list(range(PHOTOS))


def test_a_photo_that_scores_low_on_its_models_scale_is_explained_on_less_evidence(own_world: Path) -> None:
    path = own_world / "models" / "tiny.safetensors"
    write_tiny_bundle(path, words=True)

    def change(header: dict[str, Any], _: object) -> None:
        header.update(score_low=50.0, score_high=60.0)
        header["words"].update(least_margin=[[0.4, 0.05], [0.6, 1.0]])

    info = read_info(write_changed(path, path, change))
    scores = [59.0, 51.0, 56.5, 53.5, 50.0]
    with Catalog(own_world / "catalog.db") as catalog:
        scoring = catalog.scoring(info, "fast-1.1-half")
        photos = [scored(f"/p/{at}.jpg", score, inode=at + 1, vector=BLURRED) for at, score in enumerate(scores)]
        catalog.store(photos, scoring)
        found = list(explain(catalog, scoring, rank_photos(catalog, scoring, Scope()).each(Wanted())))

    explained = [photo.record.score for photo in found if photo.why is not None]
    assert explained == [50.0, 51.0, 53.5]


def test_words_that_are_damaged_are_told_before_a_photo_is_taken(own_world: Path) -> None:
    path = own_world / "models" / "tiny.safetensors"
    info = write_tiny_bundle(path, words=True)
    write_changed(path, path, lambda header, _: header["words"].update(least_margin=None))
    with Catalog(own_world / "catalog.db") as catalog:
        scoring = catalog.scoring(info, "fast-1.1-half")

        with pytest.raises(DamagedModelError):
            explain(catalog, scoring, iter(()), model=str(path))
