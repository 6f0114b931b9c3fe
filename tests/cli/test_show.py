"""``rali show``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import scored, write_jpeg, write_tiny_bundle

from rali.catalog.catalog import Catalog


def test_a_photo_is_shown_with_score_percentiles_model_and_recipe(
    rali: Callable[..., Any], collection: list[str]
) -> None:
    answer = rali("show", collection[5])

    assert (answer.code, answer.err) == (0, "")
    assert "60.0 (0 to 100, higher is better)" in answer.out
    assert "12.5 in its folder, 61.1 in all" in answer.out
    assert "tiny (" in answer.out
    assert "fast-1.1-half" in answer.out
    assert "Canon EOS 7D" in answer.out
    assert "2026-06-01 10:00:00" in answer.out


def test_json_has_the_photo_its_folder_percentile_and_its_past(rali: Callable[..., Any], collection: list[str]) -> None:
    (photo,) = json.loads(rali("show", collection[5], "--json").out)["photos"]

    assert (photo["path"], photo["score"], photo["status"]) == (collection[5], 60.0, "cached")
    assert (photo["percentile_in_folder"], photo["percentile"]) == (12.5, 61.111)
    assert photo["past_scores"] == []


def test_past_scores_and_companions_are_shown(rali: Callable[..., Any], collection: list[str], own_world: Path) -> None:
    with Catalog(own_world / "catalog.db") as catalog:
        (scoring,) = catalog.scorings()
        catalog.store(
            [scored(collection[0], 44.0, content="edited", mtime_ns=2, companions=("1.CR2", "1\n.xmp"))], scoring
        )

    out = rali("show", collection[0]).out

    assert "44.0" in out
    assert "earlier     10.0, until 20" in out
    assert r"1.CR2, 1\n.xmp" in out


def test_stars_and_label_are_shown_as_the_sidecar_has_them_now(
    rali: Callable[..., Any], wedding: Path, rate: Callable[[Path, int], None]
) -> None:
    photo = wedding / "IMG_02.jpg"
    assert "stars " not in rali("show", photo).out
    rate(photo, 4)

    assert "stars       4\n" in rali("show", photo).out
    (shown,) = json.loads(rali("show", photo, "--json").out)["photos"]
    assert (shown["stars"], shown["label"]) == (4, None)
    sidecar = photo.with_suffix(".xmp")
    sidecar.write_text(sidecar.read_text().replace('xmp:Rating="4"', 'xmp:Rating="-1" xmp:Label="Red"'))
    assert "stars       rejected, label Red\n" in rali("show", photo).out


def test_a_failure_is_shown_with_its_reason_and_ends_with_3(rali: Callable[..., Any], collection: list[str]) -> None:
    answer = rali("show", "/photos/home/bad.jpg")

    assert answer.code == 3
    assert "corrupt: it is broken" in answer.out


def test_a_photo_without_a_score_by_this_model_says_so(
    rali: Callable[..., Any], collection: list[str], own_world: Path, tmp_path: Path
) -> None:
    other = write_tiny_bundle(tmp_path / "other.safetensors", seed=3, name="other")
    with Catalog(own_world / "catalog.db") as catalog:
        catalog.store([scored(collection[0], 99.0)], catalog.scoring(other, "fast-1.1-half"))

    assert "none by this model and recipe yet" in rali("show", collection[1]).out
    assert "20.0" in rali("show", collection[1], "--model", "tiny").out


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("un\nknown.jpg", r"does not know {}/un\nknown.jpg; if it is a photo, run: rali score {}"),
        ("folder", "{}/folder is a folder; run: rali list {}/folder"),
        ("none.jpg", "there is no {}/none.jpg"),
    ],
)
def test_what_was_never_scored_is_one_line_that_says_what_it_is(
    rali: Callable[..., Any], collection: list[str], tmp_path: Path, name: str, says: str
) -> None:
    write_jpeg(tmp_path / "un\nknown.jpg", 1)
    (tmp_path / "folder").mkdir()

    answer = rali("show", tmp_path / name)

    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert says.replace("{}", str(tmp_path)) in answer.err


def test_on_a_terminal_the_photo_itself_is_shown(
    remember: Callable[..., None], on_terminal: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    photo = write_jpeg(tmp_path / "a.jpg", 1)
    remember({photo: 50.0})
    world = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "RALI_WORKERS": "1"}

    code, seen = on_terminal("show", photo, types=b"", env={**os.environ, **world})
    plain = on_terminal("show", photo, types=b"", env={**os.environ, **world, "NO_COLOR": "1"})[1]

    assert code == 0
    assert seen.count("▀") >= 200
    assert "▀" not in plain
    assert "50.0" in plain


def test_no_picture_goes_into_a_pipe(
    remember: Callable[..., None], rali: Callable[..., Any], tmp_path: Path, own_world: Path
) -> None:
    photo = write_jpeg(tmp_path / "a.jpg", 1)
    remember({photo: 50.0})

    assert "▀" not in rali("show", photo).out
    assert not (own_world / "cache").exists()


def test_a_photo_without_a_picture_is_a_line_on_a_terminal(
    remember: Callable[..., None], on_terminal: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    photo = write_jpeg(tmp_path / "a.jpg", 1)
    remember({photo: 50.0})
    photo.write_text("not a photo any more")
    world = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "RALI_WORKERS": "1"}

    code, seen = on_terminal("show", photo, types=b"", env={**os.environ, **world})

    assert code == 0
    assert "No picture: not a photo in a format that rali reads" in seen
