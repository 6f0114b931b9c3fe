"""Which photos to show, in what order, with what percentile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fakes import failed, scored

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope
from rali.config import Settings
from rali.errors import CatalogBusyError, CatalogError, DamagedModelError, PathError, UnknownModelError, UsageError
from rali.listing import Ranking, Wanted, choose_scoring, rank_photos, scope_of, show_photo


@pytest.fixture
def catalog(own_world: Path, collection: list[str]) -> Iterator[Catalog]:
    with Catalog(own_world / "catalog.db") as opened:
        yield opened


@pytest.fixture
def ranking(catalog: Catalog) -> Ranking:
    return rank_photos(catalog, choose_scoring(catalog, Settings()), Scope())


def numbers(ranking: Ranking, wanted: Wanted) -> list[int]:
    return [int(photo.record.path.stem) for photo in ranking.pick(wanted)]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Wanted(), list(range(1, 10))),
        (Wanted("best"), list(range(9, 0, -1))),
        (Wanted("worst", 2), [1, 2]),
        (Wanted("best", 2), [9, 8]),
        (Wanted("best", 2, below=50), [4, 3]),
        (Wanted(above=70), [8, 9]),
        (Wanted(below=10), []),
        (Wanted(below_percentile=50), [1, 2, 3, 4]),
        (Wanted(above_percentile=50, below=90), [6, 7, 8]),
    ],
    ids=str,
)
def test_what_is_wanted_is_what_is_picked(ranking: Ranking, wanted: Wanted, expected: list[int]) -> None:
    assert numbers(ranking, wanted) == expected


def test_a_percentile_is_among_the_whole_scope_not_among_what_is_shown(ranking: Ranking) -> None:
    (photo,) = ranking.pick(Wanted("best", 1))

    assert photo.percentile == pytest.approx(100 * 8.5 / 9)


def test_failures_have_a_reason_and_no_percentile(ranking: Ranking) -> None:
    (failure,) = ranking.failures()

    assert (failure.percentile, failure.record.score, failure.record.failure_kind) == (None, None, "corrupt")
    assert ranking.failures(0) == []


def test_a_ranking_is_of_one_moment_while_another_process_stores(catalog: Catalog) -> None:
    scoring, path = choose_scoring(catalog, Settings()), catalog.path

    class Disturbed(Catalog):
        """A catalog in which another process stores a failure after every question."""

        def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
            found = super().rows(sql, values)
            with suppress(CatalogBusyError), Catalog(path, busy_timeout_s=0.05) as other:
                other.store([failed("/p/new.jpg")], scoring)
            return found

    before = rank_photos(catalog, scoring, Scope())
    with Disturbed(path) as disturbed:
        found = rank_photos(disturbed, scoring, Scope())

    assert (found.scored, found.failed, found.unscored) == (before.scored, before.failed, before.unscored)


def test_photos_without_a_score_by_this_scoring_are_counted(catalog: Catalog, tmp_path: Path) -> None:
    from fakes import write_tiny_bundle

    other = catalog.scoring(write_tiny_bundle(tmp_path / "b", seed=1), "fast-1.1-half")
    catalog.store([scored("/photos/home/1.jpg", 1)], other)

    ranking = rank_photos(catalog, other, Scope())

    assert (len(ranking.ids), len(ranking.failed), ranking.unscored) == (1, 1, 8)


def test_a_scope_that_holds_nothing_is_an_error_that_names_it(catalog: Catalog) -> None:
    with pytest.raises(PathError, match=r"in /nowhere; run: rali score"):
        rank_photos(catalog, choose_scoring(catalog, Settings()), Scope(["/nowhere"]))


def test_a_model_that_scored_nothing_is_an_error_that_names_it(catalog: Catalog) -> None:
    with pytest.raises(CatalogError, match=r"no scores by model mini with recipe exact yet; run: .* --recipe exact"):
        choose_scoring(catalog, Settings(model="mini", recipe="exact"), insist_on=["model", "recipe"])
    with pytest.raises(UnknownModelError, match="there is no model 'maxi'"):
        choose_scoring(catalog, Settings(model="maxi", recipe="exact"), insist_on=["model", "recipe"])


def test_a_scoring_is_found_by_the_path_of_its_bundle(catalog: Catalog, tiny_bundle: Path, tmp_path: Path) -> None:
    assert choose_scoring(catalog, Settings(model=str(tiny_bundle)), insist_on=["model"]).model_name == "tiny"
    (tmp_path / "bad.safetensors").write_bytes(b"bad")
    with pytest.raises(DamagedModelError):
        choose_scoring(catalog, Settings(model=str(tmp_path / "bad.safetensors")), insist_on=["model"])


def test_show_gives_both_percentiles(catalog: Catalog) -> None:
    shown = show_photo(catalog, choose_scoring(catalog, Settings()), "/photos/spain/6.jpg")

    assert shown.status == "cached"
    assert shown.folder_percentile == pytest.approx(12.5)
    assert shown.in_catalog.percentile == pytest.approx(100 * 5.5 / 9)


def test_a_folders_percentile_leaves_out_the_folders_below(catalog: Catalog) -> None:
    scoring = choose_scoring(catalog, Settings())
    catalog.store([scored("/photos/spain/raw/x.jpg", 1.0)], scoring)

    assert show_photo(catalog, scoring, "/photos/spain/6.jpg").folder_percentile == pytest.approx(12.5)


def test_a_scope_is_made_of_real_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", os.fspath(tmp_path))

    assert scope_of(["link/../real", "~/link", "gone"]).roots == [
        str(tmp_path / "real"), str(tmp_path / "real"), str(tmp_path / "gone"),
    ]  # fmt: skip


def test_the_default_model_and_recipe_are_shown_where_nobody_chose_others(catalog: Catalog) -> None:
    """Trying another recipe on one folder must not turn every ranking round."""
    from dataclasses import replace as changed

    from rali.model.registry import find_model

    mini = find_model("mini")
    by_default = catalog.scoring(mini, "fast-1.1-half")
    catalog.store([scored("/photos/a.jpg", 30)], by_default)
    exact = catalog.scoring(mini, "exact-1.1-float32")
    catalog.store([scored("/photos/a.jpg", 31)], exact)
    assert choose_scoring(catalog, Settings()).id == by_default.id
    assert choose_scoring(catalog, Settings(recipe="exact"), insist_on=["recipe"]).id == exact.id
    with pytest.raises(CatalogError, match="with recipe 9"):  # the model is known by its id
        choose_scoring(catalog, changed(Settings(), model=mini.model_id, recipe="9"), insist_on=["model", "recipe"])
    with pytest.raises(UnknownModelError):
        choose_scoring(catalog, changed(Settings(), model="other"), insist_on=["model"])


@pytest.mark.parametrize(
    "bound", ["2026", "2026-05", "2026-05-01", "2026-05-01T12", "2026-05-01 12:30", "2026-05-01T12:30:59"]
)
def test_a_time_may_be_as_short_as_a_year(bound: str) -> None:
    assert scope_of([], since=bound).since == bound.replace(" ", "T")


@pytest.mark.parametrize(
    "bound", ["01.05.2024", "foo", "2026-13", "2026-02-30", "5/1/2024", "2026-00", "2026-05-01T25", ""]
)
def test_what_is_no_time_is_refused_instead_of_compared(bound: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        scope_of([], until=bound)
