"""What grouping asks of the catalog, and what it stores there: exposures, and the groups that are none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from rali.catalog.catalog import Catalog
from rali.catalog.records import Mark, Scope, Scoring
from rali.catalog.rows import chunks, exposure_row, now_text, split_names, unsigned
from rali.catalog.scope import in_scope, scope_lets_through
from rali.photos.exif import Exposure
from rali.photos.sniff import Format

_EXPOSURE = [column.name for column in fields(Exposure)]


class FrameFile(NamedTuple):
    """One of the listed photos that hold a content.

    Attributes:
        path: absolute.
        state: inode, size in bytes and mtime in ns of the file when it was last read.
        companions: names in the same folder.
    """

    photo_id: int
    path: str
    state: tuple[int, int, int]
    companions: tuple[str, ...]


class ScoredFrame(NamedTuple):
    """A content that has a score, with all of its listed photos in a scope.

    Attributes:
        hash: of the content.
        exposure: None if nobody has looked for it.
        difference_hash: 64 bits, unsigned.
        user_work: JSON of :mod:`rali.photos.user_work`; None if nobody has looked for it.
        mark: what the user decided about this content.
        files: by path.
    """

    content_id: int
    hash: bytes
    format: Format
    width: int
    height: int
    captured_at: str | None
    camera: str | None
    exposure: Exposure | None
    difference_hash: int
    score: float
    user_work: str | None
    mark: Mark | None
    files: tuple[FrameFile, ...]


def scored_frames(catalog: Catalog, scoring: Scoring, scope: Scope) -> list[ScoredFrame]:
    """Return the contents of the listed photos in ``scope`` that have a score by ``scoring``, by their ids."""
    source, conditions, values = in_scope(scope)
    if " contents c " not in source:
        source += " JOIN contents c ON c.id = p.content_id"
    rows = catalog.rows(
        f"""
        SELECT c.id, p.id, p.folder_id, p.name, p.inode, p.size_bytes, p.mtime_ns, p.companions
        FROM {source} JOIN scores s ON s.scoring_id = ? AND s.content_id = p.content_id
        WHERE p.listed AND {conditions}
        """,
        [scoring.id, *values],
    )
    folders = {number: os.fsdecode(path) for number, path in catalog.rows("SELECT id, path FROM folders")}
    files: dict[int, list[FrameFile]] = {}
    for content_id, photo_id, folder_id, name, inode, size_bytes, mtime_ns, companions in rows:
        path = os.path.join(folders[folder_id], os.fsdecode(name))
        if (scope.include or scope.exclude) and not scope_lets_through(scope, path, companions):
            continue
        file = FrameFile(photo_id, path, (unsigned(inode), size_bytes, mtime_ns), split_names(companions))
        files.setdefault(content_id, []).append(file)
    return list(_frames(catalog, scoring, files))


def _frames(catalog: Catalog, scoring: Scoring, files: Mapping[int, list[FrameFile]]) -> Iterator[ScoredFrame]:
    for chunk in chunks(sorted(files)):
        rows = catalog.rows(
            f"""
            SELECT c.id, c.hash, c.format, c.width, c.height, c.captured_at, c.camera, c.difference_hash, s.score,
                c.user_work, m.mark, e.content_id IS NOT NULL, {", ".join(f"e.{name}" for name in _EXPOSURE)}
            FROM contents c JOIN scores s ON s.scoring_id = ? AND s.content_id = c.id
            LEFT JOIN exposures e ON e.content_id = c.id
            LEFT JOIN marks m ON m.hash = c.hash
            WHERE c.id IN ({", ".join("?" * len(chunk))}) ORDER BY c.id
            """,
            [scoring.id, *chunk],
        )
        for content_id, held, format, width, height, captured_at, camera, bits, score, work, mark, known, *own in rows:
            yield ScoredFrame(
                content_id=content_id,
                hash=held,
                format=Format(format),
                width=width,
                height=height,
                captured_at=captured_at,
                camera=camera,
                exposure=Exposure(*own) if known else None,
                difference_hash=unsigned(bits),
                score=score,
                user_work=work,
                mark=cast("Mark | None", mark),
                files=tuple(sorted(files[content_id], key=lambda file: file.path)),
            )


def frame_vectors(catalog: Catalog, scoring: Scoring, content_ids: Iterable[int]) -> dict[int, NDArray[np.float16]]:
    """Return the embeddings [D] of contents, by id; those that have none are left out."""
    found: dict[int, NDArray[np.float16]] = {}
    for chunk in chunks(content_ids):
        rows = catalog.rows(
            f"""
            SELECT content_id, vector FROM embeddings
            WHERE scoring_id = ? AND content_id IN ({", ".join("?" * len(chunk))})
            """,
            [scoring.id, *chunk],
        )
        found.update((content_id, np.frombuffer(vector, dtype="<f2")) for content_id, vector in rows)
    return found


def store_exposures(catalog: Catalog, exposures: Mapping[int, Exposure]) -> None:
    """Note how contents, by id, were exposed: all of them, or on an error none."""
    with catalog.writing() as connection:
        for content_id, exposure in exposures.items():
            exposure_row(connection, content_id, exposure)


# --- what the user said ----------------------------------------------------------------------------------------


def splits(catalog: Catalog) -> list[list[int]]:
    """Return the ids of contents of which the user said that they are no group, decision by decision."""
    found: dict[int, list[int]] = {}
    for number, content_id in catalog.rows(
        "SELECT s.split, c.id FROM splits s JOIN contents c ON c.hash = s.hash ORDER BY s.split, c.id"
    ):
        found.setdefault(number, []).append(content_id)
    return list(found.values())


def add_splits(catalog: Catalog, decisions: Iterable[Iterable[bytes]]) -> None:
    """Note that contents, by hash, are no group: each of ``decisions`` for itself."""
    now = now_text()
    with catalog.writing() as connection:
        for hashes in decisions:
            (number,) = connection.execute("SELECT coalesce(max(split), 0) + 1 FROM splits").fetchone()
            connection.executemany(
                "INSERT OR IGNORE INTO splits VALUES (?, ?, ?)", [(number, content, now) for content in hashes]
            )


def drop_splits(catalog: Catalog, hashes: Sequence[bytes]) -> int:
    """Forget the decisions that name any of these contents, whole; return how many there were."""
    found: set[int] = set()
    with catalog.writing() as connection:
        for content in hashes:
            found.update(
                number for (number,) in connection.execute("SELECT split FROM splits WHERE hash = ?", (content,))
            )
        connection.executemany("DELETE FROM splits WHERE split = ?", [(number,) for number in found])
    return len(found)
