"""What the catalog remembers and what it answers."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FORMAT, failed, photo, prepared, scored, write_tiny_bundle

from rali.catalog import catalog as catalog_module
from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, Scope, Scoring
from rali.catalog.unchanged import lists_exactly
from rali.errors import CatalogBusyError, CatalogWriteError, FailureKind
from rali.model.bundle import BundleInfo
from rali.photos.photo import Photo
from rali.prepare import Failure


@pytest.fixture
def path(own_world: Path) -> Path:
    return own_world / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with Catalog(path) as opened:
        yield opened


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> BundleInfo:
    return write_tiny_bundle(tmp_path_factory.mktemp("models") / "tiny.safetensors")


@pytest.fixture
def scoring(catalog: Catalog, info: BundleInfo) -> Scoring:
    return catalog.scoring(info, "fast-1.1-half")


def files(catalog: Catalog, scoring: Scoring, scope: Scope | None = None) -> list[str]:
    ids, _ = catalog.ranking(scoring, scope or Scope())
    return [os.fspath(record.path) for record in catalog.records(ids, scoring)]


def test_what_is_stored_comes_back(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store(
        [scored("/p/a.jpg", 61.5, captured_at="2026-05-01T12:00:00.25", companions=("a.CR2", "a.xmp"))], scoring
    )

    ids, scores = catalog.ranking(scoring, Scope())
    (record,) = catalog.records(ids, scoring)

    assert scores.tolist() == [61.5]
    assert (os.fspath(record.path), record.score, record.size_bytes) == ("/p/a.jpg", 61.5, 100)
    assert (record.width, record.height, record.format, record.camera) == (40, 30, FORMAT, "Canon EOS 7D")
    assert record.captured_at == "2026-05-01T12:00:00.25"
    assert record.companions == ("a.CR2", "a.xmp")
    assert record.failure_kind is record.failure_message is None


def test_an_embedding_is_float16_of_two_bytes_a_component(
    catalog: Catalog, scoring: Scoring, rows: Callable[..., Any]
) -> None:
    catalog.store([scored("/p/a.jpg", 61.5)], scoring)

    ((vector,),) = rows("SELECT vector FROM embeddings")

    assert len(vector) == 2 * 2
    assert np.frombuffer(vector, dtype="<f2").tolist() == [61.5, 1.0]


@pytest.mark.parametrize(
    "name",
    [b"caf\xe9.jpg", "café.jpg".encode(), "cafe\u0301.jpg".encode(), b"a\nb.jpg", b"-rf.jpg", b"'; DROP TABLE.jpg"],
)
def test_any_name_comes_back_to_the_byte(
    catalog: Catalog, scoring: Scoring, rows: Callable[..., Any], name: bytes
) -> None:
    file = os.fsdecode(b"/p\xff/" + name)
    catalog.store([scored(file, 50.0, companions=(os.fsdecode(name) + ".xmp",))], scoring)

    assert files(catalog, scoring) == [file]
    assert rows("SELECT f.path, p.name FROM photos p JOIN folders f ON f.id = p.folder_id") == [(b"/p\xff", name)]
    assert catalog.find(file) is not None
    assert list(catalog.known_in(os.path.dirname(file), scoring)) == [os.fsdecode(name)]
    assert files(catalog, scoring, Scope([file])) == [file]
    assert files(catalog, scoring, Scope(["/p\udcff"])) == [file]


def test_names_that_differ_in_unicode_form_or_case_are_different_photos(catalog: Catalog, scoring: Scoring) -> None:
    names = ["/p/caf\u00e9.jpg", "/p/cafe\u0301.jpg", "/p/CAF\u00c9.jpg"]
    catalog.store([scored(name, number) for number, name in enumerate(names)], scoring)

    assert files(catalog, scoring) == names


def test_numbers_of_64_bits_come_back(catalog: Catalog, scoring: Scoring, rows: Callable[..., Any]) -> None:
    big = (1 << 64) - 5
    taken = photo("/p/a.jpg", inode=big)
    catalog.store([Outcome(taken, prepared(taken, "a", difference_hash=big), 50.0, b"")], scoring)

    assert catalog.known_in("/p", scoring)["a.jpg"].inode == big
    assert rows("SELECT difference_hash & 15 FROM contents") == [(big & 15,)]


def test_photos_are_ranked_worst_first_and_equal_ones_always_in_the_same_order(
    catalog: Catalog, scoring: Scoring
) -> None:
    catalog.store([scored("/p/b.jpg", 50), scored("/p/c.jpg", 20), scored("/p/a.jpg", 50)], scoring)

    assert files(catalog, scoring) == ["/p/c.jpg", "/p/b.jpg", "/p/a.jpg"]


def test_storing_a_photo_again_replaces_it(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored("/p/a.jpg", 50)], scoring)
    catalog.store([scored("/p/a.jpg", 51)], scoring)

    assert catalog.counts() == {"photos": 1, "contents": 1, "scores": 1, "failures": 0}
    assert catalog.ranking(scoring, Scope())[1].tolist() == [51]


def test_a_store_that_fails_stores_nothing_of_its_group(catalog: Catalog, scoring: Scoring) -> None:
    bad = scored("/p/b.jpg", 50)
    bad.__dict__["score"] = object()  # what SQLite cannot bind

    with pytest.raises(Exception):  # noqa: B017, PT011 (whatever it is, nothing may stay)
        catalog.store([scored("/p/a.jpg", 50), bad], scoring)

    assert catalog.counts()["photos"] == 0


def test_a_full_disk_in_the_middle_of_a_run_keeps_what_was_stored_before(
    catalog: Catalog, scoring: Scoring, path: Path
) -> None:
    catalog.store([scored("/p/first.jpg", 50)], scoring)
    connection = catalog._db
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(CatalogWriteError, match=r"what was stored is safe"):
        catalog.store([scored(f"/p/{number}.jpg", 50) for number in range(2000)], scoring)

    with Catalog(path) as again:
        assert again.check() is None
        assert files(again, scoring) == ["/p/first.jpg"]


# --- row 42: what made a score -----------------------------------------------------------------------------------


def test_scores_of_another_model_or_recipe_are_never_shown(
    catalog: Catalog, scoring: Scoring, info: BundleInfo, tmp_path: Path
) -> None:
    other_recipe = catalog.scoring(info, "exact-1.1-float32")
    other_model = catalog.scoring(write_tiny_bundle(tmp_path / "b", seed=1), "fast-1.1-half")
    for made_by, score in ((scoring, 10.0), (other_recipe, 20.0), (other_model, 30.0)):
        catalog.store([scored("/p/a.jpg", score)], made_by)
    catalog.store([scored("/p/b.jpg", 99.0)], other_model)

    for made_by, expected in ((scoring, [10.0]), (other_recipe, [20.0]), (other_model, [30.0, 99.0])):
        ids, scores = catalog.ranking(made_by, Scope())
        assert scores.tolist() == expected
        assert [record.score for record in catalog.records(ids, made_by)] == expected


def test_a_photo_scored_by_one_model_is_not_scored_by_another(
    catalog: Catalog, scoring: Scoring, info: BundleInfo
) -> None:
    catalog.store([scored("/p/a.jpg", 50)], scoring)
    other = catalog.scoring(info, "exact-1.1-float32")

    assert catalog.known_in("/p", scoring)["a.jpg"].scored
    assert not catalog.known_in("/p", other)["a.jpg"].scored
    assert catalog.score_of(b"/p/a.jpg".ljust(16, b"."), other) is None


def test_a_model_that_fails_on_a_photo_takes_nothing_from_another_models_score(
    catalog: Catalog, scoring: Scoring, info: BundleInfo
) -> None:
    catalog.store([scored("/p/a.jpg", 50)], scoring)
    other = catalog.scoring(info, "exact-1.1-float32")
    taken = photo("/p/a.jpg")
    failure = Failure(FailureKind.NOT_FINITE, "no finite score")
    catalog.store([Outcome(taken, prepared(taken, "/p/a.jpg"), failure=failure)], other)

    assert catalog.failed(scoring, Scope()) == []
    ids, _ = catalog.ranking(scoring, Scope())
    assert [(record.score, record.failure_kind) for record in catalog.records(ids, scoring)] == [(50, None)]
    assert len(catalog.failed(other, Scope())) == 1
    assert catalog.ranking(other, Scope())[0].tolist() == []


def test_the_scoring_used_last_comes_first(catalog: Catalog, scoring: Scoring, info: BundleInfo) -> None:
    other = catalog.scoring(info, "exact-1.1-float32")
    for made_by in (scoring, other):
        catalog.store([scored("/p/a.jpg", 50)], made_by)

    assert [found.id for found in catalog.scorings()] == [other.id, scoring.id]
    catalog.scoring(info, "fast-1.1-half")
    assert [found.id for found in catalog.scorings()] == [scoring.id, other.id]


def test_the_scoring_used_last_comes_first_though_the_clock_went_back(
    catalog: Catalog, scoring: Scoring, info: BundleInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.store([scored("/p/a.jpg", 50)], scoring)
    monkeypatch.setattr(catalog_module, "now_text", lambda: "1999-01-01T00:00:00.000+00:00")
    other = catalog.scoring(info, "exact-1.1-float32")
    catalog.store([scored("/p/a.jpg", 50)], other)

    assert next(iter(catalog.scorings())).id == other.id


def test_scorings_are_found_by_model_name_by_id_and_by_recipe(
    catalog: Catalog, scoring: Scoring, info: BundleInfo
) -> None:
    catalog.store([scored("/p/a.jpg", 50)], scoring)

    assert catalog.scorings(model="tiny") == catalog.scorings(model=info.model_id) == [scoring]
    assert catalog.scorings(recipe="fast") == [scoring]
    assert catalog.scorings(recipe="exact") == catalog.scorings(model="mini") == []


def test_a_scoring_without_a_score_is_not_offered(catalog: Catalog, scoring: Scoring) -> None:
    assert catalog.scorings() == []


# --- failures ------------------------------------------------------------------------------------------------------


def test_a_failure_is_remembered_with_kind_and_message(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([failed("/p/a.jpg")], scoring)

    (record,) = catalog.records(catalog.failed(scoring, Scope()), scoring)

    assert (record.score, record.failure_kind, record.failure_message) == (None, FailureKind.CORRUPT, "it is broken")
    assert catalog.known_in("/p", scoring)["a.jpg"].failed
    assert catalog.ranking(scoring, Scope())[0].tolist() == []


def test_a_score_clears_the_failure_and_a_failure_the_score(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([failed("/p/a.jpg")], scoring)
    catalog.store([scored("/p/a.jpg", 50, mtime_ns=2)], scoring)
    assert catalog.failed(scoring, Scope()) == []

    catalog.store([failed("/p/a.jpg", mtime_ns=3)], scoring)
    assert len(catalog.failed(scoring, Scope())) == 1
    assert catalog.ranking(scoring, Scope())[0].tolist() == []


@pytest.mark.parametrize("kind", [FailureKind.VANISHED, FailureKind.UNREADABLE, FailureKind.CHANGED])
def test_a_failure_that_may_pass_is_looked_at_again(catalog: Catalog, scoring: Scoring, kind: FailureKind) -> None:
    catalog.store([failed("/p/a.jpg", kind, mtime_ns=5)], scoring)

    assert catalog.known_in("/p", scoring)["a.jpg"].mtime_ns != 5


def test_a_failure_of_an_older_decoder_is_looked_at_again(
    catalog: Catalog, scoring: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.store([failed("/p/a.jpg")], scoring)
    monkeypatch.setattr(catalog_module, "DECODE_VERSION", catalog_module.DECODE_VERSION + 1)

    assert not catalog.known_in("/p", scoring)["a.jpg"].failed


# --- contents and names --------------------------------------------------------------------------------------------


def test_two_names_of_one_content_share_one_score(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored("/p/a.jpg", 50, content="same")], scoring)
    taken = photo("/p/b.jpg")
    catalog.store([Outcome(taken, prepared(taken, "same"))], scoring)

    assert catalog.ranking(scoring, Scope())[1].tolist() == [50, 50]
    assert catalog.counts()["scores"] == 1


def test_a_renamed_file_is_known_by_its_inode(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored("/p/a.jpg", 50, inode=77)], scoring)

    assert catalog.adopt([photo("/q/b.jpg", inode=77)]) == 1
    assert catalog.known_in("/q", scoring)["b.jpg"].scored


@pytest.mark.parametrize(
    "other", [Photo("/q/b.jpg", 1, 78, 100, 1), Photo("/q/b.jpg", 2, 77, 100, 1), Photo("/q/b.jpg", 1, 77, 101, 1),
              Photo("/q/b.jpg", 1, 77, 100, 2)]
)  # fmt: skip
def test_a_file_that_differs_in_anything_is_not_taken_for_a_renamed_one(
    catalog: Catalog, scoring: Scoring, other: Photo
) -> None:
    catalog.store([scored("/p/a.jpg", 50, inode=77)], scoring)

    assert catalog.adopt([other]) == 0


def test_an_edited_photo_keeps_its_past_scores(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored("/p/a.jpg", 50, content="first")], scoring)
    catalog.store([scored("/p/a.jpg", 60, content="second", mtime_ns=2)], scoring)
    catalog.store([scored("/p/a.jpg", 70, content="third", mtime_ns=3)], scoring)

    photo_id = catalog.find("/p/a.jpg")

    assert photo_id is not None
    assert [score for _, score in catalog.past_scores(photo_id, scoring)] == [50, 60]


def test_unlisted_photos_are_out_of_every_ranking_and_nothing_is_forgotten(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored("/p/a.jpg", 50), failed("/p/b.jpg")], scoring)
    known = catalog.known_in("/p", scoring)
    catalog.unlist(before.photo_id for before in known.values())

    assert files(catalog, scoring) == []
    assert catalog.failed(scoring, Scope()) == []
    assert catalog.count_listed(Scope()) == 0
    assert catalog.counts()["scores"] == 1

    catalog.relist([(known["a.jpg"], photo("/p/a.jpg", companions=("a.xmp",)))])
    assert files(catalog, scoring) == ["/p/a.jpg"]
    assert catalog.known_in("/p", scoring)["a.jpg"].companions == ("a.xmp",)


def as_found(*photos: Photo) -> dict[str, Photo]:
    return {os.path.basename(photo.file): photo for photo in photos}


def test_a_folder_that_is_as_it_was_is_told_at_once(catalog: Catalog, scoring: Scoring) -> None:
    stored = [scored("/p/a.jpg", 1), scored("/p/\udce9 ü.jpg", 2), scored("/p/c.jpg", 3)]
    stored[2] = dataclasses.replace(
        stored[2], photo=photo("/p/c.jpg", inode=2**64 - 3, companions=("c.CR3", "c.xmp")), prepared=stored[2].prepared
    )
    stored = [dataclasses.replace(one, prepared=prepared(one.photo, one.photo.file)) for one in stored]
    catalog.store(stored, scoring)
    found = as_found(*(one.photo for one in sorted(stored, key=lambda one: os.fsencode(one.photo.file))))

    assert lists_exactly(catalog, "/p", found, scoring)


@pytest.mark.parametrize(
    "change",
    [
        {"inode": 5},
        {"device": 5},
        {"size_bytes": 5},
        {"mtime_ns": 5},
        {"companions": ("b.xmp",)},
    ],
)
def test_any_change_to_a_photo_makes_its_folder_another(
    catalog: Catalog, scoring: Scoring, change: dict[str, Any]
) -> None:
    first, second = scored("/p/a.jpg", 1), scored("/p/b.jpg", 2)
    catalog.store([first, second], scoring)

    assert lists_exactly(catalog, "/p", as_found(first.photo, second.photo), scoring)
    assert not lists_exactly(catalog, "/p", as_found(first.photo, second.photo._replace(**change)), scoring)


def test_a_folder_is_another_with_a_photo_more_or_less_or_without_its_score(catalog: Catalog, scoring: Scoring) -> None:
    first, second, third = scored("/p/a.jpg", 1), scored("/p/b.jpg", 2), failed("/p/c.jpg")
    catalog.store([first, second, third], scoring)

    # The failure that is remembered beside them may be gone: whoever unlists it has to look closer.
    assert not lists_exactly(catalog, "/p", as_found(first.photo, second.photo), scoring)
    assert not lists_exactly(catalog, "/p", as_found(first.photo, second.photo, third.photo), scoring)
    catalog.unlist([catalog.known_in("/p", scoring)["c.jpg"].photo_id])
    assert lists_exactly(catalog, "/p", as_found(first.photo, second.photo), scoring)
    assert not lists_exactly(catalog, "/p", as_found(first.photo, photo("/p/d.jpg")), scoring)


# --- scopes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(catalog: Catalog, scoring: Scoring) -> list[str]:
    names = ["/p/a.jpg", "/p/sub/b.jpg", "/p-2/c.jpg", "/p0/d.jpg", "/q/e.png"]
    dates = ["2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-05-01T12:00:00.5", None, "2026-05-02T00:00:00"]
    catalog.store(
        [scored(name, at, captured_at=date) for at, (name, date) in enumerate(zip(names, dates, strict=True))], scoring
    )
    return names


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(), [0, 1, 2, 3, 4]),
        (Scope(["/"]), [0, 1, 2, 3, 4]),
        (Scope(["/p"]), [0, 1]),
        (Scope(["/p"], deep=False), [0]),
        (Scope(["/p/sub", "/q"]), [1, 4]),
        (Scope(["/p", "/p/sub"]), [0, 1]),
        (Scope(["/p/a.jpg"]), [0]),
        (Scope(["/nowhere"]), []),
        (Scope(include=["*.png"]), [4]),
        (Scope(exclude=["sub"]), [0, 2, 3, 4]),
        (Scope(["/p"], include=["sub/*"]), [1]),
        (Scope(include=["*.jpg"], exclude=["c*"]), [0, 1, 3]),
        (Scope(since="2026"), [1, 2, 4]),
        (Scope(until="2025"), [0]),
        (Scope(since="2026-05-01", until="2026-05-01"), [2]),
        (Scope(since="2026-05", until="2026-05"), [2, 4]),
        (Scope(["/p"], since="2026"), [1]),
    ],
    ids=str,
)
def test_a_scope_holds_what_it_says(
    catalog: Catalog, scoring: Scoring, tree: list[str], scope: Scope, expected: list[int]
) -> None:
    assert files(catalog, scoring, scope) == [tree[at] for at in expected]
    if not scope.include and not scope.exclude:
        assert catalog.count_listed(scope) == len(expected)


def test_failures_are_scoped_like_scores(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([failed("/p/a.jpg"), failed("/q/b.png")], scoring)

    def failures(scope: Scope) -> list[str]:
        return [os.fspath(record.path) for record in catalog.records(catalog.failed(scoring, scope), scoring)]

    assert failures(Scope(["/p"])) == ["/p/a.jpg"]
    assert failures(Scope(include=["*.png"])) == ["/q/b.png"]


def test_folders_below_a_root_are_those_with_listed_photos(catalog: Catalog, scoring: Scoring, tree: list[str]) -> None:
    assert sorted(catalog.folders_below("/p")) == ["/p", "/p/sub"]
    catalog.unlist([before.photo_id for before in catalog.known_in("/p/sub", scoring).values()])
    assert catalog.folders_below("/p") == ["/p"]


def test_more_photos_than_sqlite_takes_variables_are_no_trouble(catalog: Catalog, scoring: Scoring) -> None:
    names = [f"/p/{number:04}.jpg" for number in range(2100)]
    catalog.store([scored(name, number) for number, name in enumerate(names)], scoring)

    assert files(catalog, scoring) == names
    assert files(catalog, scoring, Scope(include=["*1.jpg"])) == names[1::10]


def test_records_come_in_the_order_asked_for(catalog: Catalog, scoring: Scoring, tree: list[str]) -> None:
    ids, _ = catalog.ranking(scoring, Scope())

    assert [os.fspath(record.path) for record in catalog.records(ids[::-1], scoring)] == tree[::-1]


def test_a_ranking_needs_no_sort_by_sqlite_and_no_vectors(catalog: Catalog, scoring: Scoring, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT p.id, s.score FROM photos p "
            "CROSS JOIN scores s ON s.scoring_id = 1 AND s.content_id = p.content_id WHERE p.listed"
        ).fetchall()
    connection.close()

    assert not any("TEMP B-TREE" in row[3] for row in plan)


# --- what a cull asks ----------------------------------------------------------------------------------------------


def test_candidates_are_all_listed_photos_of_a_scope(catalog: Catalog, scoring: Scoring, info: BundleInfo) -> None:
    catalog.store(
        [
            scored("/p/a.jpg", 61.5, companions=("a.CR2",), inode=(1 << 64) - 1, mtime_ns=5),
            scored("/p/caf\udce9.jpg", 3),
            failed("/p/bad.jpg"),
            scored("/p/gone.jpg", 4),
            scored("/q/b.jpg", 2),
        ],
        scoring,
    )
    catalog.forget(Scope(["/p/gone.jpg"]))
    other = catalog.scoring(info, "exact-1.1-float32")

    found = {photo.name: photo for photo in catalog.candidates(scoring, Scope(["/p"]))}

    assert {name: (photo.score, photo.failure) for name, photo in found.items()} == {
        "a.jpg": (61.5, None),
        "caf\udce9.jpg": (3, None),
        "bad.jpg": (None, "corrupt"),
    }
    photo = found["a.jpg"]
    assert (photo.path, photo.inode, photo.size_bytes, photo.mtime_ns) == ("/p/a.jpg", (1 << 64) - 1, 100, 5)
    assert (photo.companions, photo.mark) == (b"a.CR2", None)
    assert {photo.score for photo in catalog.candidates(other, Scope())} == {None}


def test_candidates_are_filtered_as_a_ranking_is(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store(
        [
            scored("/p/a.jpg", 1, captured_at="2026-05-01T12:00:00", companions=("a.CR2",)),
            scored("/p/b.jpg", 2, captured_at="2026-06-01T12:00:00"),
            scored("/p/sub/c.jpg", 3, captured_at="2026-05-01T12:00:00"),
            failed("/p/d.jpg"),
        ],
        scoring,
    )

    for scope in (
        Scope(["/p"], include=["*.CR2"]),
        Scope(["/p"], exclude=["b.jpg"]),
        Scope(["/p"], deep=False),
        Scope(["/p/b.jpg", "/p/sub"]),
        Scope(since="2026-05", until="2026-05"),
    ):
        ids, scores = catalog.ranking(scoring, scope)
        found = sorted((p.score, p.photo_id) for p in catalog.candidates(scoring, scope) if p.score is not None)
        assert found == list(zip(scores.tolist(), ids.tolist(), strict=True))


def test_a_mark_is_kept_with_the_content(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store(
        [scored("/p/a.jpg", 1, content="same"), scored("/q/b.jpg", 1, content="same"), failed("/p/bad.jpg")], scoring
    )
    held = catalog.contents_in("/p")
    assert (held["bad.jpg"].hash, held["a.jpg"].size_bytes, held["a.jpg"].listed) == (None, 100, True)

    catalog.mark([bytes(held["a.jpg"].hash or b"")], "keep")
    assert (catalog.marked("keep"), catalog.marked("reject")) == ({"/p/a.jpg", "/q/b.jpg"}, set())
    catalog.mark([bytes(held["a.jpg"].hash or b"")], "reject")
    assert (catalog.marked("keep"), catalog.marked("reject")) == (set(), {"/p/a.jpg", "/q/b.jpg"})
    catalog.mark([bytes(held["a.jpg"].hash or b""), b"never seen"], None)
    assert catalog.marked("reject") == set()


def test_the_listed_names_of_a_folder(catalog: Catalog, scoring: Scoring) -> None:
    catalog.store([scored("/p/a.jpg", 1), failed("/p/bad.jpg"), scored("/p/sub/c.jpg", 1)], scoring)
    catalog.forget(Scope(["/p/a.jpg"]))

    assert (catalog.listed_in("/p"), catalog.listed_in("/nowhere")) == ({"bad.jpg"}, set())


def test_the_scoring_that_was_used_last_is_named_again_without_a_write(
    catalog: Catalog, scoring: Scoring, info: BundleInfo, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # nobody else may write now

        with Catalog(path, busy_timeout_s=0) as reader:
            assert reader.scoring(info, "fast-1.1-half") == scoring
            with pytest.raises(CatalogBusyError):
                reader.scoring(info, "exact-1.1-float32")
