"""The embeddings that the catalog keeps beside the scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scoring
from rali.catalog.rows import chunks


def embeddings_of(
    catalog: Catalog, photo_ids: Sequence[int], scoring: Scoring, *, components: int
) -> Iterator[tuple[list[int], NDArray[np.float16]]]:
    """Yield photos' compressed embeddings in batches, in no particular order.

    Args:
        components: D; what is stored with another length is left out, as are photos that have no embedding.

    Yields:
        Ids of photos [N] and their embeddings [N, D].
    """
    # CROSS JOIN is SQLite's word for this order: of 900 photos it would rather go through all embeddings.
    for chunk in chunks(photo_ids):
        rows = catalog.rows(
            f"""
            SELECT p.id, e.vector FROM photos p
            CROSS JOIN embeddings e ON e.scoring_id = ? AND e.content_id = p.content_id
            WHERE p.id IN ({", ".join("?" * len(chunk))}) AND length(e.vector) = ?
            """,
            [scoring.id, *chunk, 2 * components],
        )
        vectors = np.frombuffer(b"".join(vector for _, vector in rows), dtype="<f2")
        yield [photo_id for photo_id, _ in rows], vectors.reshape(len(rows), components)
