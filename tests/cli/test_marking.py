"""``rali keep``, ``rali reject`` and ``rali unmark``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg


def planned(answer: Any) -> list[str]:
    return [Path(photo["path"]).name for photo in json.loads(answer.out)["photos"]]


def test_what_is_marked_is_named_with_a_way_back(rali: Callable[..., Any], wedding: Path) -> None:
    answer = rali("keep", wedding / "IMG_01.jpg", wedding / "IMG_02.jpg")

    assert (answer.code, answer.err) == (0, "")
    assert "Marked keep: 2 photos" in answer.out
    assert "IMG_02.jpg" in answer.out
    assert "rali unmark" in answer.out


def test_a_sidecar_stands_for_its_photo(rali: Callable[..., Any], wedding: Path) -> None:
    assert json.loads(rali("reject", wedding / "IMG_01.mov", "--json").out) == {
        "mark": "reject",
        "marked": [str(wedding / "IMG_01.jpg")],
        "copies": [],
        "refused": [],
    }


def test_the_last_mark_wins_and_unmark_takes_it_back(rali: Callable[..., Any], wedding: Path) -> None:
    photo = wedding / "IMG_01.jpg"

    rali("keep", photo)
    kept = planned(rali("cull", wedding, "--bottom", "1", "--json"))
    rali("reject", photo)
    rejected = planned(rali("cull", wedding, "--json"))
    answer = rali("unmark", photo)

    assert (kept, rejected) == ([], ["IMG_01.jpg"])
    assert answer.out.startswith("No longer marked: 1 photo\n")
    assert rali("cull", wedding).code == 2


def test_what_cannot_be_marked_is_a_line_each_and_ends_with_3(rali: Callable[..., Any], wedding: Path) -> None:
    write_jpeg(wedding / "IMG_03.jpg", 50)
    (wedding / "new\n.jpg").touch()

    answer = rali("keep", wedding / "IMG_01.jpg", wedding / "gone.jpg", wedding / "IMG_03.jpg", wedding / "new\n.jpg")

    assert answer.code == 3
    assert "Marked keep: 1 photo" in answer.out
    assert answer.err.count("\n") == answer.err.count("Not marked: ") == 3
    assert r"new\n.jpg" in answer.err


def test_show_tells_the_mark(rali: Callable[..., Any], wedding: Path) -> None:
    rali("keep", wedding / "IMG_05.jpg")

    assert "mark        keep, by hand" in rali("show", wedding / "IMG_05.jpg").out
    assert json.loads(rali("show", wedding / "IMG_05.jpg", "--json").out)["photos"][0]["mark"] == "keep"
    assert "\nmark " not in rali("show", wedding / "IMG_06.jpg").out


@pytest.mark.parametrize("mark", ["keep", "reject"])
def test_marks_survive_a_rename_a_rescan_and_a_copy(
    rali: Callable[..., Any], tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    monkeypatch.setenv("RALI_MODEL", str(tiny_bundle))
    monkeypatch.setenv("RALI_WORKERS", "1")
    folder = tmp_path / "photos"
    for number in range(4):
        write_jpeg(folder / f"{number}.jpg", number)
    rali("score", folder)
    rali(mark, folder / "0.jpg")
    (folder / "0.jpg").rename(folder / "renamed.jpg")
    (folder / "copy.jpg").write_bytes((folder / "renamed.jpg").read_bytes())
    rali("score", folder)

    answer = rali("cull", folder, "--bottom", "100%", "--json")
    held = {Path(held["path"]).name for held in json.loads(answer.out)["held_back"]}
    why = {Path(photo["path"]).name: photo["why"] for photo in json.loads(answer.out)["photos"]}

    if mark == "keep":
        assert held == {"renamed.jpg", "copy.jpg"}
    else:
        assert why["renamed.jpg"] == why["copy.jpg"] == "marked reject"
