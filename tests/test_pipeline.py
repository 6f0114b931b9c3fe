"""Scan, decode, score, store: what a run does, and what it leaves undone because it is done already."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from fakes import (
    TINY_COMPONENTS,
    BrightnessScorer,
    DarkIsNotANumber,
    DenyingPreparer,
    HostilePreparer,
    write_black,
    write_jpeg,
    write_tiny_bundle,
)

from rali import pipeline
from rali.catalog.catalog import Catalog
from rali.catalog.records import Outcome, PhotoRecord, Scope
from rali.config import Settings
from rali.errors import CatalogWriteError, FailureKind, PathError, UnknownModelError, UnsafeError
from rali.model.registry import find_model
from rali.photos.photo import Photo
from rali.photos.scan import Scan
from rali.pipeline import Progress, Run, ScoringSession, score_photos
from rali.prepare import recipe_id
from rali.workers import Work, WorkerPool

TOLERANCE = 1e-5


class Bench:
    """A folder of photos, a catalog and settings: what one needs to run the pipeline again and again."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings

    def run(self, *paths: Path, settings: Settings | None = None, **options: Any) -> Run:
        """Score ``paths``, by default the whole folder, with a catalog that is opened and closed."""
        with Catalog(self.settings.db) as catalog:
            return score_photos(paths or [self.folder], catalog, settings or self.settings, **options)

    def records(self, run: Run) -> dict[str, PhotoRecord]:
        """Return what is listed after a run, scored or failed, by path below the folder."""
        with Catalog(self.settings.db) as catalog:
            ids, _ = catalog.ranking(run.scoring, Scope([os.fspath(self.folder)]))
            failed = catalog.failed(run.scoring, Scope([os.fspath(self.folder)]))
            found = list(catalog.records([*ids, *failed], run.scoring))
        return {os.path.relpath(record.path, self.folder): record for record in found}

    def scores(self, run: Run) -> dict[str, float | None]:
        """Return the scores after a run by path below the folder."""
        return {name: record.score for name, record in self.records(run).items()}

    def scored(self, run: Run) -> set[str]:
        """Return what the model looked at, by path below the folder."""
        return {os.path.relpath(file, self.folder) for file in run.scored}


@pytest.fixture
def bench(tmp_path: Path, own_world: Path, tiny_bundle: Path) -> Bench:
    folder = tmp_path / "photos"
    folder.mkdir()
    return Bench(
        folder, Settings(db=own_world / "catalog.db", model=str(tiny_bundle), device="cpu", workers=1, timeout_s=20)
    )


@pytest.fixture
def five(bench: Bench) -> Bench:
    for number in range(5):
        write_jpeg(bench.folder / ("sub" if number > 2 else ".") / f"{number}.jpg", number)
    return bench


def touch(path: Path, mtime_ns: int) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns))


# --- one run ----------


def test_a_first_run_scores_every_photo(five: Bench) -> None:
    run = five.run()

    assert (run.found, len(run.scored), run.cached, run.failed, run.interrupted) == (5, 5, 0, 0, False)
    scores = five.scores(run)
    assert set(scores) == {"0.jpg", "1.jpg", "2.jpg", "sub/3.jpg", "sub/4.jpg"}
    assert len(set(scores.values())) == 5


def test_what_a_run_stores_is_all_there_for_a_second_connection(five: Bench, rows: Callable[..., Any]) -> None:
    five.run()

    assert rows("SELECT count(*), count(DISTINCT content_id), sum(listed) FROM photos") == [(5, 5, 5)]
    assert rows("SELECT count(*) FROM scores") == [(5,)]
    assert rows("SELECT DISTINCT length(vector), count(*) FROM embeddings") == [(2 * TINY_COMPONENTS, 5)]


