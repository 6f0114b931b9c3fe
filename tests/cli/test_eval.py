"""``rali eval``."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg

COUNT = 6


@pytest.fixture
def data_set(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a data set of a few photos, with a list; the tiny model is the default."""
    monkeypatch.setenv("RALI_MODEL", str(tiny_bundle))
    monkeypatch.setenv("RALI_WORKERS", "1")
    entries = []
    for seed in range(COUNT):
        write_jpeg(tmp_path / "images" / f"{seed}.jpg", seed)
        entries.append({"id": str(seed), "image": f"images/{seed}.jpg", "gt_score": 1 + seed * 0.5})
    (tmp_path / "meta.json").write_text(json.dumps(entries))
    return tmp_path


def add(data_set: Path, image: str) -> None:
    meta = data_set / "meta.json"
    meta.write_text(json.dumps([*json.loads(meta.read_text()), {"image": image, "gt_score": 2}]))


def evaluate(rali: Callable[..., Any], data_set: Path, *options: str) -> Any:
    return rali("eval", data_set / "meta.json", "--root", data_set, *options)


def test_json_is_exactly_as_documented(rali: Callable[..., Any], data_set: Path) -> None:
    answer = evaluate(rali, data_set, "--json")

    assert (answer.code, answer.err) == (0, "")
    document = json.loads(answer.out)
    assert list(document) == ["n", "srcc", "plcc", "plcc_logistic", "model", "missing", "failed"]
    assert document["n"] == COUNT
    for name in ("srcc", "plcc"):
        assert list(document[name]) == ["value", "low", "high"]
        assert -1 <= document[name]["low"] <= document[name]["high"] <= 1
        assert math.isfinite(document[name]["value"])
    assert list(document["plcc_logistic"]) == ["value", "low", "high"]
    assert list(document["model"]) == ["name", "id", "recipe", "score_low", "score_high"]
    assert document["missing"] == document["failed"] == []


def test_the_table_names_figures_images_model_and_recipe(rali: Callable[..., Any], data_set: Path) -> None:
    answer = evaluate(rali, data_set, "--recipe", "exact", "--device", "cpu")

    assert answer.code == 0
    for word in ("SRCC", "PLCC", "logistic", "95 % interval", f"{COUNT} images", "Model tiny", "recipe exact-"):
        assert word in answer.out


def test_csv_holds_each_images_score(
    rali: Callable[..., Any], data_set: Path, rows: Callable[..., list[tuple[Any, ...]]]
) -> None:
    answer = evaluate(rali, data_set, "--csv")

    table = list(csv.reader(answer.out.splitlines()))
    assert table[0] == ["image", "gt_score", "score"]
    assert [row[:2] for row in table[1:]] == [[f"images/{n}.jpg", str(1 + n * 0.5)] for n in range(COUNT)]
    assert sorted(float(row[2]) for row in table[1:]) == sorted(score for (score,) in rows("SELECT score FROM scores"))


def test_the_second_run_takes_every_score_from_the_catalog(
    rali: Callable[..., Any], data_set: Path, rows: Callable[..., list[tuple[Any, ...]]]
) -> None:
    first = evaluate(rali, data_set, "--json")
    scored = rows("SELECT * FROM scores")
    program = (
        "import sys\nfrom rali_cli.app import main\n"
        "try: main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )

    second = subprocess.run(
        [sys.executable, "-c", program, "eval", data_set / "meta.json", "--root", data_set, "--json"],
        capture_output=True, text=True, timeout=25, check=True,
    )  # fmt: skip

    assert second.stdout == first.out
    assert second.stderr == "False\n"
    assert rows("SELECT * FROM scores") == scored


def test_a_missing_image_is_an_error_before_anything_is_scored(
    rali: Callable[..., Any], data_set: Path, own_world: Path
) -> None:
    add(data_set, "images/gone.jpg")

    answer = evaluate(rali, data_set)

    assert (answer.code, answer.out) == (1, "")
    assert "Missing: images/gone.jpg\n" in answer.err
    assert "1 of 7 images" in answer.err
    assert "--allow-missing" in answer.err
    assert not (own_world / "catalog.db").exists()


def test_allow_missing_evaluates_the_rest_and_still_names_what_is_missing(
    rali: Callable[..., Any], data_set: Path
) -> None:
    add(data_set, "images/gone.jpg")

    answer = evaluate(rali, data_set, "--allow-missing", "--json")

    assert answer.code == 0
    assert "Missing: images/gone.jpg\n" in answer.err
    document = json.loads(answer.out)
    assert (document["n"], document["missing"]) == (COUNT, ["images/gone.jpg"])


def test_a_photo_that_cannot_be_scored_counts_like_a_missing_one(rali: Callable[..., Any], data_set: Path) -> None:
    (data_set / "images" / "bad.jpg").write_bytes(b"no picture")
    add(data_set, "images/bad.jpg")

    strict = evaluate(rali, data_set, "--json")
    lenient = evaluate(rali, data_set, "--json", "--allow-missing")

    assert (strict.code, strict.out) == (1, "")
    assert "Failed: images/bad.jpg (unsupported: " in strict.err
    assert lenient.code == 0
    (failed,) = json.loads(lenient.out)["failed"]
    assert (failed["image"], failed["error_kind"]) == ("images/bad.jpg", "unsupported")
    assert failed["error"]


def test_many_missing_images_do_not_flood_the_screen(rali: Callable[..., Any], data_set: Path) -> None:
    (data_set / "meta.json").write_text(json.dumps([{"image": f"{n}.jpg", "gt_score": n} for n in range(500)]))

    answer = evaluate(rali, data_set)

    assert answer.code == 1
    assert len(answer.err.splitlines()) == 22
    assert "480 more" in answer.err


def test_hostile_names_do_not_act_on_the_terminal(rali: Callable[..., Any], data_set: Path) -> None:
    add(data_set, "\x1b[2J\nrali: all is well")

    assert "\x1b" not in evaluate(rali, data_set).err


def test_a_damaged_list_is_one_line(rali: Callable[..., Any], data_set: Path) -> None:
    (data_set / "meta.json").write_text('[{"image": "images/0.jpg"')

    answer = evaluate(rali, data_set)

    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("rali: ")
    assert len(answer.err.splitlines()) == 1


def test_json_and_csv_together_are_a_usage_error(rali: Callable[..., Any], data_set: Path) -> None:
    assert evaluate(rali, data_set, "--json", "--csv").code == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mini_agrees_with_people_on_photos_it_was_not_trained_on(rali: Callable[..., Any], shared: Path) -> None:
    answer = rali("eval", shared / "iqa/val.json", "--root", shared / "iqa", "--json")

    assert answer.code == 0, answer.err
    document = json.loads(answer.out)
    assert document["n"] == 186
    assert document["srcc"]["value"] >= 0.78
