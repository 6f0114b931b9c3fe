"""What photos held of the user's work when they were last scored."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from rali.catalog.catalog import Catalog
from rali.catalog.rows import chunks


def user_work_of(catalog: Catalog, photo_ids: Iterable[int]) -> Iterator[tuple[int, str, str, str | None]]:
    """Yield id, folder, name and JSON of :mod:`rali.photos.user_work` of photos, in order; None if nobody looked."""
    for chunk in chunks(photo_ids):
        rows = catalog.rows(
            f"""
            SELECT p.id, f.path, p.name, c.user_work FROM photos p JOIN folders f ON f.id = p.folder_id
            LEFT JOIN contents c ON c.id = p.content_id WHERE p.id IN ({", ".join("?" * len(chunk))})
            """,
            chunk,
        )
        found = {photo_id: (os.fsdecode(folder), os.fsdecode(name), work) for photo_id, folder, name, work in rows}
        yield from ((photo_id, *found[photo_id]) for photo_id in chunk if photo_id in found)
