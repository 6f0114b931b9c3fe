"""Why photos score as they do, in the words of the model that scored them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rali.catalog.catalog import Catalog
from rali.catalog.embeddings import embeddings_of
from rali.catalog.records import Scoring
from rali.listing import RankedPhoto
from rali.model.registry import find_by_id
from rali.model.words import Description, read_words


def explain(catalog: Catalog, scoring: Scoring, photos: Sequence[RankedPhoto], *, model: str = "") -> list[RankedPhoto]:
    """Return the photos with what their model says is wrong with each, where it has words and is sure.

    Nothing is decoded and no network is run: the embeddings lie in the catalog since the photos were scored.

    Args:
        model: a name or path to look at first for the model of ``scoring``. Where that is not found, no photo is said
            anything of.

    Raises:
        DamagedModelError: the model's words are not whole.
    """
    info = find_by_id(scoring.model_id, model, scoring.model_name)
    words = None if info is None else read_words(info)
    if words is None:
        return list(photos)
    whys: dict[int, Description | None] = {}
    scored = [photo.record.photo_id for photo in photos if photo.record.score is not None]
    for ids, embeddings in embeddings_of(catalog, scored, scoring, components=words.components):
        whys.update(zip(ids, words.describe(embeddings), strict=True))
    return [replace(photo, why=whys.get(photo.record.photo_id)) for photo in photos]
