"""Whether a folder is as the catalog remembers it: asked of every folder at each rescan."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scoring
from rali.catalog.rows import join_names, signed
from rali.photos.photo import Photo

_SIGNED_END = 1 << 63


def lists_exactly(catalog: Catalog, folder: str, photos: Mapping[str, Photo], scoring: Scoring) -> bool:
    """Tell if the photos found in ``folder`` itself are those listed there, each unchanged and scored.

    Cheaper than :meth:`Catalog.known_in` and a comparison. False says nothing: a folder may also be unchanged but for
    a failure, say.
    """
    rows = catalog.rows(
        """
        SELECT p.name, p.device, p.inode, p.size_bytes, p.mtime_ns, p.companions, s.content_id IS NOT NULL
        FROM folders f
        JOIN photos p ON p.folder_id = f.id
        LEFT JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
        WHERE f.path = ? AND p.listed
        ORDER BY p.name
        """,
        (scoring.id, os.fsencode(folder)),
    )
    return len(rows) == len(photos) and rows == _listed_rows(photos)


def _listed_rows(photos: Mapping[str, Photo]) -> list[tuple[bytes, int, int, int, int, bytes, int]]:
    """Return what :func:`lists_exactly` reads of photos by name that are listed and scored, in their order."""
    # Once for every file of an unchanged library: no function is called that need not be.
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    return [
        (
            name.encode(encoding, errors),
            device if device < _SIGNED_END else signed(device),
            inode if inode < _SIGNED_END else signed(inode),
            size_bytes,
            mtime_ns,
            join_names(companions) if companions else b"",
            1,
        )
        for name, (_, device, inode, size_bytes, mtime_ns, companions) in photos.items()
    ]
