"""Why photos score as they do, in the words of the model that scored them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from rali.catalog.catalog import Catalog
from rali.catalog.embeddings import embeddings_of
from rali.catalog.records import Scoring
from rali.catalog.rows import cut
from rali.listing import RankedPhoto
from rali.model.registry import find_by_id
from rali.model.words import Description, Words, read_words


def explain(
    catalog: Catalog, scoring: Scoring, photos: Iterable[RankedPhoto], *, model: str = ""
) -> Iterator[RankedPhoto]:
    """Yield the photos with what their model says is wrong with each, where it has words and is sure.

    Nothing is decoded and no network is run: the embeddings lie in the catalog since the photos were scored. No more
    photos are taken at once than one question can name.

    Args:
        model: a name or path to look at first for the model of ``scoring``. Where that is not found, no photo is said
            anything of.

    Raises:
        DamagedModelError: the model's words are not whole; no photo is taken then.
    """
    info = find_by_id(scoring.model_id, model, scoring.model_name)
    words = None if info is None else read_words(info)
    return iter(photos) if words is None else _described(catalog, scoring, photos, words)


def _described(
    catalog: Catalog, scoring: Scoring, photos: Iterable[RankedPhoto], words: Words
) -> Iterator[RankedPhoto]:
    for some in cut(photos):
        whys: dict[int, Description | None] = {}
        scores = {photo.record.photo_id: photo.record.score for photo in some if photo.record.score is not None}
        for ids, embeddings in embeddings_of(catalog, list(scores), scoring, components=words.components):
            shares = np.array([scoring.share(scores[number]) for number in ids])
            whys.update(zip(ids, words.describe(embeddings, shares), strict=True))
        for photo in some:
            yield replace(photo, why=whys.get(photo.record.photo_id))