def test_a_score_is_the_same_whatever_the_batch_size_order_and_neighbours(
    five: Bench, own_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scores_in(settings: Settings, *paths: Path) -> dict[str, float]:
        bench = Bench(five.folder, settings)
        return {name: score for name, score in bench.scores(bench.run(*paths)).items() if score is not None}

    reference = scores_in(five.settings)
    files = sorted(path for path in five.folder.rglob("*.jpg"))
    for number, file in enumerate(files):  # each alone, in a catalog of its own
        (score,) = scores_in(replace(five.settings, db=own_world / f"solo{number}.db"), file).values()
        assert score == pytest.approx(reference[os.path.relpath(file, five.folder)], abs=TOLERANCE)
    for batch_size in (1, 3, 5):
        monkeypatch.setattr("rali.model.engines.torch_engine.BATCH_SIZES", {"cpu": batch_size})
        settings = replace(five.settings, db=own_world / f"batch{batch_size}.db", workers=2)
        assert scores_in(settings, *reversed(files)) == pytest.approx(reference, abs=TOLERANCE)


def test_progress_tells_what_was_found_and_what_is_done(five: Bench) -> None:
    seen: list[Progress] = []

    five.run(on_progress=seen.append)

    assert [progress.found for progress in seen if progress.total is None] == [3, 5]
    assert (seen[-1].done, seen[-1].total, seen[-1].failed) == (5, 5, 0)


def test_a_single_file_can_be_scored(five: Bench) -> None:
    run = five.run(five.folder / "1.jpg")

    assert five.scored(run) == {"1.jpg"}


def test_folders_that_overlap_give_each_photo_once(five: Bench, rows: Callable[..., Any]) -> None:
    run = five.run(five.folder, five.folder / "sub", five.folder / "1.jpg")

    assert run.found == 5
    assert rows("SELECT count(*) FROM photos") == [(5,)]


def test_globs_choose_what_is_scored_and_unlist_nothing(five: Bench) -> None:
    five.run()
    run = five.run(exclude=["sub"])

    assert run.found == 3
    assert len(five.scores(run)) == 5


# --- row 56, 61, 54: bad photos among good ones ----------


def test_a_bad_photo_changes_nobody_elses_score(five: Bench, own_world: Path) -> None:
    reference = five.scores(five.run())
    good = (five.folder / "0.jpg").read_bytes()
    (five.folder / "00.jpg").write_bytes(good[: len(good) // 2])
    (five.folder / "1a.jpg").write_bytes(b"")
    (five.folder / "sub" / "3a.jpg").write_bytes(b"no picture at all")
    again = Bench(five.folder, replace(five.settings, db=own_world / "second.db"))

    run = again.run()

    assert (len(run.scored), run.failed) == (5, 3)
    records = again.records(run)
    assert {name: records[name].score for name in reference} == pytest.approx(reference, abs=TOLERANCE)
    assert {name: records[name].failure_kind for name in ("00.jpg", "1a.jpg", "sub/3a.jpg")} == {
        "00.jpg": FailureKind.TRUNCATED,
        "1a.jpg": FailureKind.EMPTY,
        "sub/3a.jpg": FailureKind.UNSUPPORTED,
    }


def test_a_score_that_is_not_a_number_is_a_failure_and_never_ranked(
    five: Bench, monkeypatch: pytest.MonkeyPatch, rows: Callable[..., Any]
) -> None:
    write_black(five.folder / "dark.jpg")
    monkeypatch.setattr(pipeline, "open_scorer", DarkIsNotANumber)

    run = five.run()

    records = five.records(run)
    assert records["dark.jpg"].failure_kind is FailureKind.NOT_FINITE
    assert [name for name, record in records.items() if record.score is None] == ["dark.jpg"]
    assert rows("SELECT count(*) FROM scores WHERE score IS NULL OR score != score") == [(0,)]
    assert rows("SELECT count(*) FROM scores") == [(5,)]


def test_a_model_of_nans_scores_nothing_and_every_photo_is_a_failure(five: Bench, tmp_path: Path) -> None:
    info = write_tiny_bundle(tmp_path / "nan.safetensors", score=float("nan"))

    run = five.run(settings=replace(five.settings, model=str(info.path)))

    assert (len(run.scored), run.failed) == (0, 5)
    assert {record.failure_kind for record in five.records(run).values()} == {FailureKind.NOT_FINITE}


def test_a_model_that_failed_is_not_asked_again_but_another_is(
    five: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_black(five.folder / "dark.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "open_scorer", DarkIsNotANumber)
        five.run()

    again = five.run()
    other = five.run(settings=replace(five.settings, recipe="exact"))

    assert (again.scored, again.failed) == (set(), 1)
    assert (len(other.scored), other.failed) == (6, 0)


def test_a_decoder_that_crashes_or_hangs_costs_one_photo_each(
    five: Bench, monkeypatch: pytest.MonkeyPatch, rows: Callable[..., Any]
) -> None:
    reference = five.scores(five.run())
    for name in ("abort.jpg", "hang.jpg", "exit.jpg"):
        write_jpeg(five.folder / name, 50)
    five.settings.db.unlink()
    monkeypatch.setattr(pipeline, "Preparer", HostilePreparer)

    run = five.run(settings=replace(five.settings, workers=2, timeout_s=1.0))

    assert rows("SELECT p.name, x.kind FROM failures x JOIN photos p ON p.id = x.photo_id ORDER BY p.name") == [
        (b"abort.jpg", "crashed"),
        (b"exit.jpg", "crashed"),
        (b"hang.jpg", "timed-out"),
    ]
    scores = five.scores(run)
    assert {name: scores[name] for name in reference} == pytest.approx(reference, abs=TOLERANCE)


def test_failures_are_remembered_until_asked_to_look_again(five: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jpeg(five.folder / "abort.jpg", 50)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Preparer", HostilePreparer)
        assert five.run().failed == 1
        second = five.run()
    assert (second.scored, second.cached, second.failed) == (set(), 5, 1)

    third = five.run(retry_failed=True)

    assert (five.scored(third), third.failed) == ({"abort.jpg"}, 0)
    assert five.records(third)["abort.jpg"].failure_kind is None


def test_a_failure_that_may_pass_is_looked_at_again_by_itself(five: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jpeg(five.folder / "denied.jpg", 50)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "Preparer", DenyingPreparer)
        assert five.run().failed == 1

    assert five.scored(five.run()) == {"denied.jpg"}


def test_a_failed_photo_that_was_repaired_is_scored(five: Bench) -> None:
    (five.folder / "0.jpg").write_bytes(b"")
    assert five.run().failed == 1
    write_jpeg(five.folder / "0.jpg", 0)

    run = five.run()

    assert (five.scored(run), run.failed) == ({"0.jpg"}, 0)


# --- the same folder again ----------


def test_an_unchanged_folder_needs_neither_model_nor_workers(five: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = five.scores(five.run())
    monkeypatch.setattr(pipeline, "open_scorer", None)
    monkeypatch.setattr(pipeline, "WorkerPool", None)

    run = five.run()

    assert (run.scored, run.cached) == (set(), 5)
    assert five.scores(run) == first


def test_renamed_and_moved_files_are_not_even_opened(five: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = five.scores(five.run())
    (five.folder / "0.jpg").rename(five.folder / "zero.jpg")
    (five.folder / "sub").rename(five.folder / "elsewhere")
    monkeypatch.setattr(pipeline, "WorkerPool", None)

    run = five.run()

    assert (run.scored, run.cached) == (set(), 5)
    scores = five.scores(run)
    assert set(scores) == {"zero.jpg", "1.jpg", "2.jpg", "elsewhere/3.jpg", "elsewhere/4.jpg"}
    assert scores["zero.jpg"] == first["0.jpg"]
    assert scores["elsewhere/3.jpg"] == first["sub/3.jpg"]


def test_two_files_that_swapped_names_swap_their_scores(five: Bench) -> None:
    first = five.scores(five.run())
    (five.folder / "0.jpg").rename(five.folder / "x")
    (five.folder / "1.jpg").rename(five.folder / "0.jpg")
    (five.folder / "x").rename(five.folder / "1.jpg")

    run = five.run()

    scores = five.scores(run)
    assert run.scored == set()
    assert (scores["0.jpg"], scores["1.jpg"]) == (first["1.jpg"], first["0.jpg"])


def test_copies_are_read_and_need_no_model(five: Bench) -> None:
    first = five.scores(five.run())
    shutil.copyfile(five.folder / "0.jpg", five.folder / "copy.jpg")
    (five.folder / "deep").mkdir()
    shutil.copyfile(five.folder / "1.jpg", five.folder / "deep" / "copy.jpg")

    run = five.run()

    assert (run.scored, run.cached) == (set(), 7)
    scores = five.scores(run)
    assert (scores["copy.jpg"], scores["deep/copy.jpg"]) == (first["0.jpg"], first["1.jpg"])


def test_a_touched_file_is_read_and_needs_no_model(five: Bench) -> None:
    five.run()
    touch(five.folder / "0.jpg", 1_000_000_000)

    run = five.run()
    again = five.run()

    assert (run.scored, run.cached) == (set(), 5)
    assert (again.scored, again.cached) == (set(), 5)


def test_an_edited_file_is_scored_anew_and_keeps_its_past_score(five: Bench) -> None:
    first = five.scores(five.run())
    write_jpeg(five.folder / "0.jpg", 99)

    run = five.run()

    assert (five.scored(run), run.cached) == ({"0.jpg"}, 4)
    assert five.scores(run)["0.jpg"] != first["0.jpg"]
    with Catalog(five.settings.db) as catalog:
        photo_id = catalog.find(os.fspath(five.folder / "0.jpg"))
        assert photo_id is not None
        assert [score for _, score in catalog.past_scores(photo_id, run.scoring)] == [first["0.jpg"]]


def test_an_edit_that_keeps_size_and_time_is_noticed_by_the_inode(five: Bench) -> None:
    five.run()
    target = five.folder / "0.jpg"
    before = target.stat()
    other = write_jpeg(five.folder / "other.tmp", 99)
    content = other.read_bytes()[: before.st_size]
    other.write_bytes(content.ljust(before.st_size, b"\0"))
    touch(other, before.st_mtime_ns)
    other.replace(target)

    with closing(sqlite3.connect(five.settings.db)) as connection:
        (inode,) = connection.execute("SELECT inode FROM photos WHERE name = ?", (b"0.jpg",)).fetchone()
    assert inode != target.stat().st_ino
    assert five.run().cached == 4


def test_a_file_from_the_future_is_scored_once(five: Bench) -> None:
    touch(five.folder / "0.jpg", (int(time.time()) + 10 * 365 * 86_400) * 10**9)
    touch(five.folder / "1.jpg", 0)
    touch(five.folder / "2.jpg", -1_000_000_000)

    assert len(five.run().scored) == 5
    assert five.run().cached == 5


def test_deleted_photos_leave_the_rankings_and_come_back_without_the_model(five: Bench, tmp_path: Path) -> None:
    first = five.scores(five.run())
    (five.folder / "0.jpg").rename(tmp_path / "0.jpg")
    (five.folder / "sub").rename(tmp_path / "sub")
    run = five.run()
    assert set(five.scores(run)) == {"1.jpg", "2.jpg"}

    (tmp_path / "0.jpg").rename(five.folder / "0.jpg")
    (tmp_path / "sub").rename(five.folder / "sub")
    run = five.run()

    assert run.scored == set()
    assert five.scores(run) == first


def test_photos_of_a_folder_that_holds_other_files_alone_leave_the_rankings(five: Bench) -> None:
    five.run()
    (five.folder / "sub" / "notes.txt").write_text("deleted the bad ones")
    for name in ("3.jpg", "4.jpg"):
        (five.folder / "sub" / name).unlink()

    assert set(five.scores(five.run())) == {"0.jpg", "1.jpg", "2.jpg"}


def test_scoring_one_folder_says_nothing_about_another(five: Bench) -> None:
    five.run()
    (five.folder / "0.jpg").unlink()

    run = five.run(five.folder / "sub")

    assert len(five.scores(run)) == 5


def test_a_raw_that_appears_beside_its_jpeg_joins_its_shot(five: Bench, rows: Callable[..., Any]) -> None:
    five.run()
    (five.folder / "0.CR2").write_bytes(b"raw")
    (five.folder / "0.xmp").write_text("<xmp/>")

    run = five.run()

    assert (run.found, run.cached, run.failed) == (5, 5, 0)
    assert five.records(run)["0.jpg"].companions == ("0.CR2", "0.xmp")


# --- row 42: other model, other recipe ----------


def test_another_model_or_recipe_scores_everything_anew_and_mixes_with_nothing(five: Bench, tmp_path: Path) -> None:
    other = write_tiny_bundle(tmp_path / "other.safetensors", seed=5)
    first = five.run()
    second = five.run(settings=replace(five.settings, model=str(other.path)))
    third = five.run(settings=replace(five.settings, recipe="exact"))

    assert len(first.scored) == len(second.scored) == len(third.scored) == 5
    assert len({first.scoring.id, second.scoring.id, third.scoring.id}) == 3
    assert five.scores(first) != five.scores(second)
    assert five.run().cached == 5


def test_a_photo_that_only_another_model_has_seen_is_in_no_ranking_of_this_one(five: Bench, tmp_path: Path) -> None:
    first = five.run()
    other = write_tiny_bundle(tmp_path / "other.safetensors", seed=5)
    write_jpeg(five.folder / "new.jpg", 77)
    five.run(settings=replace(five.settings, model=str(other.path)))

    assert "new.jpg" not in five.scores(first)


def test_a_bundle_of_other_weights_under_the_same_name_is_another_model(five: Bench, tmp_path: Path) -> None:
    path = tmp_path / "same.safetensors"
    settings = replace(five.settings, model=str(path))
    write_tiny_bundle(path, seed=1)
    five.run(settings=settings)
    write_tiny_bundle(path, seed=2)

    assert len(five.run(settings=settings).scored) == 5


# --- stopping ----------


def test_a_stopped_run_keeps_what_is_done_and_the_next_scores_only_the_rest(
    bench: Bench, rows: Callable[..., Any]
) -> None:
    for number in range(40):
        write_jpeg(bench.folder / f"{number:02}.jpg", number)
    done: list[int] = []

    first = bench.run(
        on_progress=lambda progress: done.append(progress.done), stop=lambda: bool(done) and done[-1] >= 1
    )

    assert first.interrupted
    assert 1 <= len(first.scored) < 40
    assert rows("SELECT count(*) FROM scores") == [(len(first.scored),)]
    second = bench.run()
    assert (len(second.scored), second.cached, second.interrupted) == (40 - len(first.scored), len(first.scored), False)
    assert not first.scored & second.scored


def test_a_run_that_is_stopped_at_once_stores_nothing_and_says_so(five: Bench) -> None:
    run = five.run(stop=lambda: True)

    assert run.interrupted
    assert run.scored == set()


def test_a_disk_that_fills_up_ends_the_run_and_the_next_one_goes_on(
    five: Bench, monkeypatch: pytest.MonkeyPatch, rows: Callable[..., Any]
) -> None:
    monkeypatch.setattr(pipeline, "STORE_EVERY_PHOTOS", 1)
    with Catalog(five.settings.db) as catalog:
        connection = catalog._db
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        for number in range(60):
            write_jpeg(five.folder / f"{'x' * 200}{number}.jpg", 100 + number)
        with pytest.raises(CatalogWriteError, match=r"free some space"):
            score_photos([five.folder], catalog, five.settings)
    stored = rows("SELECT count(*) FROM scores")[0][0]

    run = five.run()

    assert len(run.scored) == 65 - stored
    assert rows("SELECT count(*), count(DISTINCT content_id) FROM scores") == [(65, 65)]


# --- row 32 and other refusals ----------


def test_an_emptied_root_is_refused_and_nothing_is_unlisted(five: Bench, rows: Callable[..., Any]) -> None:
    five.run()
    five.folder.rename(five.folder.with_name("unplugged"))
    five.folder.mkdir()

    with pytest.raises(UnsafeError, match=r"5 photos are remembered .* connect its drive"):
        five.run()

    assert rows("SELECT sum(listed) FROM photos") == [(5,)]
    five.folder.rmdir()
    five.folder.with_name("unplugged").rename(five.folder)
    assert five.run().cached == 5


def test_a_root_that_is_gone_is_refused_and_nothing_is_unlisted(five: Bench, rows: Callable[..., Any]) -> None:
    five.run()
    five.folder.rename(five.folder.with_name("unplugged"))

    with pytest.raises(PathError, match=r"connected"):
        five.run()

    assert rows("SELECT sum(listed) FROM photos") == [(5,)]


def test_one_emptied_root_among_several_stops_the_run_before_anything(
    five: Bench, tmp_path: Path, rows: Callable[..., Any]
) -> None:
    five.run()
    write_jpeg(tmp_path / "other" / "a.jpg", 9)
    shutil.rmtree(five.folder)
    five.folder.mkdir()

    with pytest.raises(UnsafeError):
        five.run(tmp_path / "other", five.folder)

    assert rows("SELECT count(*) FROM photos") == [(5,)]


def test_an_empty_folder_that_never_held_photos_is_a_plain_error(bench: Bench) -> None:
    with pytest.raises(PathError, match=r"no photos in .*give a folder that holds some"):
        bench.run()


def test_a_folder_of_other_files_is_told_from_an_empty_one(bench: Bench) -> None:
    (bench.folder / "notes.txt").touch()

    with pytest.raises(PathError, match=r"1 other files"):
        bench.run()


def test_globs_that_let_nothing_through_are_named_as_the_reason(five: Bench) -> None:
    with pytest.raises(PathError, match=r"--include"):
        five.run(include=["*.tiff"])


def test_an_unknown_model_is_refused_before_the_catalog_is_touched(five: Bench, rows: Callable[..., Any]) -> None:
    with pytest.raises(UnknownModelError):
        five.run(settings=replace(five.settings, model="maxi"))

    assert rows("SELECT count(*) FROM scorings") == [(0,)]


def test_two_runs_at_once_double_nothing(five: Bench, rows: Callable[..., Any]) -> None:
    with Catalog(five.settings.db) as one, Catalog(five.settings.db) as two:

        def second_run_in_the_middle() -> Iterator[None]:
            score_photos([five.folder], two, five.settings)
            yield

        middle = second_run_in_the_middle()
        score_photos([five.folder], one, five.settings, on_progress=lambda _: next(middle, None))

    assert rows("SELECT count(*) FROM photos") == rows("SELECT count(*) FROM scores") == [(5,)]


def test_a_fake_scorer_shows_that_pixels_reach_the_right_photo(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    for level in range(0, 250, 10):
        Image.new("RGB", (40, 40), (level, level, level)).save(bench.folder / f"{level:03}.png")
    monkeypatch.setattr(pipeline, "open_scorer", BrightnessScorer)

    scores = bench.scores(bench.run(settings=replace(bench.settings, workers=2)))

    expected = {f"{level:03}.png": level / 2.55 for level in range(0, 250, 10)}
    assert scores == pytest.approx(expected, abs=0.5)
    assert np.isfinite([score for score in scores.values() if score is not None]).all()


class CrampedScorer(BrightnessScorer):
    """Has room for fewer and fewer photos at once, as a device that runs out of memory."""

    def __init__(self, info: Any, *more: object, **others: object) -> None:
        super().__init__(info, *more, **others)
        self.batch_size = 4

    def score(self, pixels: Any) -> Any:
        assert len(pixels) <= 4
        self.batch_size = max(1, self.batch_size // 2)
        return super().score(pixels)


def test_a_device_that_runs_short_of_memory_still_scores_every_photo(
    five: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5, 12):
        write_jpeg(five.folder / f"{number}.jpg", number)
    monkeypatch.setattr(pipeline, "open_scorer", CrampedScorer)
    run = five.run()
    assert len(run.scored) == 12
    assert all(score is not None for score in five.scores(run).values())


def test_thousands_of_photos_named_one_by_one_are_answered(bench: Bench) -> None:
    files = [write_jpeg(bench.folder / f"{number % 3}" / f"{number}.jpg", number % 7) for number in range(1300)]
    run = bench.run(*files)
    with Catalog(bench.settings.db) as catalog:
        assert catalog.count_listed(run.scope) == 1300
        assert len(catalog.ranking(run.scoring, run.scope)[0]) == 1300


@pytest.mark.parametrize(
    "kind", [FailureKind.UNREADABLE, FailureKind.VANISHED, FailureKind.KILLED, FailureKind.TIMED_OUT]
)
def test_a_failure_with_one_model_takes_no_other_models_score_away(
    five: Bench, tmp_path: Path, kind: FailureKind
) -> None:
    """A drive that does not answer while the second model runs must not empty the first one's ranking."""
    from rali.catalog.records import Outcome
    from rali.photos.scan import Scan
    from rali.prepare import Failure

    first = five.run()
    before = five.scores(first)
    other = write_tiny_bundle(tmp_path / "other.safetensors", seed=9, name="other")
    with Catalog(five.settings.db) as catalog:
        second = catalog.scoring(other, first.scoring.recipe)
        photos = list(Scan([str(five.folder)]))
        catalog.store([Outcome(photo, failure=Failure(kind, "gone for now")) for photo in photos], second)
        assert len(catalog.failed(second, first.scope)) == 5
        assert not catalog.failed(first.scoring, first.scope)
        ids, _ = catalog.ranking(first.scoring, first.scope)
        assert not any(catalog.past_scores(int(photo_id), first.scoring) for photo_id in ids)
    assert five.scores(first) == before


def test_a_root_that_holds_only_other_files_now_is_refused_and_nothing_is_unlisted(five: Bench) -> None:
    run = five.run()
    shutil.rmtree(five.folder / "sub")
    for file in five.folder.glob("*.jpg"):
        file.unlink()
    (five.folder / ".DS_Store").write_bytes(b"x")
    (five.folder / "readme.txt").write_text("the card is in the drawer")
    with pytest.raises(UnsafeError, match="5 photos are remembered"):
        five.run()
    assert len(five.scores(run)) == 5


def test_a_folder_that_cannot_be_reached_keeps_its_photos_listed(five: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = five.run()
    lstat, scandir = os.lstat, os.scandir
    sub = os.fspath(five.folder / "sub")

    def stale_lstat(path: Any, **more: Any) -> os.stat_result:
        if os.fspath(path).startswith(sub):
            raise OSError(116, "Stale file handle")
        return lstat(path, **more)

    def stale_scandir(path: Any = ".") -> Any:
        if os.fspath(path).startswith(sub):
            raise OSError(116, "Stale file handle")
        return scandir(path)

    monkeypatch.setattr(os, "lstat", stale_lstat)
    monkeypatch.setattr(os, "scandir", stale_scandir)
    again = five.run()
    assert sub in again.unreadable
    assert len(five.scores(run)) == 5


def test_a_renamed_folder_takes_its_old_names_out_of_rankings(five: Bench) -> None:
    run = five.run()
    moved = five.folder.with_name("moved")
    five.folder.rename(moved)
    again = five.run(moved)
    assert not again.scored
    assert again.cached == 5
    with Catalog(five.settings.db) as catalog:
        assert len(catalog.ranking(run.scoring, Scope())[0]) == 5
        assert catalog.count_listed(run.scope) == 0


def test_a_folder_below_that_is_empty_now_keeps_its_photos_and_says_so(five: Bench) -> None:
    """A drive mounted below the root looks just like this when it is missing."""
    run = five.run()
    for file in (five.folder / "sub").iterdir():
        file.unlink()
    again = five.run()
    assert len(five.scores(run)) == 5
    assert "rali forget" in again.notices[0]
    with Catalog(five.settings.db) as catalog:
        assert catalog.forget(Scope([os.fspath(five.folder / "sub")])) == 2
    assert len(five.scores(run)) == 3


def test_forgotten_photos_are_back_with_their_scores_when_a_scan_finds_them(five: Bench) -> None:
    run = five.run()
    before = five.scores(run)
    with Catalog(five.settings.db) as catalog:
        assert catalog.forget(run.scope) == 5
    again = five.run()
    assert not again.scored
    assert five.scores(run) == before


def test_globs_hold_for_photos_that_are_named_one_by_one(five: Bench) -> None:
    run = five.run(*five.folder.glob("*.jpg"), include=["0*"])
    assert (run.found, five.scored(run)) == (1, {"0.jpg"})


# --- a session that stays open ----------


class CountingPool(WorkerPool):
    """Counts how often it is started, and with how many workers."""

    started: ClassVar[list[int]] = []

    def __init__(self, work: Work, *, workers: int, timeout_s: float) -> None:
        self.started.append(workers)
        super().__init__(work, workers=workers, timeout_s=timeout_s)


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(CountingPool, "started", [])
    monkeypatch.setattr(pipeline, "WorkerPool", CountingPool)
    return CountingPool.started


@pytest.fixture
def session(five: Bench) -> Iterator[ScoringSession]:
    info = find_model(five.settings.model)
    settings = replace(five.settings, workers=2)
    with Catalog(five.settings.db) as catalog:
        scoring = catalog.scoring(info, recipe_id(settings.recipe))
        with ScoringSession(catalog, settings, info, scoring) as session:
            yield session


def names(groups: Iterable[list[Outcome]]) -> set[str]:
    return {os.path.basename(outcome.photo.file) for group in groups for outcome in group if outcome.score is not None}


def test_a_session_keeps_its_workers_and_its_model_from_group_to_group(
    five: Bench, session: ScoringSession, pools: list[int], rows: Callable[..., Any]
) -> None:
    photos = list(Scan([os.fspath(five.folder)]))
    assert (pools, session.is_open) == ([], False)

    assert names(session.score(photos[:1], expected=1)) == {"0.jpg"}
    assert names(session.score(photos[1:3], expected=2)) == {"1.jpg", "2.jpg"}
    assert names(session.score(photos[3:], expected=2)) == {"3.jpg", "4.jpg"}

    assert pools == [1]
    assert rows("SELECT count(*) FROM scores") == [(5,)]


def test_a_session_takes_more_workers_for_more_photos(five: Bench, session: ScoringSession, pools: list[int]) -> None:
    photos = list(Scan([os.fspath(five.folder)]))

    names(session.score(photos[:1], expected=1))
    names(session.score(photos[1:], expected=100))

    assert pools == [1, 2]


def test_a_session_that_rested_goes_on(five: Bench, session: ScoringSession, pools: list[int]) -> None:
    photos = list(Scan([os.fspath(five.folder)]))
    names(session.score(photos[:1], expected=1))

    session.rest()

    assert not session.is_open
    assert names(session.score(photos[1:], expected=4)) == {"1.jpg", "2.jpg", "3.jpg", "4.jpg"}
    assert pools == [1, 2]


def test_a_session_that_was_stopped_half_way_mixes_nothing_up(five: Bench, session: ScoringSession) -> None:
    photos = list(Scan([os.fspath(five.folder)]))
    groups = session.score(photos, expected=5)
    first = names([next(groups)])
    groups.close()  # type: ignore[attr-defined]

    rest = [photo for photo in photos if os.path.basename(photo.file) not in first]

    assert names(session.score(rest, expected=5)) | first == {f"{number}.jpg" for number in range(5)}


def test_photos_may_come_while_a_session_scores(five: Bench, session: ScoringSession) -> None:
    photos = list(Scan([os.fspath(five.folder)]))
    queue = photos[:2]
    seen: list[list[Outcome]] = []

    def coming() -> Iterator[Photo]:
        while queue:
            yield queue.pop(0)

    for group in session.score(coming(), expected=2):
        if not seen:
            queue.extend(photos[2:])
        seen.append(group)

    assert len(names(seen)) == 5 or len(queue) == 3  # taken at once, or left for the next time; never lost


def test_a_drive_that_leaves_in_the_middle_of_the_walk_unlists_nothing(
    five: Bench, monkeypatch: pytest.MonkeyPatch, rows: Callable[..., Any]
) -> None:
    five.run()
    folders = Scan.folders

    def leave_after_the_first(self: Scan) -> Iterator[tuple[str, dict[str, Photo]]]:
        for number, found in enumerate(folders(self)):
            yield found
            if number == 0:
                five.folder.rename(five.folder.parent / "away")
                five.folder.mkdir()

    monkeypatch.setattr(Scan, "folders", leave_after_the_first)

    with pytest.raises(UnsafeError, match="went away in the middle"):
        five.run()

    assert rows("SELECT sum(listed) FROM photos") == [(5,)]
