"""Whether a folder is as the catalog remembers it: asked of every folder at each rescan.

The first look that finds it so compares every photo with its row, and notes a digest of what lay there, and the scores;
later ones compare digests. No note can hide a change: it counts only at the revision of the folder at which it was
made, and triggers in the database (see :mod:`rali.catalog.migrations`) count that up with each change of a row below
it, whoever makes it.
"""

from __future__ import annotations

import marshal
import os
import sys
from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scoring
from rali.catalog.rows import join_names, signed
from rali.errors import CatalogBusyError, CatalogWriteError
from rali.photos.photo import Photo

# What makes a look, ``l``, at the folder ``f`` count; its value is a scoring's id.
COUNTS = "l.folder_id = f.id AND l.scoring_id = ? AND l.revision = f.revision"
_SIGNED_END = 1 << 63
_DIGEST_BYTES = 16
_MARSHAL_VERSION = 2  # the last one in which equal values are always equal bytes
_STORE_EVERY_PHOTOS = 100_000


class Looks:
    """Folders that were found as they are listed, to be noted together: a note for each would cost a commit each."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._rows: list[tuple[int, int, int, bytes, bytes]] = []
        self._photos = 0

    def add(self, folder_id: int, scoring: Scoring, revision: int, digest: bytes, scores: list[float]) -> None:
        """Note what lies in a folder, at a revision of it that was read before the comparison."""
        self._rows.append((folder_id, scoring.id, revision, digest, _packed(scores)))
        self._photos += len(scores)
        if self._photos >= _STORE_EVERY_PHOTOS:
            self.store()

    def store(self) -> None:
        """Write down what was noted, unless the catalog is locked or cannot be written.

        Raises:
            CatalogError: see :class:`~rali.catalog.catalog.Catalog`.
        """
        if self._rows:
            # Notes only make the next rescan faster; a locked catalog or a full disk is no reason to end this one.
            with suppress(CatalogBusyError, CatalogWriteError), self._catalog.writing() as connection:
                connection.executemany("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()
        self._photos = 0


def lists_exactly(
    catalog: Catalog, folder: str, photos: Mapping[str, Photo], scoring: Scoring, looks: Looks | None = None
) -> bool:
    """Tell if the photos found in ``folder`` itself are those listed there, each unchanged and scored.

    Cheaper than :meth:`Catalog.known_in` and a comparison. False says nothing: a folder may also be unchanged but for
    a failure, say.

    Args:
        looks: told if the photos had to be compared one by one, so that they need not be the next time.
    """
    digest = _digest(photos)
    known = catalog.rows(
        f"SELECT f.id, f.revision, l.digest FROM folders f LEFT JOIN looks l ON {COUNTS} WHERE f.path = ?",
        (scoring.id, os.fsencode(folder)),
    )
    if not known:
        return False
    ((folder_id, revision, seen),) = known
    if seen == digest:
        return True
    rows = catalog.rows(
        """
        SELECT p.name, p.device, p.inode, p.size_bytes, p.mtime_ns, p.companions, s.score
        FROM photos p LEFT JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
        WHERE p.folder_id = ? AND p.listed
        ORDER BY p.name
        """,
        (scoring.id, folder_id),
    )
    scores = [score for *_, score in rows]
    if len(rows) != len(photos) or None in scores or [row[:-1] for row in rows] != _listed_rows(photos):
        return False
    if looks is not None:
        looks.add(folder_id, scoring, revision, digest, scores)
    return True


def scores_seen(catalog: Catalog, scoring: Scoring, condition: str, values: list[object]) -> Iterator[array[float]]:
    """Yield the scores of all photos listed in a folder, ascending; only for folders whose note counts.

    Args:
        condition, values: which folders ``f``, in SQL.
    """
    for (scores,) in catalog.rows(
        f"SELECT l.scores FROM folders f JOIN looks l ON {COUNTS} WHERE {condition}", [scoring.id, *values]
    ):
        yield _unpacked(scores)


def _packed(scores: list[float]) -> bytes:
    """Put scores, ascending, into one value: float64, little-endian."""
    packed = array("d", sorted(scores))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _unpacked(scores: bytes) -> array[float]:
    """Undo :func:`_packed`."""
    unpacked = array("d", scores)
    if sys.byteorder == "big":
        unpacked.byteswap()
    return unpacked


def _digest(photos: Mapping[str, Photo]) -> bytes:
    """Return a hash of all that is compared of photos: no two libraries will ever meet in one of 128 bits."""
    return blake2b(marshal.dumps([*map(tuple, photos.values())], _MARSHAL_VERSION), digest_size=_DIGEST_BYTES).digest()


def _listed_rows(photos: Mapping[str, Photo]) -> list[tuple[bytes, int, int, int, int, bytes]]:
    """Return what :func:`lists_exactly` reads of photos by name that are listed, in their order."""
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
        )
        for name, (_, device, inode, size_bytes, mtime_ns, companions) in photos.items()
    ]
