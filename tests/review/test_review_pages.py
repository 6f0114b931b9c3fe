"""The review as its page sees it: photos, pictures, marks, stars, plans."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes import write_jpeg
from faults import contents, tree
from PIL import Image
from visiting import HOSTILE, Visitor

from rali.errors import FailureKind
from rali.review.painting import Crop, Painter, task_of

Rali = Callable[..., Any]


def test_photos_are_listed_worst_first_without_their_paths(visitor: Visitor, wedding: Path) -> None:
    (wedding / "late.jpg").write_bytes(b"not scored")

    status, headers, body = visitor.ask("GET", "/api/photos")

    answer = json.loads(body)
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert answer["photos"]["name"] == [f"IMG_{n:02}.jpg" for n in range(1, 13)]
    assert answer["photos"]["score"][:2] == [5.0, 15.0]
    assert answer["marks"] == {}


def test_a_picture_is_made_by_rali_and_is_never_the_file(visitor: Visitor, wedding: Path) -> None:
    photo_id = visitor.names()["IMG_03.jpg"]

    for path, kind, size in (
        (f"/thumbnail/{photo_id}", "WEBP", (64, 48)),
        (f"/preview/{photo_id}", "WEBP", (64, 48)),
        (f"/crop/{photo_id}?x=10&y=8&w=20&h=30", "JPEG", (20, 30)),
        (f"/crop/{photo_id}?x=50&y=40&w=200&h=300", "JPEG", (14, 8)),
    ):
        status, headers, body = visitor.ask("GET", path)
        picture = Image.open(io.BytesIO(body))
        assert (status, picture.format, picture.size) == (200, kind, size)
        assert headers["content-type"] == f"image/{kind.lower()}"
        assert not picture.getexif()
        assert body != (wedding / "IMG_03.jpg").read_bytes()


def test_a_crop_is_the_very_place_pixel_for_pixel(visitor: Visitor, wedding: Path) -> None:
    photo_id = visitor.names()["IMG_03.jpg"]
    whole = Image.open(wedding / "IMG_03.jpg").convert("RGB")

    _, _, body = visitor.ask("GET", f"/crop/{photo_id}?x=16&y=8&w=24&h=24")

    expected = whole.crop((16, 8, 40, 32)).tobytes()
    found = Image.open(io.BytesIO(body)).convert("RGB").tobytes()
    assert sum(abs(a - b) for a, b in zip(expected, found, strict=True)) / len(expected) < 4


def test_a_thumbnail_is_kept_and_needs_no_decoder_again(visitor: Visitor, own_world: Path) -> None:
    photo_id = visitor.names()["IMG_01.jpg"]
    first = visitor.ask("GET", f"/thumbnail/{photo_id}")[2]
    (kept,) = (own_world / "cache").rglob("*.webp")

    kept.write_bytes(first)

    assert visitor.ask("GET", f"/thumbnail/{photo_id}")[2] == kept.read_bytes()


@pytest.mark.parametrize("change", ["link", "folder link", "pipe", "gone", "no photo"])
def test_what_is_no_photo_of_the_folder_any_more_is_not_shown(
    visitor: Visitor, wedding: Path, tmp_path: Path, change: str
) -> None:
    photo_id, photo = visitor.names()["IMG_02.jpg"], wedding / "IMG_02.jpg"
    secret = write_jpeg(tmp_path / "secret" / "IMG_02.jpg", 99)
    if change == "folder link":
        wedding.rename(tmp_path / "away")
        wedding.symlink_to(secret.parent)
    else:
        photo.unlink()
    if change == "link":
        photo.symlink_to(secret)
    elif change == "pipe":
        os.mkfifo(photo)
    elif change == "no photo":
        photo.write_text("root:x:0:0")

    for path in ("thumbnail", "preview", "crop"):
        status, headers, body = visitor.ask("GET", f"/{path}/{photo_id}?x=0&y=0&w=9&h=9")
        assert (status, headers["content-type"]) == (422, "text/plain; charset=utf-8")
        assert b"root:" not in body
    refused = visitor.tell("/api/marks", {"marks": [[photo_id, "reject"]]})
    assert (refused["marks"], len(refused["refused"])) == ([], 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where what was opened lies")
@pytest.mark.parametrize("of", ["file", "folder"])
def test_a_link_swapped_in_between_look_and_opening_shows_nothing_of_elsewhere(tmp_path: Path, of: str) -> None:
    photo = write_jpeg(tmp_path / "folder" / "photo.jpg", 1)
    write_jpeg(tmp_path / "secret" / "photo.jpg", 2)
    swapped, kept, link = (tmp_path / name for name in ("folder", "kept", "link"))
    if of == "file":
        swapped = photo
        link.symlink_to(tmp_path / "secret" / "photo.jpg")
    else:
        link.symlink_to(tmp_path / "secret")
    paint, room = Painter(10_000_000), memoryview(bytearray(Painter(0).result_bytes))
    task = task_of(str(photo), Crop(0, 0, 64, 48))
    length = paint(task, room)
    assert isinstance(length, int)
    own, shown, tries, ending = bytes(room[:length]), set(), 0, threading.Event()

    def swap() -> None:
        while not ending.is_set():
            swapped.rename(kept)
            link.rename(swapped)
            swapped.rename(link)
            kept.rename(swapped)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        while tries < 3000 or (
            own not in shown and tries < 100_000
        ):  # a busy machine may look at the link alone for long
            tries += 1
            result = paint(task, room)
            shown.add(bytes(room[:result]) if isinstance(result, int) else result.kind)
    finally:
        ending.set()
        swapping.join()

    assert shown - {FailureKind.CHANGED, FailureKind.VANISHED} == {own}


def test_marks_are_stored_as_they_are_made_for_every_copy(
    visitor: Visitor, wedding: Path, remember: Callable[..., Any], serve: Callable[..., Visitor], rali: Rali
) -> None:
    copy = wedding / "copy.jpg"
    copy.write_bytes((wedding / "IMG_01.jpg").read_bytes())
    visitor = serve(remember({copy: 5.0}), wedding)
    visitor.enter()
    names = visitor.names()

    answer = visitor.tell("/api/marks", {"marks": [[names["IMG_01.jpg"], "keep"], [names["IMG_05.jpg"], "reject"]]})

    assert sorted(answer["marks"]) == sorted(
        [[names["IMG_01.jpg"], "keep"], [names["copy.jpg"], "keep"], [names["IMG_05.jpg"], "reject"]]
    )
    marks = visitor.get("/api/photos")["marks"]
    assert marks == {str(photo_id): mark for photo_id, mark in answer["marks"]}
    held = json.loads(rali("cull", wedding, "--below", "6", "--json").out)
    assert [Path(photo["path"]).name for photo in held["photos"]] == ["IMG_05.jpg"]
    visitor.tell("/api/marks", {"marks": [[names["copy.jpg"], None], [names["IMG_05.jpg"], None]]})
    assert visitor.get("/api/photos")["marks"] == {}


def test_stars_are_the_users_own_and_come_back_as_they_were(visitor: Visitor, wedding: Path, rali: Rali) -> None:
    before = tree(wedding)
    photo_id = visitor.names()["IMG_02.jpg"]

    given = visitor.tell("/api/give", {"photo": photo_id, "stars": 4})

    assert given["stars"] == 4
    assert visitor.get("/api/stars") == {str(photo_id): 4}
    assert 'xmp:Rating="4"' in (wedding / "IMG_02.jpg.xmp").read_text()
    held = json.loads(rali("cull", wedding, "--below", "20", "--json").out)["held_back"]
    assert [(one["rule"], Path(one["path"]).name) for one in held] == [("rating", "IMG_02.jpg")]
    assert visitor.tell("/api/undo", {"run": given["run"]})["refused"] == []
    assert tree(wedding) == before
    assert visitor.get("/api/stars") == {}


def test_the_plan_is_the_one_that_cull_makes(visitor: Visitor, wedding: Path, rali: Rali) -> None:
    names = visitor.names()
    visitor.tell("/api/marks", {"marks": [[names["IMG_02.jpg"], "keep"], [names["IMG_09.jpg"], "reject"]]})

    plan = visitor.tell("/api/plan", {"below": 30})

    same = json.loads(rali("cull", wedding, "--below", "30", "--json").out)
    assert [(shot["name"], shot["why"], shot["size_bytes"]) for shot in plan["shots"]] == [
        (Path(photo["path"]).name, photo["why"], photo["size_bytes"]) for photo in same["photos"]
    ]
    assert [(held["name"], held["rule"], held["detail"]) for held in plan["held_back"]] == [
        (Path(held["path"]).name, held["rule"], held["detail"]) for held in same["held_back"]
    ]
    assert plan["places"] == same["summary"]["quarantines"]
    assert visitor.tell("/api/plan", {"per_burst": 1})["chosen"] == "all but the best of each burst in each folder"


def test_applying_moves_the_plan_that_was_shown_and_undo_brings_it_back(
    visitor: Visitor, wedding: Path, rali: Rali
) -> None:
    before = tree(wedding)
    plan = visitor.tell("/api/plan", {"below": 30})
    visitor.tell("/api/marks", {"marks": [[visitor.names()["IMG_02.jpg"], "keep"]]})  # meanwhile, in another tab

    done = visitor.tell("/api/apply", {"plan": plan["plan"], "meant": False})

    assert (done["photos"], [one["name"] for one in done["stayed"]]) == (2, ["IMG_02.jpg"])
    assert not (wedding / "IMG_01.jpg").exists()
    assert (wedding / "IMG_02.jpg").exists()
    assert len(visitor.names()) == 10
    assert done["undo"] == f"rali undo {done['run']}"
    assert rali("undo", done["run"]).code == 0
    assert tree(wedding) == before


def test_a_run_can_be_taken_back_from_the_page(visitor: Visitor, wedding: Path) -> None:
    before = tree(wedding)
    plan = visitor.tell("/api/plan", {"below": 30})
    run = visitor.tell("/api/apply", {"plan": plan["plan"]})["run"]

    assert visitor.tell("/api/undo", {"run": run}) == {"back": 3, "refused": []}

    assert tree(wedding) == before
    assert len(visitor.names()) == 12


@pytest.mark.parametrize("wrong", ["another plan", "twice", "not meant", "none made"])
def test_nothing_moves_but_the_plan_that_was_shown_last(visitor: Visitor, wedding: Path, wrong: str) -> None:
    before = contents(wedding)
    first = visitor.tell("/api/plan", {"below": 90 if wrong == "not meant" else 20})["plan"]
    if wrong == "another plan":
        visitor.tell("/api/plan", {"below": 30})
    if wrong == "twice":
        visitor.tell("/api/apply", {"plan": first})
        before = contents(wedding)
    number = "none" if wrong == "none made" else first

    status, _, body = visitor.ask("POST", "/api/apply", {"plan": number})

    assert (status, "nothing was moved" in json.loads(body)["error"]) == (409, True)
    assert contents(wedding) == before


def test_everything_can_go_and_the_page_stays(visitor: Visitor, wedding: Path) -> None:
    plan = visitor.tell("/api/plan", {"below": 1000})
    assert "more than 50%" in plan["over"]

    run = visitor.tell("/api/apply", {"plan": plan["plan"], "meant": True})["run"]

    assert visitor.names() == {}
    assert visitor.tell("/api/undo", {"run": run})["back"] == 12
    assert len(visitor.names()) == 12


NO_SENSE: list[tuple[str, object]] = [
    ("/api/marks", {"marks": [[1, "delete"]]}),
    ("/api/marks", {"marks": [["1", "keep"]]}),
    ("/api/marks", {"marks": [[True, "keep"]]}),
    ("/api/marks", {"marks": [[999_999, "keep"]]}),
    ("/api/marks", {"marks": None}),
    ("/api/marks", []),
    ("/api/give", {"photo": 999_999, "stars": 3}),
    ("/api/give", {"photo": "/etc/passwd", "stars": 3}),
    ("/api/order", {"photos": ["1"]}),
    ("/api/order", {"photos": [999_999]}),
    ("/api/plan", {"below": "30"}),
    ("/api/plan", {"below": 10**400}),
    ("/api/plan", {"below": 30, "per_burst": 1}),
    ("/api/plan", {"per_burst": 0}),
    ("/api/undo", {"run": "../../x"}),
]


def test_what_makes_no_sense_is_told_in_one_line(visitor: Visitor) -> None:
    for path, body in NO_SENSE:
        status, _, answer = visitor.ask("POST", path, body)
        assert status == 400, (path, body)
        assert len(json.loads(answer)["error"].splitlines()) == 1


def test_hostile_names_arrive_as_safe_text(
    tmp_path: Path, remember: Callable[..., Any], serve: Callable[..., Visitor]
) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    photos = []
    for number, name in enumerate(HOSTILE):
        photo = folder / os.fsdecode(name + b".jpg")
        write_jpeg(folder / "plain.jpg", number).rename(photo)
        photos.append(photo)
    visitor = serve(remember({photo: 10.0 * n for n, photo in enumerate(photos)}), folder)
    visitor.enter()
    names = visitor.names()

    assert len(names) == len(HOSTILE)
    assert all(name.isprintable() for name in names)
    for photo_id in names.values():
        status, _, body = visitor.ask("GET", f"/thumbnail/{photo_id}")
        assert status == 200, body
    plan = visitor.tell("/api/plan", {"below": 1000})
    assert {shot["name"] for shot in plan["shots"]} == set(names)
    assert visitor.tell("/api/apply", {"plan": plan["plan"], "meant": True})["photos"] == len(HOSTILE)


def test_a_decoder_that_crashes_costs_one_picture(visitor: Visitor, wedding: Path) -> None:
    names = visitor.names()
    (wedding / "IMG_01.jpg").write_bytes(b"\xff\xd8\xff\xe0" + os.urandom(2000))

    assert visitor.ask("GET", f"/thumbnail/{names['IMG_01.jpg']}")[0] == 422
    assert visitor.ask("GET", f"/thumbnail/{names['IMG_02.jpg']}")[0] == 200
