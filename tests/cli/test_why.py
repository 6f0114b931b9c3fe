"""What ``rali show``, ``rali worst`` and their kin say of why, where the model has words."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import failed, scored, write_changed, write_jpeg, write_tiny_bundle

from rali.catalog.catalog import Catalog

BLURRED, DARK, UNSURE, GOOD, FAILED = (
    f"/photos/{name}.jpg" for name in ("blurred", "dark", "unsure", "good", "failed")
)  # fmt: skip
VECTORS = {
    BLURRED: [3.0, 0.0, 1.0, 0.0, 0.0, 0.0],
    DARK: [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
    UNSURE: [1.0, 0.0, 1.0, 0.0, 0.0, 0.0],
    GOOD: [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
}


@pytest.fixture
def bundle(own_world: Path) -> Path:
    """Score four photos with a model that has words, and keep it among the user's models."""
    info = write_tiny_bundle(own_world / "models" / "tiny.safetensors", words=True)
    with Catalog(own_world / "catalog.db") as catalog:
        outcomes = [scored(path, 10.0 * at, vector=vector) for at, (path, vector) in enumerate(VECTORS.items(), 1)]
        catalog.store([*outcomes, failed(FAILED)], catalog.scoring(info, "fast-1.1-half"))
    return info.path


def whys(answer: Any) -> dict[str, tuple[str | None, float | None]]:
    return {photo["path"]: (photo["why"], photo["why_margin"]) for photo in json.loads(answer.out)["photos"]}


SAID = {
    BLURRED: ("motion blur, strong", pytest.approx(0.632, abs=0.001)),
    DARK: ("underexposed", 1.0),
    UNSURE: (None, None),
    GOOD: (None, None),
}


def test_show_says_the_nearest_description_with_its_margin(rali: Callable[..., Any], bundle: Path) -> None:
    answer = rali("show", BLURRED)

    assert (answer.code, answer.err) == (0, "")
    assert "\nwhy         motion blur, strong (margin 0.63)\n" in answer.out
    assert whys(rali("show", BLURRED, "--json")) == {BLURRED: SAID[BLURRED]}


@pytest.mark.parametrize("photo", [UNSURE, GOOD, FAILED])
def test_show_says_nothing_when_unsure_or_fine_or_without_a_score(
    rali: Callable[..., Any], bundle: Path, photo: str
) -> None:
    assert "why" not in rali("show", photo).out
    assert whys(rali("show", photo, "--json")) == {photo: (None, None)}


def test_worst_has_a_column_for_it(rali: Callable[..., Any], bundle: Path) -> None:
    answer = rali("worst")
    lines = answer.out.splitlines()

    assert (answer.code, answer.err) == (0, "")
    assert lines[1].split() == ["score", "pct", "photo", "taken", "why"]
    assert [line.rstrip().endswith(says) for line, says in zip(
        lines[2:6], ("motion blur, strong", "underexposed", "[not there now]", "[not there now]"), strict=True
    )] == [True] * 4  # fmt: skip


def test_without_anything_to_say_there_is_no_column(rali: Callable[..., Any], bundle: Path) -> None:
    assert rali("best", "-n", "2").out.splitlines()[1].split() == ["score", "pct", "photo", "taken"]


@pytest.mark.parametrize("width", [40, 60])
def test_on_a_narrow_terminal_names_and_words_stay_readable(
    rali: Callable[..., Any], bundle: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = rali("worst", "-n", "2").out.splitlines()

    assert lines[1].split() == ["score", "pct", "photo", "why"]
    assert max(map(len, lines)) <= width
    assert any("motion " in line for line in lines)
    assert any(line.endswith("underexposed") for line in map(str.rstrip, lines))
    assert any("/photos/dark" in line for line in lines)


@pytest.mark.parametrize("command", [["worst"], ["best"], ["list"]], ids=str)
def test_json_has_it_for_each_photo(rali: Callable[..., Any], bundle: Path, command: list[str]) -> None:
    assert whys(rali(*command, "--json")) == SAID


def test_csv_has_it_in_its_last_two_columns(rali: Callable[..., Any], bundle: Path) -> None:
    out = rali("worst", "--csv").out
    lines = list(csv.DictReader(io.StringIO(out, newline="")))

    assert out.splitlines()[0].endswith(",model,model_id,recipe,why,why_margin")
    assert [line["why"] for line in lines] == ["motion blur, strong", "underexposed", "", ""]
    assert [line["why_margin"] for line in lines] == ["0.632", "1.0", "", ""]


def test_failures_are_listed_as_before(rali: Callable[..., Any], bundle: Path) -> None:
    assert whys(rali("list", "--failed", "--json")) == {FAILED: (None, None)}


def test_a_model_under_another_name_is_known_by_what_it_computes(rali: Callable[..., Any], bundle: Path) -> None:
    bundle.rename(bundle.with_name("renamed.safetensors"))

    assert whys(rali("worst", "--json")) == SAID


def test_a_model_outside_the_folder_is_found_by_its_path(
    rali: Callable[..., Any], bundle: Path, tmp_path: Path
) -> None:
    elsewhere = bundle.rename(tmp_path / "elsewhere.safetensors")

    assert whys(rali("worst", "--json", "--model", elsewhere)) == SAID
    assert set(whys(rali("worst", "--json")).values()) == {(None, None)}


def test_another_model_of_the_same_name_says_nothing(rali: Callable[..., Any], bundle: Path) -> None:
    write_tiny_bundle(bundle, seed=5, words=True)

    answer = rali("worst", "--json")

    assert (answer.code, answer.err) == (0, "")
    assert set(whys(answer).values()) == {(None, None)}


@pytest.mark.parametrize("lost", ["gone", "damaged"])
def test_without_the_model_there_is_no_why_and_no_error(rali: Callable[..., Any], bundle: Path, lost: str) -> None:
    if lost == "gone":
        bundle.unlink()
    else:
        bundle.write_bytes(b"not a bundle")

    answer = rali("worst")

    assert (answer.code, answer.err) == (0, "")
    assert "why" not in answer.out


def test_damaged_words_are_told_of_and_keep_nobody_from_the_scores(rali: Callable[..., Any], bundle: Path) -> None:
    write_changed(bundle, bundle, lambda header, _: header["words"].update(least_margin=None))

    answer = rali("worst", "-n", "1")

    assert (answer.code, answer.err.count("\n")) == (0, 1)
    assert "Nothing can be said of why" in answer.err
    assert "get it again" in answer.err
    assert BLURRED in answer.out


def test_a_run_says_it_of_what_it_scored(
    rali: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = write_tiny_bundle(tmp_path / "tiny.safetensors", words=True)
    monkeypatch.setenv("RALI_MODEL", str(info.path))
    monkeypatch.setenv("RALI_WORKERS", "1")
    for number in range(3):
        write_jpeg(tmp_path / "photos" / f"{number}.jpg", number)

    answer = rali("score", tmp_path / "photos", "--json")

    assert answer.code == 0
    assert whys(answer) == whys(rali("worst", "--json"))
    assert set(whys(answer).values()) != {(None, None)}
