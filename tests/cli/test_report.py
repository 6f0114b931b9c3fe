"""``rali report``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import failed, write_jpeg
from PIL import Image

from rali.catalog.catalog import Catalog
from rali.catalog.records import Scope
from rali.listing import rank_photos
from rali.prepare import recipe_id
from rali.report.choice import Group, choose
from rali.report.html import render_page
from rali.report.page import make_page
from rali.report.pictures import Pictures

Rali = Callable[..., Any]


@pytest.fixture(autouse=True)
def one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALI_WORKERS", "1")


def test_the_page_has_both_ends_all_photos_their_pictures_and_the_failures(
    rali: Rali, wedding: Path, own_world: Path, tmp_path: Path
) -> None:
    with Catalog(own_world / "catalog.db") as catalog:
        catalog.store([failed(f"{wedding}/broken.jpg")], catalog.scorings()[0])

    answer = rali("report", wedding, "-o", tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text()

    assert (answer.code, answer.err) == (0, "")
    assert "12 scored photos, 1 not scored" in answer.out
    for section in ("spread", "worst", "best", "photos", "failures"):
        assert f'<section id="{section}"' in html
    assert all(f"<bdi>IMG_{number:02}.jpg</bdi>" in html for number in range(1, 13))
    assert "it is broken" in html
    assert "+MOV XMP" in html
    assert "tiny (" in html
    assert recipe_id("fast") in html
    assert html.count('src="data:image/webp;base64,') == 12 + 12  # small ones of all, large ones of both ends
    again = rali("report", wedding, "-o", tmp_path / "r.html")  # a report may be written over
    assert again.code == 0


def test_a_burst_is_shown_with_its_best_frame_marked(collection: list[str], own_world: Path) -> None:
    with Catalog(own_world / "catalog.db") as catalog:
        ranking = rank_photos(catalog, catalog.scorings()[0], Scope())
        one, two, three = (int(photo_id) for photo_id in ranking.ids[:3])
        groups = [Group("burst", (one, two, three), two), Group("bracket", (int(ranking.ids[4]), 99_999), None)]
        choice = choose(ranking, groups, count=500)
        page = make_page(ranking, choice, Pictures(), [])

    (group,) = page.groups  # of the other, one frame alone has a score
    assert (group.kind, [tile.number for tile in group.tiles], group.best) == ("burst", [one, two, three], two)
    assert render_page(page).count(">best<") == 1


def test_both_ends_show_one_photo_of_each_group(collection: list[str], own_world: Path) -> None:
    with Catalog(own_world / "catalog.db") as catalog:
        ranking = rank_photos(catalog, catalog.scorings()[0], Scope())
        ids = [int(photo_id) for photo_id in ranking.ids]  # nine
        choice = choose(
            ranking,
            [Group("burst", tuple(ids[6:]), ids[7], "3 stars"), Group("burst", (ids[0], ids[1]), ids[1])],
            count=500,
        )
        page = make_page(ranking, choice, Pictures(), [])

    assert [tile.number for tile in page.best] == [ids[8], ids[5]]
    assert [tile.number for tile in page.worst] == [ids[0], ids[2], ids[3]]
    assert [row.frames.partition("; ")[2] for row in page.groups] == ["best: 3 stars", ""]


def test_hostile_names_are_shown_escaped(rali: Rali, remember: Callable[..., None], tmp_path: Path) -> None:
    names = [
        b'x"><script>alert(1)<.jpg',
        b"'; drop.jpg",
        b"two\nlines.jpg",
        "\u202egpj.jpg".encode(),
        b"caf\xe9.jpg",
        b"&amp;.jpg",
    ]
    plain = write_jpeg(tmp_path / "in" / "plain.jpg", 1)
    paths = [Path(os.fsdecode(os.path.join(os.fsencode(plain.parent), name))) for name in names]
    for path in paths:
        path.write_bytes(plain.read_bytes() + bytes([len(path.name)]))
    remember({path: 10.0 + number for number, path in enumerate([plain, *paths])})

    answer = rali("report", plain.parent, "-o", tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text()

    assert (answer.code, answer.err) == (0, "")
    assert "<script>alert" not in html
    assert html.count("<script") == 2
    for shown in ("two\\nlines.jpg", "\\u202egpj.jpg", "caf\\xe9.jpg", "&#39;; drop.jpg", "&amp;amp;.jpg"):
        assert f"<bdi>{shown}</bdi>" in html


def test_photos_that_are_gone_have_a_reason_in_place_of_a_picture(
    rali: Rali, collection: list[str], tmp_path: Path
) -> None:
    answer = rali("report", "-o", tmp_path / "r.html")

    assert answer.code == 0
    assert "9 photos could not be pictured; the page says why." in answer.err
    assert (tmp_path / "r.html").read_text().count("no picture: the file is gone") >= 9


def test_only_so_many_photos_as_asked_for(rali: Rali, collection: list[str], tmp_path: Path) -> None:
    assert "4 of 9 scored photos" in rali("report", "-n", "4", "-o", tmp_path / "r.html").out


@pytest.mark.parametrize("force", [False, True])
def test_another_file_is_written_over_only_if_asked_and_a_photo_never(
    force: bool, rali: Rali, collection: list[str], tmp_path: Path
) -> None:
    note, photo = tmp_path / "note.html", write_jpeg(tmp_path / "photo")
    note.write_text("my own")
    before = photo.read_bytes()
    more = ["--force"] if force else []

    answers = [rali("report", "-o", target, *more) for target in (note, photo, tmp_path / "new.JPG", tmp_path)]

    assert [answer.code for answer in answers] == [0 if force else 2, 2, 2, 2]
    assert all(answer.err.count("\n") == 1 for answer in answers[1:])
    assert (note.read_text() == "my own") is not force
    assert photo.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["note.html", "photo"]


def test_a_folder_that_is_not_there_is_one_line(rali: Rali, collection: list[str], tmp_path: Path) -> None:
    answer = rali("report", "-o", tmp_path / "none" / "r.html")

    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert "make it first" in answer.err


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_500_photos_of_noise_with_long_names_stay_below_3_mb(
    rali: Rali, remember: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RALI_WORKERS", "2")
    scores = {}
    random = np.random.default_rng(1)
    for number in range(500):
        path = tmp_path / "in" / f"{number:03}{'&' * 100}.jpg"
        path.parent.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (480, 640, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, quality=80)
        scores[path] = float(number % 97)
    remember(scores)

    assert rali("report", tmp_path / "in", "-o", tmp_path / "r.html").code == 0

    assert 1_500_000 < (tmp_path / "r.html").stat().st_size < 3_000_000
    assert len(re.findall(r'<li class="card', (tmp_path / "r.html").read_text())) >= 516
