"""The ends of a ranking are those that the whole ranking has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes import failed, scored
from hypothesis import given, settings
from hypothesis import strategies as st

from rali import rank
from rali.catalog.catalog import Catalog
from rali.catalog.ends import end, spread
from rali.catalog.records import Scope, Scoring
from rali.model.bundle import read_info

# Few scores, so that many are equal; in the second folder a few photos among the rest.
SCORES = st.lists(st.sampled_from([0.0, 10.0, 33.3, 50.0, 99.5, 100.0]), max_size=40)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog(tmp_path / "catalog.db") as opened:
        yield opened


@pytest.fixture
def scoring(catalog: Catalog, tiny_bundle: Path) -> Scoring:
    return catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")


@given(
    SCORES,
    st.lists(st.floats(0, 100), max_size=3),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from(["", "/p", "/q"]),
)
@settings(max_examples=60, deadline=None)
def test_the_ends_are_those_of_the_whole_ranking(
    tiny_bundle: Path,
    tmp_path_factory: pytest.TempPathFactory,
    many: list[float],
    few: list[float],
    limit: int,
    worst: bool,
    root: str,
) -> None:
    outcomes = [scored(f"/p/{at}.jpg", score) for at, score in enumerate(many)]
    outcomes += [scored(f"/q/{at}.jpg", score) for at, score in enumerate(few)]
    outcomes += [scored("/p/copy.jpg", many[0], content="/p/0.jpg")] if many else []
    with Catalog(tmp_path_factory.mktemp("world") / "catalog.db") as catalog:
        scoring = catalog.scoring(read_info(tiny_bundle), "fast-1.1-half")
        catalog.store([*outcomes, failed("/p/failed.jpg")], scoring)
        scope = Scope([root] if root else [])
        ids, scores = catalog.ranking(scoring, scope)
        counted = spread(catalog, scoring, scope, [10.0, 50.0])
        ends = end(catalog, scoring, scope, worst=worst, limit=limit, scored=counted.scored)

    step = 1 if worst else -1
    assert counted == (
        len(ids) + (root != "/q"), len(ids), [int((scores < 10).sum()), int((scores < 50).sum())],
    )  # fmt: skip
    assert [one.photo_id for one in ends] == ids[::step][:limit].tolist()
    assert [one.percentile for one in ends] == pytest.approx(rank.percentiles(scores)[::step][:limit].tolist())


def test_the_few_photos_of_a_folder_are_found_among_very_many(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored(f"/p/{at:03}.jpg", float(at % 90)) for at in range(200)], scoring)
    catalog.store([scored("/q/x.jpg", 95.0), scored("/q/y.jpg", 91.0)], scoring)

    ends = end(catalog, scoring, Scope(["/q"]), worst=True, limit=1, scored=2)

    assert [(os.path.basename(r.path), ends[0].percentile) for r in catalog.records([ends[0].photo_id], scoring)] == [
        ("y.jpg", 25.0)
    ]


def test_unlisted_photos_and_other_times_are_left_out(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored("/p/a.jpg", 1.0, captured_at="2026-05-01T10:00:00"), scored("/p/b.jpg", 2.0)], scoring)
    catalog.store([scored("/p/c.jpg", 3.0, captured_at="2026-05-02T10:00:00"), scored("/p/d.jpg", 0.0)], scoring)
    catalog.unlist([catalog.find("/p/d.jpg") or 0])

    assert spread(catalog, scoring, Scope()) == (3, 3, [])
    ends = end(catalog, scoring, Scope(since="2026-05"), worst=True, limit=5, scored=2)
    assert [(one.photo_id, one.percentile) for one in ends] == [
        (catalog.find("/p/a.jpg"), 25.0), (catalog.find("/p/c.jpg"), 75.0),
    ]  # fmt: skip


def test_of_nothing_there_are_no_ends(catalog: Catalog, scoring: Scoring) -> None:
    assert spread(catalog, scoring, Scope(), [1.0]) == (0, 0, [0])
    assert end(catalog, scoring, Scope(), worst=True, limit=5, scored=0) == []
