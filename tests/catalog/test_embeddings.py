"""The embeddings that the catalog keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes import failed, scored, write_tiny_bundle

from rali.catalog.catalog import Catalog
from rali.catalog.embeddings import embeddings_of
from rali.model.bundle import read_info


def test_each_photo_has_the_embedding_of_its_content_by_the_scoring_asked_about(
    own_world: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    with Catalog(own_world / "catalog.db") as catalog:
        other = catalog.scoring(write_tiny_bundle(tmp_path / "other", seed=1), "fast-1.1-half")
        scoring = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
        catalog.store([scored("/a/1.jpg", 1.0, vector=[9.0, 9.0])], other)
        catalog.store(
            [
                scored("/a/1.jpg", 1.0, vector=[0.5, 1.0]),
                scored("/a/2.jpg", 2.0, vector=[1.0, -2.0]),
                scored("/a/copy.jpg", 2.0, content="/a/2.jpg", vector=[1.0, -2.0]),
                scored("/a/odd.jpg", 2.0, vector=[1.0, 2.0, 3.0]),
                failed("/a/bad.jpg"),
            ],
            scoring,
        )
        ids = {name: catalog.find(f"/a/{name}.jpg") or 0 for name in ("1", "2", "copy", "odd", "bad")}

        batches = list(embeddings_of(catalog, list(ids.values()), scoring, components=2))

    found = {photo: list(vector) for photos, vectors in batches for photo, vector in zip(photos, vectors, strict=True)}
    assert found == {ids["1"]: [0.5, 1.0], ids["2"]: [1.0, -2.0], ids["copy"]: [1.0, -2.0]}


@pytest.mark.parametrize("count", [0, 1, 2000])
def test_any_number_of_photos_can_be_asked_about(own_world: Path, tiny_bundle: Path, count: int) -> None:
    with Catalog(own_world / "catalog.db") as catalog:
        scoring = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
        catalog.store([scored(f"/a/{number}.jpg", 1.0, inode=number + 1) for number in range(count)], scoring)

        batches = list(embeddings_of(catalog, range(1, count + 1), scoring, components=2))

    assert sorted(photo for photos, _ in batches for photo in photos) == list(range(1, count + 1))
    assert sum(len(vectors) for _, vectors in batches) == count
