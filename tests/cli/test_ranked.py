"""``rali worst``, ``rali best`` and ``rali list``."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import scored, write_jpeg, write_tiny_bundle

from rali.catalog.catalog import Catalog


def paths_of(out: str) -> list[str]:
    return [photo["path"] for photo in json.loads(out)["photos"]]


def test_worst_shows_the_lowest_scores_first(rali: Callable[..., Any], collection: list[str]) -> None:
    assert paths_of(rali("worst", "-n", "3", "--json").out) == collection[:3]


def test_best_shows_the_highest_scores_first(rali: Callable[..., Any], collection: list[str]) -> None:
    assert paths_of(rali("best", "-n", "3", "--json").out) == collection[:-4:-1]


def test_a_path_narrows_the_ranking_and_its_percentiles(rali: Callable[..., Any], collection: list[str]) -> None:
    photos = json.loads(rali("worst", "/photos/spain", "--json").out)["photos"]

    assert [photo["path"] for photo in photos] == collection[5:]
    assert [photo["percentile"] for photo in photos] == [12.5, 37.5, 62.5, 87.5]


def test_the_table_names_scores_photos_model_and_failures(rali: Callable[..., Any], collection: list[str]) -> None:
    answer = rali("worst", "-n", "2")

    assert (answer.code, answer.err) == (0, "")
    assert "10.0" in answer.out
    assert collection[0] in answer.out
    assert collection[2] not in answer.out
    assert "9 scored photos, 1 failed; 2 shown" in answer.out
    assert "Model tiny (" in answer.out


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], range(1, 10)),
        (["--best-first"], range(9, 0, -1)),
        (["--below", "30"], [1, 2]),
        (["--above", "70"], [8, 9]),
        (["--above", "30", "--below", "50"], [4]),
        (["--below-percentile", "20"], [1, 2]),
        (["--above-percentile", "90"], [9]),
        (["--include", "spain"], [6, 7, 8, 9]),
        (["--exclude", "*home*"], [6, 7, 8, 9]),
        (["--since", "2026-08"], [8, 9]),
        (["--until", "2026-02-01"], [1, 2]),
        (["-n", "2"], [1, 2]),
        (["--best-first", "-n", "1", "--below", "65"], [6]),
    ],
    ids=str,
)
def test_filters_let_through_what_they_say(
    rali: Callable[..., Any], collection: list[str], options: list[str], numbers: list[int]
) -> None:
    assert paths_of(rali("list", "--json", *options).out) == [collection[number - 1] for number in numbers]


def test_failed_lists_what_has_no_score_with_the_reason(rali: Callable[..., Any], collection: list[str]) -> None:
    (photo,) = json.loads(rali("list", "--failed", "--json").out)["photos"]

    assert (photo["path"], photo["status"]) == ("/photos/home/bad.jpg", "failed")
    assert (photo["score"], photo["error"], photo["error_kind"]) == (None, "it is broken", "corrupt")
    assert "it is broken" in rali("list", "--failed").out


def test_where_nothing_fits_a_sentence_says_so_instead_of_an_empty_table(
    rali: Callable[..., Any], collection: list[str]
) -> None:
    answer = rali("list", "--below", "-1")

    assert answer.code == 0
    assert answer.out.startswith("No photo fits.\n")
    assert "score  pct" not in answer.out
    assert rali("list", collection[0], "--failed").out.startswith("No photo failed.\n")


def test_csv_has_the_same_photos(rali: Callable[..., Any], collection: list[str]) -> None:
    lines = list(csv.DictReader(io.StringIO(rali("list", "--csv").out, newline="")))

    assert [(line["path"], float(line["score"])) for line in lines] == [
        (path, number * 10.0) for number, path in enumerate(collection, start=1)
    ]


def test_print0_gives_the_bytes_of_each_path_that_is_there_ended_by_nul(
    rali: Callable[..., Any], collection: list[str], own_world: Path, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"a\n\xff.jpg")
    odd.touch()
    with Catalog(own_world / "catalog.db") as catalog:
        (scoring,) = catalog.scorings()
        catalog.store([scored(os.fspath(odd), 5.0)], scoring)

    out = rali("worst", "-n", "2", "-0").out

    assert not os.path.lexists(collection[0])
    assert os.fsencode(out) == os.fsencode(odd) + b"\0"


def test_scores_of_two_models_are_never_in_one_ranking(
    rali: Callable[..., Any], collection: list[str], own_world: Path, tmp_path: Path
) -> None:
    other = write_tiny_bundle(tmp_path / "other.safetensors", seed=3, name="other")
    with Catalog(own_world / "catalog.db") as catalog:
        catalog.store([scored(collection[0], 99.0)], catalog.scoring(other, "exact-1.1-float32"))

    latest = json.loads(rali("list", "--json").out)
    first = json.loads(rali("list", "--json", "--model", "tiny").out)

    assert (latest["model"]["name"], [photo["score"] for photo in latest["photos"]]) == ("other", [99.0])
    assert latest["summary"]["unscored"] == 8
    assert [photo["score"] for photo in first["photos"]] == [number * 10.0 for number in range(1, 10)]
    assert json.loads(rali("list", "--json", "--recipe", "fast").out)["model"]["name"] == "tiny"
    assert json.loads(rali("list", "--json", "--model", other.model_id).out)["model"]["name"] == "other"


def test_a_model_can_be_named_by_its_bundles_path(
    rali: Callable[..., Any], collection: list[str], tiny_bundle: Path
) -> None:
    assert len(paths_of(rali("list", "--json", "--model", tiny_bundle).out)) == 9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["worst", "/nowhere"], "knows no such photos in /nowhere; run: rali score"),
        (["worst", "--model", "maxi"], "there is no model 'maxi'"),
        (["worst", "--model", "mini"], "no scores by model mini yet; run: rali score FOLDER --model mini"),
        (["worst", "--recipe", "exact"], "no scores with recipe exact yet; run: rali score FOLDER --recipe exact"),
        (["list", "--failed", "--below", "40"], "--failed lists photos without a score"),
        (["list", "--json", "-0"], "use one of"),
    ],
)
def test_a_question_without_an_answer_is_one_line(
    rali: Callable[..., Any], collection: list[str], arguments: list[str], says: str
) -> None:
    answer = rali(*arguments)

    assert answer.code in (1, 2)
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert says in answer.err


def test_in_a_pipe_no_name_is_folded(
    rali: Callable[..., Any], remember: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = "n" * 200 + ".jpg"
    remember({write_jpeg(tmp_path / name, 1): 50.0})
    monkeypatch.delenv("COLUMNS")

    assert name in rali("list").out
    monkeypatch.setenv("COLUMNS", "80")
    assert name not in rali("list").out


def test_without_a_catalog_the_advice_is_to_score(rali: Callable[..., Any], own_world: Path) -> None:
    answer = rali("worst")

    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "run: rali score FOLDER" in answer.err
    assert not (own_world / "catalog.db").exists()


def test_a_damaged_catalog_is_reported_and_left_in_place(
    rali: Callable[..., Any], collection: list[str], own_world: Path
) -> None:
    content = bytes(4096) + (own_world / "catalog.db").read_bytes()[4096:]
    (own_world / "catalog.db").write_bytes(content)

    answer = rali("worst")

    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "rali doctor --repair" in answer.err
    assert (own_world / "catalog.db").read_bytes() == content


@pytest.mark.parametrize("arguments", [["list"], ["list", "--csv"], ["worst", "-n", "1", "-0"]], ids=str)
def test_a_reader_that_goes_away_is_no_error(collection: list[str], arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rali_cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()

    assert process.wait(timeout=20) in (0, 1)
    assert complaint == ""
